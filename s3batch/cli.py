"""The command line of `s3batch`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

from s3sync import frontdoor

if TYPE_CHECKING:
    from s3sync.output import Output
    from s3sync.settings import CommonSettings


def _settings() -> type[CommonSettings]:
    from s3batch.settings import Settings

    return Settings


def _open_app(settings: CommonSettings, output: Output) -> AbstractContextManager[object]:
    from s3batch.app import App
    from s3batch.settings import Settings

    return App(cast(Settings, settings), output)


PROGRAM = frontdoor.Program(
    name="s3batch",
    summary="Pack finished files of a drop zone into archives in S3, prove and catalogue them, find members, bring them back.",
    # In the order people read them; each is a module in s3batch/commands, imported only when it is
    # chosen (and by --help); whoever writes the module adds its name here.
    commands=(
        "run",
        "plan",
        "why",
        "accept",
        "find",
        "ls",
        "show",
        "rebuild",
        "verify",
        "manifests",
        "import-legacy",
        "index",
        "dashboards",
        "restore",
        "requests",
        "status",
        "report",
        "doctor",
        "notify",
        "config",
        "completion",
    ),
    folders=("folder", "state", "spool"),
    settings=_settings,
    open_app=_open_app,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code."""
    return frontdoor.main(PROGRAM, argv)
