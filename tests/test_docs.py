"""What the README says about settings, commands and exit codes is what the programs know.

The README holds generated tables between `<!-- begin NAME -->` and `<!-- end NAME -->`; `make goldens` writes them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import s3batch.cli
import s3sync.cli
from s3batch.settings import Settings as BatchSettings
from s3sync.errors import EXIT_MEANINGS
from s3sync.frontdoor import Program
from s3sync.settings import CommonSettings
from s3sync.settings import Settings as SyncSettings
from tests.goldens import RENEW

README = Path(__file__).parent.parent / "README.md"
PROGRAMS = (s3batch.cli.PROGRAM, s3sync.cli.PROGRAM)
SETTINGS: tuple[type[CommonSettings], ...] = (BatchSettings, SyncSettings)
HOME_DEFAULTS = {
    "/HOME/s3_buckets/batch": "$HOME/s3_buckets/batch",
    "/HOME/s3_buckets/sync": "$HOME/s3_buckets/sync",
    "/HOME/.local/state/s3batch": "~/.local/state/s3batch",
    "/HOME/.local/state/s3sync": "~/.local/state/s3sync",
    "/HOME/.local/state/s3batch/spool": "<state>/spool",
}


def settings_table(kind: type[CommonSettings]) -> str:
    """Return every setting with its default and its help."""
    rows = [
        f"| `{shown.variable}` | {_default(shown.value)} | {shown.help} |"
        for shown in kind.read(environment={"HOME": "/HOME"}).shown()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default(value: str | None) -> str:
    return f"`{HOME_DEFAULTS.get(value, value)}`" if value else ""


def commands_table(program: Program) -> str:
    """Return every command with what it is for."""
    rows = [f"| `{program.name} {name}` | {program.command(name).HELP} |" for name in program.commands]
    return "\n".join(["| command | |", "|---|---|", *rows])


def exit_codes_table() -> str:
    """Return every exit code with its meaning."""
    return "\n".join(["| code | meaning |", "|---|---|", *(f"| {code} | {text} |" for code, text in EXIT_MEANINGS.items())])


TABLES: dict[str, Callable[[], str]] = {
    **{f"settings of {kind.PREFIX[:-1].lower()}": partial(settings_table, kind) for kind in SETTINGS},
    **{f"commands of {program.name}": partial(commands_table, program) for program in PROGRAMS},
    "exit codes": exit_codes_table,
}


@pytest.mark.golden
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_the_readme(name: str) -> None:
    """Each generated table of the README is what the programs say now."""
    begin, end = f"<!-- begin {name} -->\n", f"\n<!-- end {name} -->"
    text = README.read_text("utf-8")
    assert begin in text, f"README.md has no `{begin.strip()}`"
    before, _, rest = text.partition(begin)
    table, _, after = rest.partition(end)
    wanted = TABLES[name]()
    if os.environ.get(RENEW):
        README.write_text(before + begin + wanted + end + after, "utf-8")
        return

    assert wanted == table


def test_the_readme_names_no_setting_that_is_none() -> None:
    """Every variable with our prefixes in the README is a setting."""
    known = {kind.variable(name) for kind in SETTINGS for name in kind.model_fields}
    known |= {f"{kind.PREFIX}CONFIG" for kind in SETTINGS}

    assert set(re.findall(r"\bS3(?:BATCH|SYNC)_[A-Z_]*[A-Z]\b", README.read_text("utf-8"))) <= known
