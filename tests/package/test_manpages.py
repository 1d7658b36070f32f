"""Manual pages say what the programs say, and groff reads them without a complaint."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from s3sync.frontdoor import command_parser
from s3sync.manpages import pages
from tests.generated import PROGRAMS

PAGES = {name: text for program in PROGRAMS for name, text in pages(program)}


def rendered(text: str) -> str:
    """Return what a reader sees. Fails on any warning."""
    command = ["groff", "-Kutf8", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=200n"]
    ended = subprocess.run(command, input=text, check=True, capture_output=True, text=True)

    assert "" == ended.stderr
    return ended.stdout


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_shows_every_page() -> None:
    """Each page renders without a warning and shows all flags and the examples as they are typed."""
    for program in PROGRAMS:
        for name in program.commands:
            shown = rendered(PAGES[f"{program.name}-{name}.1"])
            parser = command_parser(program, name)

            flags = {flag for action in parser._actions for flag in action.option_strings}
            assert set() == {flag for flag in flags if flag not in shown}
            example = (parser.epilog or "").partition("examples:\n")[2].splitlines()[0].strip()
            assert re.sub(r"\s+", " ", example.replace("%(prog)s", parser.prog)) in re.sub(r"\s+", " ", shown)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_a_page_of_a_program_names_settings_and_commands() -> None:
    """The program's own page has every command, and every variable with its default."""
    shown = rendered(PAGES["s3batch.1"])

    assert set() == {name for name in PROGRAMS[0].commands if f"s3batch-{name}(1)" not in shown}
    assert "S3BATCH_QUIET_PERIOD" in shown
    assert "Default: ~/s3_buckets/batch" in shown


def test_what_groff_takes_for_an_order_is_text() -> None:
    """No line of a help text begins with a dot or a quote that groff would obey, or holds a lone backslash."""
    orders = {"TH", "SH", "TP", "B", "BR", "I", "PP", "nf", "fi"}
    lines = [line for text in PAGES.values() for line in text.splitlines()]

    assert set() == {line for line in lines if line.startswith("'")}
    assert orders >= {line[1:].split(" ")[0] for line in lines if line.startswith(".")}
    assert [] == [line for line in lines if re.search(r"\\(?![-e&(f])", line)]


def test_written_by_the_module_the_installers_call(tmp_path: Path) -> None:
    """`python -m s3batch.manual` writes all pages, and completions under the names shells look for."""
    words = [word for kind in ("man", "bash", "zsh", "fish") for word in (f"--{kind}", str(tmp_path / kind))]
    subprocess.run([sys.executable, "-m", "s3batch.manual", *words], check=True)

    assert PAGES == {path.name: path.read_text("utf-8") for path in (tmp_path / "man").iterdir()}
    names = {f"{path.parent.name}/{path.name}" for path in tmp_path.glob("*/*") if path.parent.name != "man"}
    assert {"bash/s3batch", "bash/s3sync", "zsh/_s3batch", "zsh/_s3sync", "fish/s3batch.fish", "fish/s3sync.fish"} == names
