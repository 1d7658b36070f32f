"""The command line of `s3sync`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

from s3sync import frontdoor

if TYPE_CHECKING:
    from s3sync.output import Output
    from s3sync.settings import CommonSettings


def _settings() -> type[CommonSettings]:
    from s3sync.settings import Settings

    return Settings


def _open_app(settings: CommonSettings, output: Output) -> AbstractContextManager[object]:
    from s3sync.app import App
    from s3sync.settings import Settings

    return App(cast(Settings, settings), output)


PROGRAM = frontdoor.Program(
    name="s3sync",
    summary="Upload finished files of a drop zone to S3, one object a file, and remove the originals once that is proved.",
    # In the order people read them; each is a module in s3sync/commands, imported only when it is
    # chosen (and by --help); whoever writes the module adds its name here.
    commands=("run", "why", "status", "notify", "config", "completion"),
    folders=("folder", "state"),
    settings=_settings,
    open_app=_open_app,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code."""
    return frontdoor.main(PROGRAM, argv)
