"""`run`: the agent, once or until stopped."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable

from s3sync.app import App
from s3sync.dropzone.watch import Watcher
from s3sync.errors import Exit
from s3sync.loop import Loop
from s3sync.measures import measures
from s3sync.output import counted, human_size
from s3sync.reload import Reloading
from s3sync.settings import CommonSettings
from s3sync.standing import Report
from s3sync.transfer.agent import PassSummary
from s3sync.watching import watched

HELP = "upload what is finished, prove it, and remove the originals"
EPILOG = """examples:
  s3sync run --once             one pass, then leave with a summary
  s3sync run                    the agent: until SIGTERM, which finishes or abandons cleanly within ten seconds
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("--once", action="store_true", help="do a single pass and leave")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Run the agent, under watch. Raises `Locked`, `Preflight`, and what concerns more than one file."""
    return watched(app, lambda: _locked(args, app), measures(app), once=args.once)


def _locked(args: argparse.Namespace, app: App) -> Exit:
    with app.stop.on_signals(_leave), app.locked():
        return _run_once(app) if args.once else _run(app, args.read_again)


def _run_once(app: App) -> Exit:
    summary = app.agent().run_once(app.now())
    output = app.output
    output.record(summary.record())
    if not output.as_json:
        stored = f"{counted(summary.files, 'file')} ({human_size(summary.bytes)}) stored"
        released, errors = counted(summary.released, "original"), counted(summary.errors, "error")
        output.text(f"{stored}, {released} released, {summary.left} left, {errors}")
    return Exit.INTERRUPTED if app.stop() else summary.exit


def _run(app: App, read_again: Callable[[], CommonSettings]) -> Exit:
    report = Report(app)
    app.others.append(report)
    passes, wake = _Passes(app, report), threading.Event()
    with app.supervision.duty("main"), app.reloading(read_again) as reloading, Watcher(app.zone.path, wake, app.listener):
        app.supervision.service.ready()
        app.is_at_work()
        run_pass = lambda: passes.run(reloading)  # noqa: E731 - a name for what the loop repeats
        Loop(run_pass, app.settings.scan_interval, wake, app.stop, listener=app.listener).run()
    return Exit.DONE


class _Passes:
    """Makes passes, each with the settings as they were read last."""

    def __init__(self, app: App, report: Report) -> None:
        self._app = app
        self._report = report
        self._agent = app.agent()

    def run(self, reloading: Reloading[CommonSettings]) -> PassSummary:
        fresh = reloading.take()
        if fresh is not None:
            self._app.take_over(fresh)
            self._agent = self._app.agent()
        self._report.begins(restart_for=reloading.waiting)
        summary = self._agent.run_once(self._app.now())
        self._report.rests(summary)
        return summary


def _leave() -> None:
    """Leave without waiting for anybody: as safe as a power cut."""
    os._exit(Exit.INTERRUPTED)
