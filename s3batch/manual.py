"""Write the manual pages of both programs, and their completions, into folders: `python -m s3batch.manual --man FOLDER`.

For those who install: `deploy/install.sh`, the Debian package, `make man`. What is written is what the installed program
says of itself, so it cannot be of another version.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from s3batch.cli import PROGRAM
from s3sync.cli import PROGRAM as S3SYNC
from s3sync.completion import script
from s3sync.manpages import pages

PROGRAMS = (PROGRAM, S3SYNC)
COMPLETIONS: Mapping[str, str] = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}
"""What each shell wants the file of a program to be called."""


def main() -> None:
    """Write what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m s3batch.manual", description="Write manual pages and completions.")
    parser.add_argument("--man", type=Path, metavar="FOLDER", help="manual pages, section 1")
    for shell in COMPLETIONS:
        parser.add_argument(f"--{shell}", type=Path, metavar="FOLDER", help=f"completions for {shell}")
    args = vars(parser.parse_args())
    for kind, folder in args.items():
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in _files(kind):
                _write(folder / name, content)


def _files(kind: str) -> Iterator[tuple[str, str]]:
    for program in PROGRAMS:
        if kind == "man":
            yield from pages(program)
        else:
            yield COMPLETIONS[kind].format(program.name), script(program, kind)


def _write(path: Path, content: str) -> None:
    """Write beside and rename: a shell or a reader meets the old file or the new one."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(content, "utf-8")
    beside.chmod(0o644)
    os.replace(beside, path)


if __name__ == "__main__":
    main()
