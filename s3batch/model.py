"""The life of a batch in types: each adds only what has become true.

`Batch` (planned) -> `Reservation` (journalled) -> `SpooledArchive` (on our disk) -> `StoredArchive` (proved in S3) ->
`ManifestedArchive` (manifest proved) -> `CataloguedArchive` (members findable). Only the last is accepted by the release, so
originals cannot be removed any earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from s3sync.dropzone.candidate import Candidates, Identity
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.store.proof import Proof

IMPORTED = "imported-"
"""How the batch ids of archives begin that another program made: their objects bear no mark."""


def mark_of(batch: str) -> str | None:
    """Return the mark that the object of a batch bears, None where it bears none."""
    return None if batch.startswith(IMPORTED) else batch


class Closed(StrEnum):
    """Why a batch was closed."""

    FULL_BYTES = "full_bytes"
    FULL_MEMBERS = "full_members"
    FOLDER_END = "folder_end"
    """It has enough members, and their folder ends."""
    AGE = "age"
    OVERSIZE = "oversize"
    """One file larger than the limit travels alone."""
    ONCE = "once"
    """A single pass closes everything it found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Candidates planned to travel together: one bucket, one group, in path order. Never empty."""

    bucket: str
    folder: str
    """The deepest folder the members share (with room for the archive's name), without a trailing slash; may be empty."""
    candidates: Candidates
    planned_bytes: int
    """The archive's size if every candidate becomes a member."""
    reason: Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A batch that has its names: id, archive key, manifest key, creation time. Nothing is ever reserved twice."""

    id: str
    archive: ObjectRef
    manifest: ObjectRef
    created: datetime
    """Aware UTC with microseconds; strictly later than every earlier reservation of this journal."""
    storage_class: StorageClass
    host: str
    tool: str
    """Program and version that reserved it."""

    @property
    def bucket(self) -> str:
        """The bucket the members were dropped for."""
        return self.archive.bucket


class Member(NamedTuple):
    """One file inside an archive. `offset` is where its data begins in the tar; `sha256` is lower-case hex.

    A tuple because an archive has a hundred thousand, and each is made anew for manifest, catalogue and release.
    """

    key: bytes
    offset: int
    size: int
    sha256: str
    mtime_ns: int
    mode: int
    """Permission bits only (0o7777)."""
    uid: int
    gid: int
    user: str
    group: str


class SpooledMember(NamedTuple):
    """A member and the original it was copied from, as the spool's member list keeps them."""

    member: Member
    path: bytes
    """Relative to the drop zone's root, raw bytes."""
    identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledArchive:
    """The tar on our disk, fsynced, with its member list beside it. Size and checksum were computed while writing."""

    reservation: Reservation
    folder: Path
    size: int
    crc64nvme: str
    members: int
    content_bytes: int

    @property
    def tar(self) -> Path:
        """The archive file."""
        return self.folder / "archive.tar"

    @property
    def member_list(self) -> Path:
        """The list of members (see `s3batch.pack.members`)."""
        return self.folder / "members"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArchive:
    """The archive is in S3, proved. The tar may go; the member list stays."""

    spooled: SpooledArchive
    proof: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestedArchive:
    """The manifest is in S3 too, proved: from here the host may burn."""

    stored: StoredArchive
    manifest_proof: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class CataloguedArchive:
    """The catalogue knows every member: the originals may be released."""

    manifested: ManifestedArchive

    @property
    def proof(self) -> Proof:
        """The archive's proof."""
        return self.manifested.stored.proof

    @property
    def spooled(self) -> SpooledArchive:
        """The archive as it was built; its member list is still there."""
        return self.manifested.stored.spooled


Archive = SpooledArchive | StoredArchive | ManifestedArchive | CataloguedArchive
"""An archive in any phase after it was built."""


def reservation_of(archive: Archive) -> Reservation:
    """Return the reservation that every phase carries with it."""
    match archive:
        case SpooledArchive():
            return archive.reservation
        case StoredArchive():
            return archive.spooled.reservation
        case ManifestedArchive():
            return archive.stored.spooled.reservation
        case CataloguedArchive():
            return archive.spooled.reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRecord:
    """What manifest and catalogue know of one archive, wherever they are read."""

    ref: ObjectRef
    size: int
    crc64nvme: str
    storage_class: StorageClass
    batch: str
    created: datetime
    host: str
    tool: str
    manifest: ObjectRef
    members: int


@dataclass(frozen=True, slots=True)
class Filed:
    """One archive as a catalogue has it; `content_bytes` are its members' together."""

    record: ArchiveRecord
    content_bytes: int
