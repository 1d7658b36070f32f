"""`why`: every rule with its verdict on a path, and what else is known of it. Changes nothing."""

from __future__ import annotations

import argparse
import functools
import time

from s3batch.app import App
from s3batch.catalogue.targets import member_uri
from s3batch.commands import _records
from s3batch.operate.why import Known, what_is_known
from s3sync.commands import _why
from s3sync.dropzone.why import Kind
from s3sync.dropzone.writers import ignore_lease_signals, snapshot
from s3sync.errors import Exit, gravest
from s3sync.output import Output, human_time
from s3sync.times import parse_utc, rfc3339, to_ns

HELP = "Say of each path which rules it passes, which one holds it back, and what would have to happen."
EPILOG = """PATH is absolute, or relative to the current folder or to the drop zone; s3://bucket/key names the file dropped for
that key. Nothing is changed. The rules come in the order a pass asks them; the first that says YES is the one that counts.
Exit codes: 0 all are eligible, 3 some are held, 4 some are not there.

examples:
  s3batch why /srv/drop/customer-uploads/2024/report.pdf
  s3batch why --json customer-uploads/2024/*.pdf
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file or folder in the drop zone")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Explain each path. Raises `Usage` for one outside the drop zone."""
    ignore_lease_signals()
    app.quiet.begin_pass(wall_ns=to_ns(app.now()), monotonic_ns=time.monotonic_ns())
    asked = [_why.named(app.zone, text) for text in args.paths]
    look = functools.cache(snapshot)
    paths = [path for _, path in asked]
    known = what_is_known(paths, app.zone, app.standards, _records.open_records(app), look=look)
    return gravest(_show(typed, about, app.output) for (typed, _), about in zip(asked, known, strict=True))


def _show(typed: bytes, known: Known, output: Output) -> Exit:
    explained = known.explained
    output.record({**_why.record(typed, explained), **_besides(known)})
    if not output.as_json:
        _why.show(typed, explained, output, _sentences(known))
        output.text()
    return _why.exit_code(explained)


def _besides(known: Known) -> dict[str, object]:
    """Return what `--json` says besides the rules, where there is anything to say."""
    found: dict[str, object] = {}
    if known.batch is not None:
        found["batch"] = known.batch.reservation.id
        found["batch_state"] = known.batch.state.value
    if known.unreleased is not None:
        found["unreleased"] = known.unreleased.reason
    if known.archived:
        newest = known.archived[0]
        found["archive"] = str(newest.archive.ref)
        found["archived_at"] = rfc3339(newest.archive.created)
        found["versions"] = len(known.archived)
        if known.explained.kind is Kind.MISSING:
            found["detail"] = (
                f"{_why.detail(known.explained)}; archived {rfc3339(newest.archive.created)} in {newest.archive.ref}"
            )
    return found


def _sentences(known: Known) -> list[str]:
    said = []
    if known.batch is not None:
        batch = known.batch
        error = f"; its last step failed: {batch.error}" if batch.error else ""
        said.append(f"Batch {batch.reservation.id} ({batch.state.value}) goes to {batch.reservation.archive}{error}.")
    if known.unreleased is not None:
        one = known.unreleased
        said.append(f"Archived by batch {one.batch}, not removable since {human_time(parse_utc(one.since))}: {one.reason}.")
    if known.archived:
        newest = known.archived[0]
        others = f", and {len(known.archived) - 1} older versions" if len(known.archived) > 1 else ""
        when = human_time(newest.archive.created)
        said.append(f"Under this key the catalogue has {member_uri(newest)}, archived {when}{others}.")
    return said
