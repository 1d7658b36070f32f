"""One file from the drop zone to S3 and out of the drop zone: candidate -> put -> proof -> release.

Each step is journalled, so a drop may be taken up at any of them: by the pass that began it or by one of a later program. What
concerns one file alone ends in its `Outcome`; what rises from here concerns all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from s3sync.backoff import Backoff
from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.reasons import MEANINGS, Reason
from s3sync.dropzone.release import ReleaseReport
from s3sync.dropzone.slots import Kept, Original
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Failure, Permanent
from s3sync.events import Degraded, Event, Level, Listener, StepFailed
from s3sync.keys import display
from s3sync.store.contract import Stopped
from s3sync.store.proof import Proof
from s3sync.transfer.digest import Changed
from s3sync.transfer.drops import Drop, Phase
from s3sync.transfer.guard import Guard, Refused
from s3sync.transfer.journal import Journal
from s3sync.transfer.storing import Storing, Unreadable

_JUDGED_ANEW = {Reason.CHANGED, Reason.WRITER}
"""Why an original was given back that is, or will be, another one than was stored; the scan finds it wherever it lies."""

NO_LEASES = "no_leases"
"""The stable cause of the `Degraded` event."""
_NO_LEASES_DETAIL = "no lease can be had here: that nobody writes was seen only in the processes we may look into"

Releasing = Callable[[str, Original, Proof], ReleaseReport]
"""Releases the one original of a drop, named by its id. Raises `OSError`."""


class Ended(StrEnum):
    """How far a file has come."""

    RELEASED = "released"
    KEPT = "kept"
    """Stored, and could not be removed."""
    EXISTS = "exists"
    """Held: another content lies under its key."""
    CHANGED = "changed"
    """Not what was judged any more: left for the next scan."""
    FAILED = "failed"
    WAITS = "waits"
    """Not tried now: its bucket is parked, it was refused lately, or somebody asked to stop."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file of `size` bytes."""

    ended: Ended
    size: int = 0
    stored: bool = False
    """S3 has confirmed its bytes in this attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStored(Event):
    """S3 has confirmed an object with the bytes of one file."""

    name: ClassVar[str] = "file_stored"
    level: ClassVar[Level] = Level.DEBUG
    drop: str
    bucket: str
    key: bytes
    size: int
    version_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReleased(Event):
    """The original of a stored file is gone from the drop zone."""

    name: ClassVar[str] = "file_released"
    level: ClassVar[Level] = Level.DEBUG
    drop: str
    bucket: str
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeld(Event):
    """A file stays in the drop zone until somebody does something about it."""

    name: ClassVar[str] = "file_held"
    level: ClassVar[Level] = Level.WARNING
    bucket: str
    path: bytes
    reason: str
    detail: str


class Transfer:
    """Takes files all the way. May be used from several threads, for different paths."""

    def __init__(
        self,
        zone: DropZone,
        storing: Storing,
        journal: Journal,
        guard: Guard,
        *,
        backoff: Backoff,
        releasing: Releasing,
        stopping: Callable[[], bool],
        listener: Listener,
    ) -> None:
        """Keep in `backoff` which files to leave alone for a while; remove originals by `releasing`."""
        self._zone = zone
        self._storing = storing
        self._journal = journal
        self._guard = guard
        self._backoff = backoff
        self._releasing = releasing
        self._stopping = stopping
        self._listener = listener

    def begin_pass(self) -> None:
        """Forget what was learnt of the buckets in the pass before."""
        self._guard.begin_pass()
        self._storing.begin_pass()

    def send(self, candidate: Candidate) -> Outcome:
        """Store a candidate, prove it, release it. Raises `Transient` where the journal cannot be written."""
        if self._waits(candidate):
            return Outcome(Ended.WAITS)
        size = candidate.identity.size
        try:
            with self._guarded(candidate, "store"):
                drop, proof = self._storing.store(candidate)
        except _Ended as known:
            return Outcome(known.ended)
        if proof is None:
            self._hold(candidate, Reason.EXISTS, MEANINGS[Reason.EXISTS])
            return Outcome(Ended.EXISTS)
        self._listener(
            FileStored(drop=drop.id, bucket=candidate.bucket, key=candidate.key, size=size, version_id=proof.ref.version_id)
        )
        return Outcome(self._release(drop, proof, as_stored=True), size, stored=True)

    def resume(self, drop: Drop) -> Outcome:
        """Take up what the journal holds: finish what can be finished, forget what is no more.

        Raises `Transient` where the journal cannot be written.
        """
        if self._waits(drop.candidate):
            return Outcome(Ended.WAITS)
        try:
            with self._guarded(drop.candidate, "resume"):
                return Outcome(self._resume(drop))
        except _Ended as known:
            return Outcome(known.ended)

    def _resume(self, drop: Drop) -> Ended:
        if drop.phase in {Phase.STORED, Phase.UNRELEASED}:
            return self._finish(drop)
        if self._zone.state_at(drop.candidate.path) != drop.candidate.identity:
            self._storing.abandon(drop)
            return Ended.CHANGED
        if drop.phase is Phase.EXISTS:
            if self._storing.still_occupied(drop):
                self._backoff.refused(_who(drop.candidate))
                return Ended.EXISTS
            self._journal.free(drop.id)
        return Ended.WAITS  # the scan finds it, and it is stored from there

    def _finish(self, drop: Drop) -> Ended:
        """Release a drop that was stored earlier, if its object is still what it was."""
        proof = self._storing.confirm(drop)
        if proof is None:
            self._journal.lost(drop.id)
            return Ended.WAITS
        if drop.phase is Phase.UNRELEASED:
            self._journal.proved(drop.id, proof)
        # The state that was noted may be one that a refused release left it in.
        return self._release(drop, proof, as_stored=False)

    def _release(self, drop: Drop, proof: Proof, *, as_stored: bool) -> Ended:
        candidate = drop.candidate
        original = Original(0, candidate.path, candidate.identity, drop.sha256, as_archived=as_stored)
        try:
            report = self._releasing(drop.id, original, proof)
        except OSError as error:
            self._told_failure(candidate, "release", Permanent("quarantine", f"cannot be used: {error.strerror}"))
            return Ended.FAILED
        if report.unleased:
            self._listener(Degraded(cause=NO_LEASES, detail=_NO_LEASES_DETAIL))
        if not report.kept:
            self._journal.released(drop.id)
            self._backoff.succeeded(_who(candidate))
            self._listener(FileReleased(drop=drop.id, bucket=candidate.bucket, key=candidate.key))
            return Ended.RELEASED
        return self._kept(drop, report.kept[0])

    def _kept(self, drop: Drop, kept: Kept) -> Ended:
        """Decide about an original that was not removed, by why, and by where it lies now."""
        candidate = drop.candidate
        if kept.reason in _JUDGED_ANEW:
            self._journal.forgotten(drop.id)
            return Ended.CHANGED
        if kept.path != candidate.path or kept.identity is None:
            # It could not even be given back, and waits in its slot for the release to be repeated.
            self._told_failure(candidate, "release", Permanent(_shown(candidate), MEANINGS[kept.reason]))
            return Ended.FAILED
        self._journal.kept(drop.id, kept.identity, MEANINGS[kept.reason])
        self._backoff.refused((candidate.path, kept.identity))
        if drop.phase is not Phase.UNRELEASED:
            self._hold(candidate, kept.reason, MEANINGS[kept.reason])
        return Ended.KEPT

    def _waits(self, candidate: Candidate) -> bool:
        return self._stopping() or self._guard.closed(candidate.bucket) or self._backoff.waits(_who(candidate))

    @contextmanager
    def _guarded(self, candidate: Candidate, step: str) -> Iterator[None]:
        """Turn what goes wrong with one file into how it ended, told and remembered; the rest rises."""
        try:
            yield
        except Stopped as stopped:
            raise _Ended(Ended.WAITS) from stopped
        except Changed as changed:
            raise _Ended(Ended.CHANGED) from changed
        except (Refused, Unreadable) as failure:
            self._told_failure(candidate, step, failure)
            raise _Ended(Ended.FAILED) from failure

    def _told_failure(self, candidate: Candidate, step: str, failure: Failure) -> None:
        cause = failure.__cause__ if isinstance(failure, Refused) else failure
        permanent = isinstance(cause, Permanent)
        if permanent:
            self._backoff.refused(_who(candidate))
        self._listener(
            StepFailed(
                step=step,
                subject=_shown(candidate),
                bucket=candidate.bucket,
                wrong=failure.wrong,
                hint=failure.hint,
                permanent=permanent,
            )
        )

    def _hold(self, candidate: Candidate, reason: Reason, detail: str) -> None:
        self._listener(FileHeld(bucket=candidate.bucket, path=candidate.path, reason=reason, detail=detail))


class _Ended(Exception):
    """How a file ended that got no further."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended)
        self.ended = ended


def _who(candidate: Candidate) -> tuple[bytes, Identity]:
    """Return whom to leave alone: this state of this file, for another state may do better."""
    return (candidate.path, candidate.identity)


def _shown(candidate: Candidate) -> str:
    return display(candidate.path)
