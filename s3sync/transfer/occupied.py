"""What to do when an object lies under the key already. Pure: it sees what S3 says of the object and what we know of the file.

Equal content is released. What counts as equal is what S3 itself confirms (size and full-object CRC64NVME), and our own SHA-256
in the metadata may only contradict it: metadata travel with copies and are anybody's to write, so they remove nothing. An
object for which S3 shows no full-object CRC64NVME (others store with other checksums) is *unclear* and has to be read.

Other content becomes a new version where the bucket keeps versions, for there nothing is replaced. Elsewhere the file is held.
"""

from __future__ import annotations

from enum import StrEnum

from s3sync.store.contract import ObjectInfo
from s3sync.store.proof import Proof

FULL_OBJECT = "FULL_OBJECT"
"""The checksum type of a value over the whole object, however it was uploaded."""

SHA256_MARK = "s3sync-sha256"
"""The user metadata that holds the SHA-256 of the object's bytes, lower-case hex."""

READ_UP_TO_BYTES = 1 << 30
"""An unclear object larger than this is not read to be compared: it is taken for another content."""


class Content(StrEnum):
    """How the object compares with the file."""

    SAME = "same"
    OTHER = "other"
    UNCLEAR = "unclear"
    """Of the same size, and S3 does not show what would tell."""


class WayOut(StrEnum):
    """What becomes of the file."""

    RELEASE = "release"
    NEW_VERSION = "new_version"
    HOLD = "hold"


def compare(info: ObjectInfo, *, size: int, crc64nvme: str, sha256: str) -> Content:
    """Return how the object `info` speaks of compares with a file of that size and those checksums."""
    if info.size != size or info.metadata.get(SHA256_MARK, sha256) != sha256:
        return Content.OTHER
    if info.crc64nvme is None or info.checksum_type != FULL_OBJECT:
        return Content.UNCLEAR
    return Content.SAME if info.crc64nvme == crc64nvme else Content.OTHER


def worth_reading(info: ObjectInfo) -> bool:
    """Tell whether an unclear object can and should be read to be compared."""
    return info.thaw.readable_now and info.size <= READ_UP_TO_BYTES


def way_out(content: Content, *, versioned: bool) -> WayOut:
    """Return what becomes of a file whose key is taken by an object of `content`."""
    if content is Content.SAME:
        return WayOut.RELEASE
    return WayOut.NEW_VERSION if versioned else WayOut.HOLD


def proof_of(info: ObjectInfo, crc64nvme: str) -> Proof:
    """Return the proof that the object `info` speaks of has these bytes: for content found to be `SAME`, and nothing else."""
    return Proof(ref=info.ref, size=info.size, crc64nvme=crc64nvme, etag=info.etag)
