"""`manifests`: store manifests anew that S3 has lost, from a catalogue."""

from __future__ import annotations

import argparse
from collections import Counter

from s3batch.app import App
from s3batch.catalogue.remanifest import Fate, Remanifest, Told
from s3batch.commands._catalogues import chosen, setup_catalogue
from s3sync.errors import Exit, Usage
from s3sync.keys import printable

HELP = "Store manifests anew that S3 has lost, from this host's catalogue or the fleet's."
EPILOG = """Looks at every archive the catalogue knows. Where its manifest is gone, and the archive is still the one described,
the manifest is written again; nothing is replaced or removed. With --manifest-bucket they go to another bucket than before:
change the setting as well, and run s3batch rebuild, so that the catalogue knows where they are. May be broken off and repeated.
Exit code 3: some archives or manifests are not as they should be, and are named.

examples:
  s3batch manifests --dry-run
  s3batch manifests --manifest-bucket new-manifests --catalogue opensearch
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--bucket", action="append", default=[], help="only this bucket's archives; may be repeated")
    parser.add_argument("--manifest-bucket", help="where they go (default: as configured, or where each was)")
    parser.add_argument("--dry-run", action="store_true", help="only say which are missing")
    setup_catalogue(parser)


def run(args: argparse.Namespace, app: App) -> Exit:
    """Look at all, and sum up. Raises `Usage` where the catalogue knows nothing, and what catalogue and store raise."""
    catalogue = chosen(args, app)
    buckets = args.bucket or catalogue.buckets()
    if not buckets:
        raise Usage("manifests", "the catalogue knows no archive", "Ask another: --catalogue opensearch, or another host's")
    manifest_bucket = args.manifest_bucket or app.settings.manifest_bucket
    remanifest = Remanifest(app.store, catalogue, manifest_bucket, dry_run=args.dry_run)
    counts: Counter[Fate] = Counter()
    for bucket in buckets:
        for told in remanifest.run(bucket):
            counts[told.fate] += 1
            _show(told, app)
            if app.stop():
                return Exit.INTERRUPTED
    totals = {fate.value: counts[fate] for fate in Fate}
    app.output.record({"archives": counts.total(), **totals})
    summed = ", ".join(f"{count:,} {name}" for name, count in totals.items() if count)
    app.output.text(f"{counts.total():,} archives; manifests: {summed or 'none'}")
    return Exit.PARTIAL if counts[Fate.REFUSED] else Exit.DONE


def _show(told: Told, app: App) -> None:
    if told.fate is Fate.THERE:
        return
    record: dict[str, object] = {"manifest": str(told.record.manifest), "fate": told.fate.value}
    if told.failure is None:
        app.output.record(record)
        app.output.text(f"{told.fate.value} {printable(str(told.record.manifest))}")
    else:
        app.output.record({**record, "wrong": told.failure.wrong, "hint": told.failure.hint})
        app.output.text(f"refused {printable(str(told.record.manifest))}: {told.failure.wrong}")
