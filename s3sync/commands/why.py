"""`why`: every rule with its verdict on a path. Changes nothing."""

from __future__ import annotations

import argparse
import functools

from s3sync.app import App
from s3sync.commands import _why
from s3sync.dropzone.why import explain
from s3sync.dropzone.writers import snapshot
from s3sync.errors import Exit, gravest

HELP = "say of each path which rules it passes, which one holds it back, and what would have to happen"
EPILOG = """PATH is absolute, or relative to the current folder or to the drop zone; s3://bucket/key names the file dropped for
that key. Nothing is changed. The rules come in the order a pass asks them; the first that says YES is the one that counts.
Exit codes: 0 all are eligible, 3 some are held, 4 some are not there.

examples:
  s3sync why my-bucket/reports/may.csv
  s3sync why --json /srv/drop/sync/my-bucket/*.csv
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file or folder in the drop zone")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Explain each path. Raises `Usage` for one outside the drop zone."""
    asked = [_why.named(app.zone, text) for text in args.paths]
    ladder, look = app.ladder(), functools.cache(snapshot)
    codes = []
    for typed, path in asked:
        explained = explain(app.zone, ladder, path, look=look)
        app.output.record(_why.record(typed, explained))
        if not app.output.as_json:
            _why.show(typed, explained, app.output)
        codes.append(_why.exit_code(explained))
    return gravest(codes)
