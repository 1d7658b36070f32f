"""`config`: every setting, its value and where it came from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Protocol

from s3sync.errors import Exit
from s3sync.layers import Problem, WrongSettings
from s3sync.output import Output
from s3sync.settings import CommonSettings, Shown

HELP = "Show every setting, its value and where it came from, or check them."
EPILOG = """examples:
  %(prog)s show
  %(prog)s check --set quiet_period=90s"""


class _App(Protocol):
    @property
    def settings(self) -> CommonSettings: ...

    @property
    def output(self) -> Output: ...


def setup(parser: argparse.ArgumentParser) -> None:
    """Take what to do."""
    parser.add_argument("action", choices=("show", "check"), nargs="?", default="show", help="show (default) or check")


def run(args: argparse.Namespace, app: _App) -> Exit:
    """Show or check the settings; what cannot be read at all was refused before this.

    Raises `WrongSettings` where a variable with our prefix is no setting.
    """
    if args.action == "show":
        _show(app.settings.shown(), app.output)
        _warn(app.settings.strangers(), app.output)
        return Exit.DONE
    return _check(app.settings.strangers(), app.output)


def _show(settings: Sequence[Shown], output: Output) -> None:
    for shown in settings:
        output.record({"variable": shown.variable, "value": shown.value, "source": shown.source, "help": shown.help})
    rows = [(shown.variable, shown.value or None, shown.source) for shown in settings]
    output.table(rows, ("SETTING", "VALUE", "FROM"))


def _warn(strangers: Sequence[Problem], output: Output) -> None:
    for problem in strangers:
        output.progress(f"not a setting: {problem}")


def _check(strangers: Sequence[Problem], output: Output) -> Exit:
    if strangers:
        raise WrongSettings(strangers)
    output.text("all settings are in order")
    return Exit.DONE
