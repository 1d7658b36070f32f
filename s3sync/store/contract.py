"""What an object store promises, whichever one it is.

Every implementation here and in the tests is held to the sentences below by one conformance suite. Shared promises: a call
either has the effect it names when it returns, or raises one of `Transient`, `Permanent` (and its children below) or `Usage`;
every call may be repeated with the same outcome; an object is visible to `head`, `read` and `list` as soon as `put` or `upload`
returned; all calls may be made from several threads at once. The store retries what its client library retries (throttling,
5xx, broken connections) a bounded number of times; whoever calls decides about anything longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from s3sync.errors import Permanent, Transient


class StorageClass(StrEnum):
    """The storage classes an object of ours may be stored in (S3 API reference, PutObject)."""

    STANDARD = "STANDARD"
    STANDARD_IA = "STANDARD_IA"
    ONEZONE_IA = "ONEZONE_IA"
    INTELLIGENT_TIERING = "INTELLIGENT_TIERING"
    GLACIER_IR = "GLACIER_IR"
    GLACIER = "GLACIER"
    DEEP_ARCHIVE = "DEEP_ARCHIVE"

    @property
    def needs_thaw(self) -> bool:
        """Tell whether an object must be thawed before it can be read."""
        return self in {StorageClass.GLACIER, StorageClass.DEEP_ARCHIVE}


class Tier(StrEnum):
    """The speed paid for when thawing. Deep Archive has no expedited one: Standard within 12 hours, Bulk within 48."""

    BULK = "bulk"
    STANDARD = "standard"


class AlreadyThere(Permanent):
    """A conditional write found an object under the key; it may be our own, stored by an attempt whose reply was lost."""


class Missing(Permanent):
    """The object, version, upload or bucket is not there."""


class Denied(Permanent):
    """The caller may not do this: rights, bucket owner, key policy."""


class Frozen(Permanent):
    """The object is archived and not thawed (or no longer thawed): it cannot be read now."""


class Rejected(Permanent):
    """The store compared the bytes with the checksum or size we demanded, and they differ."""


class Stopped(Transient):
    """The store was told to stop in the middle of an upload; the upload stays and can be resumed."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object: bucket, key and, where known, the version that was stored."""

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        """Return the `s3://` form people know."""
        return f"s3://{self.bucket}/{self.key}"


class ThawState(StrEnum):
    """Whether the bytes can be read now."""

    READABLE = "readable"
    """Its storage class never needs a thaw."""
    FROZEN = "frozen"
    """Archived, and no readable copy: never asked for, or the copy has lapsed (S3 shows both the same way)."""
    THAWING = "thawing"
    THAWED = "thawed"


@dataclass(frozen=True, slots=True)
class ThawStatus:
    """The thaw state and, where `THAWED`, until when the readable copy is kept (read from S3, never computed)."""

    state: ThawState
    until: datetime | None = None

    @property
    def readable_now(self) -> bool:
        """Tell whether a read can succeed now."""
        return self.state in {ThawState.READABLE, ThawState.THAWED}


class ThawAnswer(StrEnum):
    """What S3 answered to a request to thaw. None of these is an error."""

    BEGUN = "begun"
    """202: the thaw was accepted (and is charged)."""
    ALREADY_THAWED = "already_thawed"
    """200: a readable copy exists; its days count from now."""
    IN_PROGRESS = "in_progress"
    """409: somebody asked before us."""
    NOT_ARCHIVED = "not_archived"
    """The object needs no thaw: read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Bytes to be stored and what must be confirmed of them.

    `fd` is an open, seekable descriptor read with pread, so several threads may share it and its position never moves.
    `crc64nvme` is what S3 shows: base64 of the big-endian CRC64NVME of the whole object.
    """

    fd: int
    size: int
    crc64nvme: str
    storage_class: StorageClass
    metadata: Mapping[str, str]
    content_type: str = "application/octet-stream"
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What the store says of one object, without its bytes. `ref.version_id` is None in a bucket that keeps no versions."""

    ref: ObjectRef
    size: int
    etag: str
    crc64nvme: str | None
    checksum_type: str | None
    storage_class: StorageClass
    thaw: ThawStatus
    metadata: Mapping[str, str] = field(default_factory=dict)
    last_modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload nobody has completed or aborted; its parts are billed until somebody does."""

    ref: ObjectRef
    upload_id: str
    begun: datetime


class UploadLog(Protocol):
    """Remembers the upload id of a multipart upload across restarts; one log belongs to one object being stored."""

    @property
    def upload_id(self) -> str | None:
        """Return the id noted earlier, if there is one to resume."""

    def note(self, upload_id: str | None, /) -> None:
        """Make `upload_id` durable before the first part is sent; None once it is of no further use."""


class Writes(Protocol):
    """Stores objects, never replacing one."""

    def put(self, ref: ObjectRef, payload: Payload, log: UploadLog, *, if_match: str | None = None) -> ObjectInfo | None:
        """Store `payload` under `ref`, in one request or several parts by its size, and demand its checksum of the store.

        Returns what the store showed of the object afterwards where it did so in one breath, None where it has to be asked.

        Without `if_match` the object must not exist; with it, the current version's ETag must be that one, and a new version
        is made. An upload named by `log` is resumed: parts whose checksums equal ours are kept, others sent again.
        Raises `AlreadyThere` (it exists, or is not the one `if_match` names), `Rejected`, `Denied`, `Missing` (the bucket),
        `Transient`. After a `Transient` the object may or may not be there: ask `head`; after its child `Stopped` it is not
        worth asking, for the caller has been told to stop as well.
        """

    def abort(self, ref: ObjectRef, upload_id: str) -> None:
        """Give up a multipart upload; one that is not there (any more) is no error. Raises `Denied`, `Transient`."""

    def uploads(self, bucket: str, prefix: str) -> Iterator[UnfinishedUpload]:
        """Yield the unfinished multipart uploads below `prefix`. Raises `Denied`, `Missing` (the bucket), `Transient`."""


class Reads(Protocol):
    """Reads objects and what is known of them."""

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        """Return what the store knows of the object (of that version, if named), or None where there is none.

        Works on archived objects without a thaw. Raises `Denied`, `Transient`.
        """

    def read(self, ref: ObjectRef, *, offset: int, length: int, etag: str) -> AbstractContextManager[Iterator[bytes]]:
        """Open exactly `length` bytes from `offset` as an iterator of chunks; `length` 0 yields nothing and asks nobody.

        The object must still bear `etag`. The reply's range is checked: never other bytes than those asked for, and a reply
        that ends early raises `Transient` from the iterator. Raises `Frozen`, `Missing`, `AlreadyThere` (another ETag),
        `Denied`, `Transient`.
        """

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        """Yield the current objects below `prefix` in order of their keys. Raises `Denied`, `Missing`, `Transient`."""

    def versioned(self, bucket: str) -> bool:
        """Tell whether the bucket keeps old versions. Raises `Denied`, `Missing`, `Transient`."""


class Thaws(Protocol):
    """Makes archived objects readable for some days. Each `BEGUN` costs money."""

    def thaw(self, ref: ObjectRef, *, days: int, tier: Tier) -> ThawAnswer:
        """Ask for a readable copy. Raises `Missing`, `Denied`, `Transient`."""


class ObjectStore(Writes, Reads, Thaws, Protocol):
    """Everything: what the agent holds. Engines ask for the narrowest part they need."""
