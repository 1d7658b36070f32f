"""What happens to batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from s3sync.events import Event, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReserved(Event):
    """A batch was closed and got its names."""

    name: ClassVar[str] = "archive_reserved"
    level: ClassVar[Level] = Level.DEBUG
    batch: str
    bucket: str
    reason: str
    members: int
    planned_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLeft(Event):
    """A candidate did not become a member; it stays where it is."""

    name: ClassVar[str] = "candidate_left"
    level: ClassVar[Level] = Level.DEBUG
    batch: str
    bucket: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveStored(Event):
    """S3 confirmed the archive."""

    name: ClassVar[str] = "archive_stored"
    level: ClassVar[Level] = Level.DEBUG
    batch: str
    bucket: str
    key: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReleased(Event):
    """A batch is done: proved, catalogued, its originals removed. The one line an archive leaves in the log."""

    name: ClassVar[str] = "archive_released"
    batch: str
    bucket: str
    key: str
    size: int
    members: int
    content_bytes: int
    released: int
    vanished: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAbandoned(Event):
    """A batch was given up; its originals join a later one."""

    name: ClassVar[str] = "batch_abandoned"
    level: ClassVar[Level] = Level.WARNING
    batch: str
    bucket: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalsKept(Event):
    """Archived originals could not be removed, or turned out different; by reason."""

    name: ClassVar[str] = "originals_kept"
    level: ClassVar[Level] = Level.WARNING
    batch: str
    bucket: str
    reason: str
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivered(Event):
    """Files came again under the same keys with the same bytes as were archived not long ago, and are paid for again."""

    name: ClassVar[str] = "redelivered"
    level: ClassVar[Level] = Level.WARNING
    batch: str
    bucket: str
    files: int
    hint: str = "Does a client mirror its folder? Let it upload what is new, and not what vanished"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFull(Event):
    """Files wait because the spool has no room for the batch they make: the first of a pass, the others are counted."""

    name: ClassVar[str] = "spool_full"
    level: ClassVar[Level] = Level.WARNING
    bucket: str
    folder: str
    needed_bytes: int
    limit_bytes: int
    free_bytes: int
    """On the spool's disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayFilesSwept(Event):
    """Spool folders nobody knows were removed, and files found in quarantine that no batch comes back for were given back."""

    name: ClassVar[str] = "stray_files_swept"
    level: ClassVar[Level] = Level.WARNING
    spool: int
    given_back: int
