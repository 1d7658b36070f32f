"""Carry batches through: plan and reserve in one thread, build in worker processes, the remaining steps in a few carriers.

The stages overlap because every batch goes its own way: while one is being uploaded the next is built and the one before
it released. Nothing is shared between batches but the spool's budget and the journal. What stops one batch (its bucket
refuses, its upload breaks off) is noted in its row and parks its bucket for a while; the others go on. How many batches are
under way is bounded, so memory and spool are.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future
from functools import partial
from types import MappingProxyType

from s3batch.model import (
    Archive,
    Batch,
    CataloguedArchive,
    ManifestedArchive,
    Reservation,
    SpooledArchive,
    StoredArchive,
)
from s3batch.pack.build import BuildJob, Built, Disturbed
from s3batch.pack.carriers import Carriers
from s3batch.pack.events import (
    ArchiveReleased,
    ArchiveReserved,
    ArchiveStored,
    CandidateLeft,
    OriginalsKept,
    Redelivered,
)
from s3batch.pack.lifecycle import Recorded, State
from s3batch.pack.patience import LOOK_SECONDS, Patience
from s3batch.pack.planner import Waiting
from s3batch.pack.resume import next_phase
from s3batch.pack.room import Room
from s3batch.pack.spool import needed_bytes
from s3batch.pack.tally import Tally
from s3batch.pack.workers import Builders
from s3batch.pack.yard import Yard
from s3sync.dropzone.release import ReleaseReport
from s3sync.errors import Failure, Permanent, Transient
from s3sync.events import Event, StepFailed
from s3sync.keys import display
from s3sync.store.proof import Differs

BUILDS_AHEAD = 3
"""Batches being built or about to be; each holds its candidates in memory."""


class Pipeline:
    """One pass: `launch` or `resume` batches, then `finish`."""

    def __init__(self, yard: Yard, builders: Builders, tally: Tally) -> None:
        """Work with `yard`, building by `builders`, counting into `tally`."""
        self._yard = yard
        self._builders = builders
        self._tally = tally
        self._journal = yard.steps.journal
        self._spool = yard.steps.spool
        self._carriers = Carriers(yard.threads)
        self._builds = threading.BoundedSemaphore(BUILDS_AHEAD)
        self._patience = Patience(self._spool, stopping=yard.stopping, asked=yard.asked)
        self._room = Room(yard, tally, self._patience)

    def run(self, planned: Iterable[Batch | Waiting]) -> None:
        """Launch every planned batch whose bucket is not parked, as room comes free; stop early when asked to."""
        for item in planned:
            if self._yard.stopping():
                self._tally.interrupted = True
                return
            if isinstance(item, Waiting):
                self._tally.wait(item)
            elif self._yard.parked.waits(item.bucket):
                self._tally.leave("bucket_parked", len(item.candidates))
            else:
                self._launch(item)

    def resume(self, recorded: Recorded) -> None:
        """Go on with a batch of an earlier run or pass from where the journal says it is."""
        steps = self._yard.steps
        # A built batch resumes with its upload: what refuses that for good refuses this, and must not keep its room.
        step = "store" if recorded.state is State.SPOOLED else "resume"
        begin = partial(next_phase, recorded, steps, self._yard.stopping)
        self._carriers.advance(partial(self._carry, recorded.reservation, step, begin))

    def finish(self) -> None:
        """Wait until nothing is under way."""
        while not self._carriers.wait(LOOK_SECONDS):
            self._patience()
        self._carriers.dismiss()

    def _launch(self, batch: Batch) -> None:
        """Reserve the batch and begin to build it; leave its files where no room will come free for it in this pass."""
        needed = needed_bytes(batch.planned_bytes, len(batch.candidates))
        if not self._room.find(batch, needed, idle=self._carriers.idle):
            return
        while not self._builds.acquire(timeout=LOOK_SECONDS):
            self._patience()
        reservation = self._journal.reserve(batch, self._yard.names)
        self._spool.take(reservation.id, needed)
        self._announce(batch, reservation)
        job = BuildJob(
            root=self._yard.root,
            folder=str(self._spool.folder(reservation.id)),
            candidates=batch.candidates,
            max_bytes=self._yard.max_bytes,
        )
        # From here on nothing may raise before the batch is somebody's: unended, it would keep the pass waiting for ever.
        self._carriers.begin()
        try:
            future = self._builders.submit(job)
        except Exception as error:  # noqa: BLE001 - of the batch that is begun
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda done: self._built(reservation, done))

    def _built(self, reservation: Reservation, future: Future[Built]) -> None:
        """Take over what a worker built, and have it carried on."""
        self._builds.release()
        try:
            self._carriers.advance(partial(self._carry, reservation, "build", partial(self._spooled, reservation, future)))
        finally:
            self._carriers.end()

    def _carry(self, reservation: Reservation, step: str, begin: Callable[[], Archive | None]) -> None:
        """Take a batch through the steps it has still before it; what stops it is noted and is nobody else's business."""
        try:
            archive = begin()
            while archive is not None:
                if self._yard.stopping():
                    self._tally.interrupted = True
                    return
                if isinstance(archive, CataloguedArchive) and step != "release":
                    self._carriers.release(partial(self._carry, reservation, "release", partial(_as_it_is, archive)))
                    return
                step = STEPS[type(archive)]
                archive = self._advance(archive)
            self._yard.parked.succeeded(reservation.bucket)
        except Failure as failure:
            self._failed(reservation, step, failure)
        except Exception as error:  # noqa: BLE001 - one poisonous batch must not stop the others; told with its trace
            self._failed(reservation, step, _surprise(reservation, error))

    def _spooled(self, reservation: Reservation, future: Future[Built]) -> SpooledArchive | None:
        """Journal what a worker built; None where no file held still."""
        built = self._result(reservation, future)
        for left in built.left:
            self._tally.leave(left.reason)
            path = display(left.path)
            self._tell(CandidateLeft(batch=reservation.id, bucket=reservation.bucket, path=path, reason=left.reason))
        if built.members == 0:
            self._yard.steps.give_up(reservation, "no file held still")
            return None
        spooled = SpooledArchive(
            reservation=reservation,
            folder=self._spool.folder(reservation.id),
            size=built.size,
            crc64nvme=built.crc64nvme,
            members=built.members,
            content_bytes=built.content_bytes,
        )
        self._journal.spooled(spooled)
        return spooled

    def _advance(self, archive: Archive) -> Archive | None:
        """Do the one step that comes next; None after the last."""
        steps = self._yard.steps
        match archive:
            case SpooledArchive():
                stored = steps.stored(archive)
                ref = stored.proof.ref
                self._tell(ArchiveStored(batch=archive.reservation.id, bucket=ref.bucket, key=ref.key, size=archive.size))
                return stored
            case StoredArchive():
                return steps.manifested(archive)
            case ManifestedArchive():
                return steps.catalogued(archive)
            case CataloguedArchive():
                redelivered = steps.redelivered(archive)
                self._released(archive.spooled, steps.released(archive, redelivered=redelivered))
                self._redelivered(archive.spooled.reservation, redelivered)
                return None

    def _redelivered(self, reservation: Reservation, files: int) -> None:
        if files:
            self._tally.redeliver(files)
            self._tell(Redelivered(batch=reservation.id, bucket=reservation.bucket, files=files))

    def _released(self, spooled: SpooledArchive, report: ReleaseReport) -> None:
        self._tally.archived(spooled, report)
        reservation = spooled.reservation
        self._tell(
            ArchiveReleased(
                batch=reservation.id,
                bucket=reservation.bucket,
                key=reservation.archive.key,
                size=spooled.size,
                members=spooled.members,
                content_bytes=spooled.content_bytes,
                released=report.released,
                vanished=report.vanished,
                kept=len(report.kept),
            )
        )
        for reason, files in Counter(kept.reason for kept in report.kept).items():
            self._tell(OriginalsKept(batch=reservation.id, bucket=reservation.bucket, reason=reason, files=files))

    def _failed(self, reservation: Reservation, step: str, failure: Failure) -> None:
        """Note, park, tell; give the batch up where its tar is of no use (never built, or refused for good)."""
        if self._yard.stopping():
            self._tally.interrupted = True
            return
        self._tally.fail(failure)
        if step != "build":
            # What went wrong on our own disk says nothing about the bucket.
            self._yard.parked.refused(reservation.bucket)
        # An archive that lies in S3, and not as it should, is never given up: its files would be archived and paid for again.
        in_vain = isinstance(failure, Permanent) and not isinstance(failure, Differs)
        self._tell(StepFailed.of(failure, step=step, bucket=reservation.bucket))
        try:
            self._journal.failed(reservation.id, str(failure))
            if step == "build" or (step == "store" and in_vain):
                self._yard.give_up(reservation, str(failure))
        except (Failure, OSError) as second:
            # The journal or the spool is in trouble too; the row stays as it is and the next pass resumes from it.
            self._tally.fail(second if isinstance(second, Failure) else _surprise(reservation, second))

    def _result(self, reservation: Reservation, future: Future[Built]) -> Built:
        """Return what the worker built, or say in our family's words why it did not."""
        try:
            return _result(reservation, future)
        except OSError as error:
            needed = self._spool.taken_by(reservation.id)
            self._room.gave_out(needed)
            where = "" if error.filename is None else f" ({error.filename})"
            raise Transient(
                f"batch {reservation.id}",
                f"cannot be built in the spool {self._spool.root}, where it needs {needed} bytes: {error.strerror}{where}",
                "Check the spool's disk and quota; smaller batches go on, and the files join a later one",
            ) from error

    def _announce(self, batch: Batch, reservation: Reservation) -> None:
        self._tell(
            ArchiveReserved(
                batch=reservation.id,
                bucket=reservation.bucket,
                reason=batch.reason,
                members=len(batch.candidates),
                planned_bytes=batch.planned_bytes,
            )
        )

    def _tell(self, event: Event) -> None:
        self._yard.listener(event)


STEPS: Mapping[type, str] = MappingProxyType(
    {SpooledArchive: "store", StoredArchive: "manifest", ManifestedArchive: "catalogue", CataloguedArchive: "release"}
)
"""The step that comes next for each phase."""


def _result(reservation: Reservation, future: Future[Built]) -> Built:
    """Return what the worker built. Raises `Transient` where that is no fault of the spool's, and `OSError` where it is."""
    subject = f"batch {reservation.id}"
    try:
        return future.result()
    except Disturbed as error:
        raise Transient(
            subject, "a file was written to while it was copied", "Leave it; the files join a later batch"
        ) from error
    except (BrokenExecutor, CancelledError) as error:
        raise Transient(subject, "its worker process ended early", "Leave it; the files join a later batch") from error


def _as_it_is(archive: Archive) -> Archive:
    """Return what goes on from where it is."""
    return archive


def _surprise(reservation: Reservation, error: Exception) -> Failure:
    """Return an unexpected error as a failure of its batch, with the trace a maintainer needs."""
    trace = "".join(traceback.format_exception(error))
    return Transient(f"batch {reservation.id}", f"unexpected {type(error).__name__}: {error}", f"Report this: {trace}")
