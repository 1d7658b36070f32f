"""One pass of packing, as a function: resume what is unfinished, try again to remove what could not be, scan, plan, carry.

Everything a pass decides by comes from the disk and the journal; what is kept between passes is only politeness (which buckets
and files to leave alone for a while) and the two clocks' offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from s3batch.model import StoredArchive
from s3batch.pack.events import StrayFilesSwept
from s3batch.pack.pipeline import Pipeline
from s3batch.pack.planner import Limits, plan
from s3batch.pack.resume import gone, paths_in_flight, undescribed
from s3batch.pack.tally import Tally
from s3batch.pack.transfers import AskedAgain, TransferLogs
from s3batch.pack.unreleased import AGAIN, Unreleased, UnreleasedFiles
from s3batch.pack.workers import Builders
from s3batch.pack.yard import Yard
from s3sync.dropzone.candidate import Candidate
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import ProvenQuarantines
from s3sync.dropzone.recover import give_back, recover
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.scan import Held, scan
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Failure, Transient
from s3sync.events import StepFailed


@dataclass(frozen=True, slots=True)
class Clocks:
    """Wall clock and monotonic clock in nanoseconds."""

    wall_ns: Callable[[], int]
    monotonic_ns: Callable[[], int]


class PackAgent:
    """Packs one drop zone. Hold its locks while it lives."""

    def __init__(
        self,
        *,
        zone: DropZone,
        yard: Yard,
        builders: Callable[[], AbstractContextManager[Builders]],
        standards: Standards,
        limits: Limits,
        unreleased: UnreleasedFiles,
        clocks: Clocks,
        transfers: TransferLogs | None = None,
    ) -> None:
        """Work on `zone`; `standards` lacks only what changes with a pass."""
        self._zone = zone
        self._yard = yard
        self._builders = builders if transfers is None else lambda: AskedAgain(builders(), transfers)
        self._standards = standards
        self._limits = limits
        self._unreleased = unreleased
        self._clocks = clocks
        self._transfers = transfers
        self._find = ProvenQuarantines()
        self.tally = Tally()
        """The last pass, or the one under way."""

    def start(self) -> None:
        """Bring spool and quarantine into line with the journal; once, with the locks held. Raises `OSError`."""
        yard = self._yard
        unfinished = [recorded.reservation.id for recorded in yard.steps.journal.unfinished()]
        strays = yard.steps.spool.sweep(unfinished)
        for batch in unfinished:
            yard.steps.spool.adopt(batch)
        report = recover(self._zone, {*unfinished, *(f"{one.batch}{AGAIN}" for one in self._unreleased.all())})
        if strays or report.given_back:
            yard.listener(StrayFilesSwept(spool=len(strays), given_back=len(report.given_back)))

    def run_pass(self, *, close_all: bool) -> Tally:
        """Do one pass; `close_all` closes batches that are not full.

        Raises `OSError` where the root cannot be listed, `Preflight` where its path names another folder by now, and
        `Transient` where journal or spool cannot be used.
        """
        self.tally = Tally()
        self._zone.refuse_if_replaced()
        self._standards.quiet.begin_pass(wall_ns=self._clocks.wall_ns(), monotonic_ns=self._clocks.monotonic_ns())
        yard = self._yard
        if self._transfers is not None:
            self._transfers.begin_pass()
        with self._builders() as builders:
            self._tidy_up(yard)
            ladder = self._ladder(yard)
            pipeline = Pipeline(yard, builders, self.tally)
            unfinished = yard.steps.journal.unfinished()
            try:
                for recorded in unfinished:
                    if not yard.parked.waits(recorded.reservation.bucket):
                        pipeline.resume(recorded)
                limits = replace(self._limits, close_all=close_all)
                pipeline.run(plan(self._candidates(ladder), limits, self._clocks.wall_ns()))
            finally:
                pipeline.finish()
        self._give_back({recorded.reservation.id for recorded in unfinished})
        self.tally.again_seconds = self._again_seconds()
        return self.tally

    def _give_back(self, resumed: set[str]) -> None:
        """Give back what batches that were ended without a release have in quarantine: nobody else would before a restart."""
        ended = resumed - {recorded.reservation.id for recorded in self._yard.steps.journal.unfinished()}
        if not ended:
            return
        try:
            given_back = give_back(self._zone, ended)
        except OSError as error:
            wrong = f"a quarantine cannot be looked into: {error.strerror}"
            self.tally.fail(Transient(self._yard.root, wrong, "What lies in it is safe, and is given back at the next start"))
            return
        for kept in given_back:
            self.tally.leave(kept.reason)
        if given_back:
            self._yard.listener(StrayFilesSwept(spool=0, given_back=len(given_back)))

    def _again_seconds(self) -> float | None:
        """In how many seconds a file is quiet, a bucket is tried again, or a batch closes by its age, whichever is first."""
        waits = [self._standards.quiet.soonest_seconds, self._yard.parked.soonest_seconds()]
        if self.tally.oldest_waiting_ns is not None:
            closes_ns = self.tally.oldest_waiting_ns + self._limits.quiet_ns + self._limits.max_age_ns
            waits.append(max(0.0, (closes_ns - self._clocks.wall_ns()) / 1e9))
        return min((wait for wait in waits if wait is not None), default=None)

    def _candidates(self, ladder: Ladder) -> Iterator[Candidate]:
        for found in scan(self._zone, ladder, self._find):
            if self._yard.stopping():
                self.tally.interrupted = True
                return
            if isinstance(found, Held):
                self.tally.leave(found.reason, found.files)
            else:
                yield found

    def _ladder(self, yard: Yard) -> Ladder:
        in_flight = paths_in_flight(yard.steps.journal, yard.steps.spool)
        unreleasable = self._unreleased.by_path()
        return Ladder(replace(self._standards, in_flight=in_flight, unreleasable=unreleasable, partial=self._transfers))

    def _tidy_up(self, yard: Yard) -> None:
        """Abort uploads of abandoned batches, and try again to remove what could not be removed."""
        for failure in yard.steps.abort_orphans():
            yard.listener(StepFailed.of(failure, step="abort", bucket=""))
        by_batch: dict[str, list[Unreleased]] = {}
        for one in self._unreleased.all():
            by_batch.setdefault(one.batch, []).append(one)
        for batch, files in by_batch.items():
            if not yard.stopping():
                self._release_again(yard, batch, files)

    def _release_again(self, yard: Yard, batch: str, files: list[Unreleased]) -> None:
        recorded = yard.steps.journal.get(batch)
        if recorded is None or recorded.etag is None:
            return  # the journal was lost: nothing proves that these bytes are archived, so they stay
        stored = recorded.stored(yard.steps.spool.folder(batch))
        if not self._still_there(yard, stored, files):
            return
        try:
            report = yard.steps.releaser(f"{batch}{AGAIN}", (one.original for one in files), stored.proof)
        except Failure as failure:
            # A disk or a worker of theirs; what others dropped has nothing to do with it.
            self._not_removed(yard, stored, failure)
            return
        self._unreleased.settle(batch, {one.path: one.sha256 for one in files}, report)
        self.tally.released += report.released

    def _still_there(self, yard: Yard, stored: StoredArchive, files: list[Unreleased]) -> bool:
        """Tell whether archive and manifest are still in S3; where the archive has gone, its files are to be archived anew."""
        reservation = stored.spooled.reservation
        if yard.parked.waits(reservation.bucket):
            return False
        try:
            if not yard.steps.still_there(stored):
                self._unreleased.forget(one.path for one in files)
                failure: Failure = gone(reservation)
            elif yard.steps.manifest_proof(reservation) is None:
                failure = undescribed(reservation)
            else:
                return True
        except Failure as why:
            if isinstance(why, Transient):  # the bucket's trouble, and not this archive's alone
                yard.parked.refused(reservation.bucket)
            failure = why
        self._not_removed(yard, stored, failure)
        return False

    def _not_removed(self, yard: Yard, stored: StoredArchive, failure: Failure) -> None:
        self.tally.fail(failure)
        yard.listener(StepFailed.of(failure, step="release", bucket=stored.spooled.reservation.bucket))
