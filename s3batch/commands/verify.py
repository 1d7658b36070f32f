"""`verify`: a sample of the archives, or all of them, against what S3 holds."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from s3batch.app import App
from s3batch.commands._moments import first_moment
from s3batch.commands._records import open_records
from s3batch.model import ArchiveRecord
from s3batch.operate.sample import RING, Sample, place_of, sample
from s3batch.operate.verification import Kind, Looked, verify
from s3batch.operate.verified import Verification, Verifications
from s3sync.errors import Exit, Usage, gravest
from s3sync.output import Output
from s3sync.store.contract import ObjectRef

HELP = "Compare a sample of the archives, or all, with S3: by HEAD and manifest, without thawing anything."
EPILOG = """Of each archive size, CRC64NVME, storage class, mark and version are asked by HEAD, and its manifest is read and
compared with the catalogue. Nothing is changed in S3. Samples take turns: each archive has its place on a ring for good, and a
sample goes on where the last one ended, so that --sample 1% has looked at every archive after a hundred runs. With --seed it
begins elsewhere, with --bucket or --since it chooses among fewer, and neither moves the turn. `status` tells of the last run,
and of what was found amiss until it is found well again.

Exit code 8: an archive or manifest is missing or differs; 3: some could not be looked at, and the others are well.

examples:
  s3batch verify --sample 1%
  s3batch verify --all --bucket customer-uploads --json
"""


@dataclass(slots=True)
class _Counts:
    """What a run comes to, in archives."""

    looked: int = 0
    amiss: int = 0
    unseen: int = 0

    def add(self, looked: Looked) -> None:
        kinds = {finding.kind for finding in looked.findings}
        self.looked += 1
        self.unseen += Kind.UNSEEN in kinds
        self.amiss += bool(kinds - {Kind.UNSEEN})

    @property
    def exit(self) -> Exit:
        """`MISMATCH` where anything is amiss; `PARTIAL` where some could not be looked at, `FAILED` where none could."""
        seen = Exit.DONE if not self.unseen else Exit.PARTIAL if self.unseen < self.looked else Exit.FAILED
        return gravest([seen, Exit.MISMATCH if self.amiss else Exit.DONE])


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--sample", metavar="N%", help="this share of the archives, such as 1%% or 0.5%%; at least one")
    which.add_argument("--all", action="store_true", help="every archive")
    parser.add_argument("--bucket", action="append", default=[], help="only this bucket's archives; may be repeated")
    parser.add_argument("--since", metavar="TIME", help="only archives made since then: a date, or an age such as 7d")
    parser.add_argument("--seed", type=int, metavar="K", help="the K-th sample from the beginning of the ring, counted from 0")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Compare, and name all that is not as it should be. Raises `Usage`, `Transient`."""
    share = Fraction(1) if args.all else _share(args.sample)
    since = None if args.since is None else first_moment(args.since, app.now())
    records = open_records(app)
    if records.db is None or records.catalogue is None:
        app.output.text("no archive is catalogued here")
        return Exit.DONE
    kept = Verifications(app.journal_db)
    placed = list(_placed(app, frozenset(args.bucket), since))
    start = kept.next_place() if args.seed is None else round(RING * share) * args.seed % RING
    chosen = sample(placed, start=start, share=share)
    counts = _Counts()
    for looked in verify(app.store, app.catalogue, _records(app, chosen)):
        counts.add(looked)
        kept.note(looked, app.now())
        _tell(looked, app.output)
        app.output.progress(f"{counts.looked:,} of {len(chosen.chosen):,} archives")
    a_turn = not args.all and args.seed is None and not args.bucket and since is None
    kept.ended(
        Verification(
            ended=app.now(),
            sample=_asked(args),
            archives=counts.looked,
            of=len(placed),
            amiss=counts.amiss,
            unseen=counts.unseen,
            next_place=chosen.next_place if a_turn else None,
        )
    )
    _sum_up(counts, len(placed), app.output)
    return counts.exit


def _placed(app: App, buckets: frozenset[str], since: datetime | None) -> Iterator[tuple[int, ObjectRef]]:
    for record in app.catalogue.archives_since(since):
        if not buckets or record.ref.bucket in buckets:
            yield place_of(record.ref.bucket, record.batch), record.ref


def _records(app: App, chosen: Sample[ObjectRef]) -> Iterator[ArchiveRecord]:
    for ref in chosen.chosen:
        record = app.catalogue.archive(ref.bucket, ref.key)
        if record is not None:  # corrected by a rebuild in this moment
            yield record


def _share(text: str) -> Fraction:
    try:
        share = Fraction(text.strip().removesuffix("%")) / 100
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not text.strip().endswith("%") or not 0 < share <= 1:
        raise Usage("--sample", f"{text!r} is no share", "Write a percentage above 0% and up to 100%, such as 1%")
    return share


def _asked(args: argparse.Namespace) -> str:
    words = ["all" if args.all else args.sample, *(f"--bucket {bucket}" for bucket in args.bucket)]
    words += [f"--since {args.since}"] if args.since else []
    words += [] if args.seed is None else [f"--seed {args.seed}"]
    return " ".join(words)


def _tell(looked: Looked, output: Output) -> None:
    for finding in looked.findings:
        ref = looked.record.ref
        output.record({"archive": str(ref), "finding": finding.kind.value, "detail": finding.detail})
        output.text(f"{finding.kind.value:<16} {ref}: {finding.detail}")


def _sum_up(counts: _Counts, there_are: int, output: Output) -> None:
    output.record({"archives": counts.looked, "of": there_are, "amiss": counts.amiss, "unseen": counts.unseen})
    unseen = f", {counts.unseen:,} could not be looked at" if counts.unseen else ""
    amiss = f"{counts.amiss:,} amiss" if counts.amiss else "nothing amiss"
    output.text(f"{counts.looked:,} of {there_are:,} archives compared with S3: {amiss}{unseen}")
