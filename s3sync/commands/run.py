"""`run`: the agent, once or until stopped."""

from __future__ import annotations

import argparse
import os
import threading

from s3sync.app import App
from s3sync.dropzone.watch import Watcher
from s3sync.errors import Exit
from s3sync.loop import Loop
from s3sync.measures import measures
from s3sync.output import counted, human_size
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
        return _run_once(app) if args.once else _run(app)


def _run_once(app: App) -> Exit:
    summary = app.agent().run_once(app.now())
    output = app.output
    output.record(summary.record())
    if not output.as_json:
        stored = f"{counted(summary.files, 'file')} ({human_size(summary.bytes)}) stored"
        released, errors = counted(summary.released, "original"), counted(summary.errors, "error")
        output.text(f"{stored}, {released} released, {summary.left} left, {errors}")
    return Exit.INTERRUPTED if app.stop() else summary.exit


def _run(app: App) -> Exit:
    agent, wake = app.agent(), threading.Event()
    app.is_at_work()
    with Watcher(app.zone.path, wake, app.listener):
        Loop(lambda: agent.run_once(app.now()), app.settings.scan_interval, wake, app.stop, listener=app.listener).run()
    return Exit.DONE


def _leave() -> None:
    """Leave without waiting for anybody: as safe as a power cut."""
    os._exit(Exit.INTERRUPTED)
