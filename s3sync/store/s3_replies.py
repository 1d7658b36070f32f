"""Read what S3 says of an object: headers in, our types out. Pure, and the only place that knows these grammars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from s3sync.errors import Permanent, Transient
from s3sync.store.contract import ObjectInfo, ObjectRef, StorageClass, ThawState, ThawStatus

_RESTORE = re.compile(r'\s*ongoing-request="(?P<ongoing>true|false)"\s*(?:,\s*expiry-date="(?P<until>[^"]*)"\s*)?')
_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+)")


def storage_class(shown: str | None) -> StorageClass:
    """Return the storage class of a header; S3 leaves it away for STANDARD (HeadObject).

    Raises `ValueError` for one this program does not know how to read or thaw.
    """
    return StorageClass(shown or StorageClass.STANDARD)


def thaw_status(kept_in: StorageClass, restore: str | None, archive_status: str | None = None) -> ThawStatus:
    """Return the thaw state by the header x-amz-restore (HeadObject).

    Its grammar: absent (never thawed, or the copy has lapsed), `ongoing-request="true"`, or `ongoing-request="false",
    expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`. `archive_status` is how Intelligent-Tiering says that an object sank into one
    of its archive tiers. Raises `ValueError` for a header of another grammar.
    """
    if not (kept_in.needs_thaw or archive_status):
        return ThawStatus(ThawState.READABLE)
    if restore is None:
        return ThawStatus(ThawState.FROZEN)
    said = _RESTORE.fullmatch(restore)
    if said is None:
        raise ValueError(f"x-amz-restore is {restore!r}")
    if said["ongoing"] == "true":
        return ThawStatus(ThawState.THAWING)
    return ThawStatus(ThawState.THAWED, http_date(said["until"]) if said["until"] else None)


@lru_cache(maxsize=256)
def http_date(text: str) -> datetime:
    """Return the aware UTC time of an HTTP date. Raises `ValueError` where it is none."""
    return parsedate_to_datetime(text).astimezone(UTC)


def said(subject: str, reply: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - whatever botocore makes of it
    """Return what every whole reply of its kind says. Raises `Transient` for one that does not.

    A connection that ends within the header looks to Python's HTTP like a header that ended there, and a proxy's own page like
    an answer without anything in it: a listing would be an empty one.
    """
    try:
        return reply[name]
    except KeyError:
        hint = "Leave it; if it comes again, look at what is between here and S3"
        raise Transient(subject, f"the reply is not whole: it says no {name}", hint) from None


_TOLD = {
    "ETag": "etag",
    "StorageClass": "x-amz-storage-class",
    "Restore": "x-amz-restore",
    "ArchiveStatus": "x-amz-archive-status",
    "ChecksumCRC64NVME": "x-amz-checksum-crc64nvme",
    "ChecksumType": "x-amz-checksum-type",
    "VersionId": "x-amz-version-id",
}
_METADATA = "x-amz-meta-"


def as_botocore_tells(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what the headers (names in lower case) of a HeadObject reply say, as botocore parses it.

    A number or a date that is none is left away, so that the reply is not whole.
    """
    told: dict[str, Any] = {name: headers[header] for name, header in _TOLD.items() if header in headers}
    told["Metadata"] = {name.removeprefix(_METADATA): headers[name] for name in headers if name.startswith(_METADATA)}
    if (length := headers.get("content-length", "")).isdecimal():
        told["ContentLength"] = int(length)
    with suppress(ValueError):
        told["LastModified"] = http_date(headers.get("last-modified", ""))
    return told


def object_info(ref: ObjectRef, reply: Mapping[str, Any]) -> ObjectInfo:
    """Return what a HeadObject reply, as botocore parses it, says of `ref`.

    Raises `Permanent` where it makes no sense, `Transient` where it is not whole.
    """
    size, etag = said(str(ref), reply, "ContentLength"), said(str(ref), reply, "ETag")
    try:
        kept_in = storage_class(reply.get("StorageClass"))
        thaw = thaw_status(kept_in, reply.get("Restore"), reply.get("ArchiveStatus"))
    except ValueError as error:
        raise Permanent(str(ref), f"S3 says of it what has no meaning known to us ({error})") from error
    return ObjectInfo(
        ref=ObjectRef(ref.bucket, ref.key, version_id(reply)),
        size=size,
        etag=etag,
        crc64nvme=reply.get("ChecksumCRC64NVME"),
        checksum_type=checksum_type(reply),
        storage_class=kept_in,
        thaw=thaw,
        metadata=dict(reply.get("Metadata", {})),
        last_modified=reply["LastModified"].astimezone(UTC) if "LastModified" in reply else None,
    )


def version_id(reply: Mapping[str, Any]) -> str | None:
    """Return the version id of a reply; the version `null` of a bucket that keeps none is no version."""
    shown: str | None = reply.get("VersionId")
    return None if shown in {None, "null"} else shown


def checksum_type(reply: Mapping[str, Any]) -> str | None:
    """Return the checksum's type; a CRC64NVME of which nothing is said is of the full object, as it has no other kind.

    (User Guide, checking object integrity, the table of checksum types.)
    """
    shown: str | None = reply.get("ChecksumType")
    if shown is None and reply.get("ChecksumCRC64NVME") is not None:
        return "FULL_OBJECT"
    return shown


def wrong_range(status: int, content_range: str | None, content_length: int, *, offset: int, length: int) -> str | None:
    """Return what is wrong with the reply to a ranged GET, or None where it is exactly the range asked for.

    A proxy may answer 200 with the whole object, and a cache with another range.
    """
    if status != 206:  # noqa: PLR2004 - Partial Content
        return f"status {status} instead of 206"
    said = _RANGE.fullmatch(content_range or "")
    if said is None:
        return f"range {content_range!r} instead of bytes {offset}-{offset + length - 1}"
    first, last, total = int(said["first"]), int(said["last"]), int(said["total"])
    if (first, last) != (offset, offset + length - 1) or last >= total:
        return f"range {content_range!r} instead of bytes {offset}-{offset + length - 1}"
    if content_length != length:
        return f"{content_length} bytes instead of {length}"
    return None
