"""What becomes of a file, and how it is told and remembered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from s3sync.backoff import Backoff
from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.reasons import MEANINGS, Reason
from s3sync.errors import Failure, Permanent
from s3sync.events import Event, Level, Listener, StepFailed
from s3sync.keys import display
from s3sync.transfer.guard import Refused


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


class Files:
    """Remembers which files to leave alone for a while, and tells of each. May be used from several threads."""

    def __init__(self, backoff: Backoff, listener: Listener) -> None:
        """Remember in `backoff`."""
        self._backoff = backoff
        self.tell = listener

    def waits(self, candidate: Candidate) -> bool:
        """Tell whether this state of the file is to be left alone now; another state may do better."""
        return self._backoff.waits((candidate.path, candidate.identity))

    def refused(self, path: bytes, identity: Identity) -> None:
        """Leave this state of the file alone, longer each time."""
        self._backoff.refused((path, identity))

    def succeeded(self, candidate: Candidate) -> None:
        """Forget that the file was ever refused."""
        self._backoff.succeeded((candidate.path, candidate.identity))

    def failed(self, candidate: Candidate, step: str, failure: Failure) -> None:
        """Tell that a step failed; one that would fail again the same way is not repeated soon."""
        cause = failure.__cause__ if isinstance(failure, Refused) else failure
        permanent = isinstance(cause, Permanent)
        if permanent:
            self.refused(candidate.path, candidate.identity)
        subject = display(candidate.path)
        self.tell(StepFailed.of(failure, step=step, bucket=candidate.bucket, subject=subject, permanent=permanent))

    def held(self, candidate: Candidate, reason: Reason) -> None:
        """Tell that the file is held."""
        self.tell(FileHeld(bucket=candidate.bucket, path=candidate.path, reason=reason, detail=MEANINGS[reason]))
