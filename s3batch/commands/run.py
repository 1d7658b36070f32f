"""`run`: the agent, once or until stopped."""

from __future__ import annotations

import argparse

from s3batch.app import App
from s3batch.daemon import run as run_agent
from s3batch.daemon import run_once
from s3batch.measures import measures
from s3sync.errors import Exit
from s3sync.output import counted, human_size
from s3sync.watching import watched

HELP = "pack, prove, catalogue and release what is finished; advance restore requests"
EPILOG = """examples:
  s3batch run --once            one pass that closes every batch, then leave
  s3batch run                   the agent: until SIGTERM, which finishes or abandons cleanly within ten seconds
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("--once", action="store_true", help="do a single pass, close batches that are not full, and leave")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Run the agent, under watch."""
    return watched(app, lambda: _run(args, app), measures(app), once=args.once)


def _run(args: argparse.Namespace, app: App) -> Exit:
    if not args.once:
        return run_agent(app)
    tally, code = run_once(app)
    output = app.output
    output.record(tally.summary())
    if not output.as_json:
        files, archives = counted(tally.files, "file"), counted(tally.archives, "archive")
        originals = counted(tally.released, "original")
        output.text(f"{files} ({human_size(tally.bytes)}) in {archives}; {originals} released")
        for reason, count in sorted(tally.left.items()):
            output.text(f"  left: {count} {reason}")
        for error in tally.errors:
            output.text(f"  failed: {error}")
    return code
