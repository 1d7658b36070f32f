"""Completion of command lines in a shell, written from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

from s3sync.frontdoor import Program, whole_parser

SHELLS = ("bash", "zsh", "fish")
_PLACES = {"FILE": shtab.FILE, "PATH": shtab.FILE, "FOLDER": shtab.DIRECTORY}
"""What is completed where an argument shows itself by one of these names."""


def script(program: Program, shell: str) -> str:
    """Return the script that teaches `shell` the commands, flags and choices of `program`."""
    parser = whole_parser(program)
    for action in _actions(parser):
        if action.metavar in _PLACES:
            action.complete = _PLACES[action.metavar]  # type: ignore[attr-defined]  # where shtab looks for it
    return shtab.complete(parser, shell=shell)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001  # argparse has no public list of them, and shtab reads this one
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # the same
            for below in action.choices.values():
                yield from _actions(below)
