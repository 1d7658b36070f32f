"""`accept`: somebody says that a probably partial file is whole as it is."""

from __future__ import annotations

import argparse
import time

from s3batch.app import App
from s3sync.commands import _why
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.why import Explained, Kind, explain
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.errors import Exit, gravest
from s3sync.keys import display
from s3sync.times import to_ns

HELP = "Say that files held as probably partial are whole as they are, so that they are archived."
EPILOG = """A server's log said that the upload broke off, so the file is left alone until its client finishes it. Accepting it
counts for the file as it is now: if it is written to or replaced afterwards, the log's word counts again. What nothing holds as
probably partial needs no accepting, and nothing is noted of it. Exit codes: 0 done, 4 some are not there.

examples:
  s3batch accept customer-uploads/2024/report.pdf
  s3batch accept --json customer-uploads/2024/*.csv
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file in the drop zone, named as for `why`")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Accept each path. Raises `Usage` for one outside the drop zone."""
    ignore_lease_signals()
    app.quiet.begin_pass(wall_ns=to_ns(app.now()), monotonic_ns=time.monotonic_ns())
    asked = [_why.named(app.zone, text) for text in args.paths]
    ladder = Ladder(app.standards)
    return gravest(_accept(typed, explain(app.zone, ladder, path), app) for typed, path in asked)


def _accept(typed: bytes, explained: Explained, app: App) -> Exit:
    evidence = next((each for each in explained.verdicts if each.reason is Reason.PROBABLY_PARTIAL), None)
    if evidence is not None and explained.identity is not None:
        app.accepted.accept(explained.path, explained.identity, evidence.detail)
    accepted, missing = evidence is not None, explained.kind is Kind.MISSING
    app.output.record({"path": display(typed), "accepted": accepted, "evidence": evidence.detail if evidence else None})
    if not app.output.as_json:
        said = "accepted as it is" if accepted else "not found" if missing else "nothing holds it as probably partial"
        app.output.text(f"{display(typed)}: {said}")
    return Exit.NOT_FOUND if missing else Exit.DONE
