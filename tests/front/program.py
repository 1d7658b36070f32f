"""A program with one command, to try the front door with: `python -m tests.front.program`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from s3sync.frontdoor import Program, SettingsOnly, main
from s3sync.output import Output
from s3sync.settings import CommonSettings, Settings


def _open(settings: CommonSettings, output: Output) -> AbstractContextManager[object]:
    return nullcontext(SettingsOnly(settings, output))


PROGRAM = Program(
    name="tests.front",
    summary="Greets.",
    commands=("greet",),
    folders=("folder",),
    settings=lambda: Settings,
    open_app=_open,
)

if __name__ == "__main__":
    sys.exit(main(PROGRAM))
