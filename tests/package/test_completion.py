"""Completion of command lines, in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from s3sync.completion import SHELLS, script
from s3sync.frontdoor import Program, whole_parser
from tests.generated import PROGRAMS


def completed(program: Program, *words: str) -> set[str]:
    """Return what bash offers for the last of `words`."""
    line = f"""
        {script(program, "bash")}
        COMP_WORDS=({program.name} {" ".join(words)}); COMP_CWORD={len(words)}
        _shtab_{program.name}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    ended = subprocess.run(["bash", "--norc", "-c", line], check=True, capture_output=True, text=True)
    return set(ended.stdout.split())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_bash_offers_every_command(program: Program) -> None:
    """After the program's name come its commands."""
    assert set(program.commands) <= completed(program, "''")


def test_bash_offers_flags_and_choices() -> None:
    """A command's own flags are offered, and the choices of an argument."""
    batch, _ = PROGRAMS

    assert {"--since", "--json"} <= completed(batch, "find", "--")
    assert {"init", "verify"} <= completed(batch, "index", "''")


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_can_read_its_script(shell: str, tmp_path: Path) -> None:
    """The shell, where it is here, finds no mistake in the script."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for program in PROGRAMS:
        file = tmp_path / program.name
        file.write_text(script(program, shell))
        ended = subprocess.run([shell, "-n", str(file)], check=False, capture_output=True, text=True)

        assert (0, "") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_the_whole_parser_takes_what_the_front_door_takes(program: Program) -> None:
    """Completion is written from a parser that knows every command."""
    parser = whole_parser(program)

    for name in program.commands:
        with pytest.raises(SystemExit) as left:
            parser.parse_args([name, "--help"])
        assert 0 == left.value.code
