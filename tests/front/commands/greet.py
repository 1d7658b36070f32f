"""A command to try the front door with."""

from __future__ import annotations

import argparse
import os
import sys

from s3sync.errors import CostLimit, Exit
from s3sync.frontdoor import SettingsOnly

HELP = "Say hello."
EPILOG = """examples:
  %(prog)s ann
  %(prog)s ann --json"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Take a name."""
    parser.add_argument("who")


def run(args: argparse.Namespace, app: SettingsOnly) -> Exit:
    """Greet, or fail in the way that is asked for."""
    if args.who == "refuse":
        raise CostLimit("greeting\n", "costs too much", "Say less")
    if args.who == "surprise":
        raise ZeroDivisionError
    if args.who == "blab":
        raise ValueError(f"https://ann:pass-word@search:9200 and {os.environ['AWS_SECRET_ACCESS_KEY']}")
    if args.who == "interrupt":
        raise KeyboardInterrupt
    if args.who == "flood":
        for _ in range(100_000):
            app.output.text("hello")
    app.output.record({"hello": args.who})
    app.output.text(f"hello {args.who}")
    app.output.progress(f"{'boto3' in sys.modules or 'structlog' in sys.modules}")
    return Exit.PENDING
