"""`run`: the agent, once or until stopped."""

from __future__ import annotations

import argparse
import gc

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

COLLECT_EVERY = 20_000
"""Objects made, and not yet gone, before the collector looks at the youngest; Python's own 700 suits small programs."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("--once", action="store_true", help="do a single pass, close batches that are not full, and leave")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Run the agent, under watch."""
    # What start-up made stays, and a pass makes no cycles: looking for some took a twentieth of it.
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 10, 10)
    return watched(app, lambda: _run(args, app), measures(app), once=args.once)


def _run(args: argparse.Namespace, app: App) -> Exit:
    if not args.once:
        return run_agent(app, args.read_again)
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
