"""`import-legacy`: make manifests of the archives that the original program left."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation

from s3batch import __version__
from s3batch.app import App
from s3batch.catalogue.outbox import enqueue
from s3batch.legacy.importing import Importer, Looked, Naming, Standing
from s3batch.legacy.sources import Known, from_index, from_listing, from_manifests
from s3batch.model import Reservation
from s3batch.restore.cost import ColdArchive, Estimate, dollars, estimate
from s3sync.errors import CostLimit, Exit, Failure, Transient, Usage, gravest
from s3sync.keys import display, printable
from s3sync.store.contract import Tier

HELP = "Make manifests of the archives that the original program left, so that they are found and restored like ours."
EPILOG = """Reads every archive that can be read, once and whole, and stores a manifest beside the others. No object is replaced
or removed, and what has its manifest is not read again. Frozen archives are only counted, with the price of a thaw: ask for it
with --thaw and --max-cost, and run the command again when they are thawed. --dry-run reads and asks for nothing. Archives are
known from --manifests (the original's fallback), from --index (its daily indices), or from --bucket (by their names).
Exit code 3: some could not be imported, or are frozen; the others are in.

examples:
  s3batch import-legacy --manifests our-fallback --bucket customer-uploads --dry-run
  s3batch import-legacy --bucket customer-uploads --thaw bulk --max-cost 25
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--manifests", action="append", default=[], metavar="BUCKET", help="read fallback manifests there")
    parser.add_argument("--index", action="store_true", help="read the daily indices in OpenSearch")
    parser.add_argument("--bucket", action="append", default=[], help="look for archives by name; may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be read, thawed and paid")
    parser.add_argument("--thaw", type=Tier, choices=list(Tier), help="ask for frozen archives to be thawed, in this tier")
    parser.add_argument("--days", type=int, default=7, help="how long thawed copies are kept (default 7)")
    parser.add_argument("--max-cost", type=_dollars, metavar="USD", help="the most a thaw may cost; --thaw needs it")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Look at every archive, then import and thaw what may be. Raises `Usage`, `CostLimit`, and what looking raises."""
    if args.thaw is not None and args.max_cost is None and not args.dry_run:
        raise Usage("import-legacy", "--thaw costs money and no limit is given", "Add --max-cost USD; see --dry-run")
    if args.days < 1:
        raise Usage("--days", "is less than a day", "Name a number from 1")
    return _Importing(args, app).run(_known(args, app))


def _known(args: argparse.Namespace, app: App) -> Known:
    known = Known()
    for bucket in args.manifests:
        from_manifests(app.store, bucket, known)
    if args.index:
        if app.cluster is None:
            raise Usage("import-legacy --index", "no OpenSearch is configured", "Set S3BATCH_OPENSEARCH_URL")
        from_index(app.cluster, known)
    for bucket in args.bucket:
        from_listing(app.store, bucket, known)
    if not (args.manifests or args.index or args.bucket):
        raise Usage("import-legacy", "is not told where to look", "Add --manifests, --index or --bucket")
    return known


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount") from None
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount")
    return amount


class _Importing:
    """One run of the command."""

    def __init__(self, args: argparse.Namespace, app: App) -> None:
        self._args = args
        self._app = app
        naming = Naming(
            manifest_bucket=app.settings.manifest_bucket, host=app.host, tool=f"s3-batch, imported by s3batch {__version__}"
        )
        self._importer = Importer(app.store, app.catalogue, self._enqueue, naming)
        self._counts = {"imported": 0, "already": 0, "missing": 0, "frozen": 0, "thawing": 0, "failed": 0}

    def run(self, known: Known) -> Exit:
        frozen: list[Looked] = []
        for number, ref in enumerate(sorted(known.archives, key=lambda ref: (ref.bucket, ref.key)), start=1):
            if self._app.stop():
                return Exit.INTERRUPTED
            try:
                self._one(self._importer.look(ref), known.archives[ref], frozen)
            except Failure as failure:
                if isinstance(failure, Transient) and not self._counts["imported"] and number == 1:
                    raise
                self._failed(str(ref), failure)
            self._app.output.progress(f"{number:,} of {len(known.archives):,} archives")
        self._thaw(frozen)
        self._app.output.record({**self._counts, "odd_documents": known.odd})
        self._app.output.text(", ".join(f"{count:,} {name}" for name, count in self._counts.items()))
        left = any(self._counts[name] for name in ("missing", "frozen", "thawing", "failed")) or known.odd
        return gravest([Exit.PARTIAL if left else Exit.DONE])

    def _one(self, looked: Looked, names: set[str], frozen: list[Looked]) -> None:
        match looked.standing:
            case Standing.MISSING:
                self._counts["missing"] += 1
                self._say(looked, "is not in S3")
            case Standing.IMPORTED:
                self._counts["already"] += 1
                if not self._args.dry_run:
                    self._importer.take_over(looked)
            case Standing.READABLE if self._args.dry_run:
                self._counts["imported"] += 1
                self._say(looked, "would be read and imported")
            case Standing.READABLE:
                self._read(looked, names)
            case Standing.FROZEN:
                frozen.append(looked)
                self._counts["frozen"] += 1
            case Standing.THAWING:
                self._counts["thawing"] += 1
                self._say(looked, "is being thawed")

    def _read(self, looked: Looked, names: set[str]) -> None:
        done = self._importer.read(looked, names)
        self._counts["imported"] += 1
        self._say(looked, f"imported, {done.members:,} members")
        for one in done.left_out:
            self._say(looked, f"{printable(display(one.name))} left out: it is {one.what}")
        for name in sorted(done.lost):
            self._say(looked, f"{printable(name)} is in the former index and not in the archive")

    def _thaw(self, frozen: list[Looked]) -> None:
        if not frozen:
            return
        price = self._price(frozen, self._args.thaw or Tier.BULK)
        about = f"a thaw of {len(frozen):,} archives in tier {price.tier} for {price.days} days"
        self._app.output.record({"frozen": len(frozen), "usd": str(price.total), "hours": price.hours, "tier": price.tier})
        self._app.output.text(f"{about} costs about {dollars(price.total)} and takes up to {price.hours:.0f} hours")
        if self._args.thaw is None or self._args.dry_run:
            return
        if price.total > self._args.max_cost:
            raise CostLimit(about, f"is above --max-cost {self._args.max_cost}", "Ask for fewer buckets, or raise the limit")
        for looked in frozen:
            try:
                answer = self._app.store.thaw(looked.ref, days=self._args.days, tier=self._args.thaw)
            except Failure as failure:
                self._failed(str(looked.ref), failure)
                continue
            self._say(looked, f"thaw {answer}")

    def _price(self, frozen: list[Looked], tier: Tier) -> Estimate:
        cold = [ColdArchive(one.info.storage_class, one.info.size) for one in frozen if one.info is not None]
        size = sum(archive.size for archive in cold)
        return estimate(cold, members=len(cold), member_bytes=size, tier=tier, days=self._args.days)

    def _enqueue(self, reservation: Reservation) -> None:
        if self._app.outbox is not None:
            with self._app.journal_db.write() as connection:
                enqueue(connection, reservation)

    def _failed(self, subject: str, failure: Failure) -> None:
        self._counts["failed"] += 1
        self._app.output.record({"archive": subject, "wrong": failure.wrong, "hint": failure.hint})
        self._app.output.text(f"{printable(subject)}: {failure.wrong}. {failure.hint}")

    def _say(self, looked: Looked, what: str) -> None:
        self._app.output.record({"archive": str(looked.ref), "said": what})
        self._app.output.text(f"{printable(str(looked.ref))}: {what}")
