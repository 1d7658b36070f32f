"""What each field of a manifest may hold. Everything here looks at somebody else's JSON and raises `ValueError` with a phrase.

Unknown fields are allowed, so that a later writer may say more under the same version; a later version is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from s3batch.model import ArchiveRecord, Member
from s3sync import keys
from s3sync.errors import Usage
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.times import parse_ns, parse_utc

VERSION = 1

_TAR_BLOCK = 512
_MOST_NAME = 1024
_MOST_BYTES = 1 << 50
"""A petabyte: above every object S3 can hold, and far below what an integer column can."""
_MOST_ID = 1 << 32
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MODE = re.compile(r"[0-7]{4}", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_BATCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class Previous:
    """Where the member before ended: the next one begins behind it and at least one tar header."""

    end: int
    archive_size: int

    def after(self, member: Member) -> Previous:
        """Return the same for the member that follows `member`."""
        return Previous(member.offset + member.size, self.archive_size)


def clamped_ns(mtime_ns: int) -> int:
    """Return the nearest time that 64 bits of nanoseconds can say (1677 to 2262); filesystems can say more."""
    return min(max(mtime_ns, -(2**63)), 2**63 - 1)


def plain(text: str) -> str:
    """Return `text` without lone surrogates (a user's name that is not UTF-8 arrives with some), which no JSON may hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def record_from(head: dict[str, object], manifest: ObjectRef) -> ArchiveRecord:
    """Return the archive a manifest describes; its number of members is not known yet and 0."""
    version = _integer(head, "version", _MOST_ID)
    if version != VERSION:
        raise ValueError(f"its version is {version}, and this program reads {VERSION}; a later release may read it")
    archive = _object(head.get("archive"), "archive")
    return ArchiveRecord(
        ref=ObjectRef(_matching(archive, "bucket", _BUCKET), _archive_key(archive), _version_id(archive)),
        size=_integer(archive, "size", _MOST_BYTES),
        crc64nvme=_checksum(archive),
        storage_class=_parsed(archive, "storage_class", StorageClass),
        batch=_matching(archive, "batch", _BATCH),
        created=_created(archive),
        host=_text(archive, "host"),
        tool=_text(archive, "tool"),
        manifest=ObjectRef(manifest.bucket, manifest.key),
        members=0,
    )


def member_from(element: object, previous: Previous) -> Member:
    """Return one member, which must lie behind `previous` and inside the archive."""
    fields = _object(element, "it")
    offset = _integer(fields, "offset", previous.archive_size)
    size = _integer(fields, "size", previous.archive_size)
    if offset < previous.end + _TAR_BLOCK:
        raise ValueError(f"offset {offset} overlaps what is before it")
    if offset + size > previous.archive_size:
        raise ValueError(f"offset {offset} and size {size} go beyond the archive")
    said = fields.get("mode"), fields.get("uid"), fields.get("gid"), fields.get("user"), fields.get("group")
    try:
        owner = _owner(*said)
    except TypeError:  # what cannot be hashed cannot be right, and is named like all that is not
        owner = _owner.__wrapped__(*said)
    sha256, mtime_ns = _matching(fields, "sha256", _SHA256), _parsed(fields, "mtime", _mtime)
    return Member(_member_key(fields), offset, size, sha256, mtime_ns, *owner)


@lru_cache(maxsize=256, typed=True)
def _owner(mode: object, uid: object, gid: object, user: object, group: object) -> tuple[int, int, int, str, str]:
    """Return mode, ids and names of a member; neighbours in a manifest mostly share them."""
    fields = {"mode": mode, "uid": uid, "gid": gid, "user": user, "group": group}
    return (
        int(_matching(fields, "mode", _MODE), 8),
        _integer(fields, "uid", _MOST_ID),
        _integer(fields, "gid", _MOST_ID),
        _text(fields, "user"),
        _text(fields, "group"),
    )


def _member_key(fields: dict[str, object]) -> bytes:
    shown = _string(fields, "key")
    raw = _encodable(shown, "key")
    if "key_base64" in fields:
        try:
            raw = base64.b64decode(_string(fields, "key_base64"), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("key_base64 is not base64") from None
        if keys.is_utf8(raw) or keys.display(raw) != shown:
            raise ValueError("key and key_base64 name different keys")
    return _key(raw)


def _archive_key(fields: dict[str, object]) -> str:
    key = _string(fields, "key")
    _key(_encodable(key, "key"))
    return key


def _key(raw: bytes) -> bytes:
    if not raw or len(raw) > keys.MAX_KEY_BYTES or b"\0" in raw:
        raise ValueError(f"key is empty, longer than {keys.MAX_KEY_BYTES} bytes or holds a NUL")
    return raw


def _version_id(fields: dict[str, object]) -> str | None:
    return None if fields.get("version_id") is None else _text(fields, "version_id")


def _checksum(fields: dict[str, object]) -> str:
    text = _string(fields, "checksum_crc64nvme")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 8:  # noqa: PLR2004  64 bits
        raise ValueError("checksum_crc64nvme is not 64 bits in base64")
    return text


def _created(fields: dict[str, object]) -> datetime:
    return _parsed(fields, "created", parse_utc)


def _mtime(text: str) -> int:
    nanoseconds = parse_ns(text)
    if nanoseconds != clamped_ns(nanoseconds):
        raise ValueError(text)
    return nanoseconds


def _object(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")  # noqa: TRY004 - whatever is wrong with a document is one kind
    return value


def _string(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing or not text")  # noqa: TRY004 - as above
    return value


def _text(fields: dict[str, object], name: str) -> str:
    value = _string(fields, name)
    if len(value) > _MOST_NAME:
        raise ValueError(f"{name} is too long")
    _encodable(value, name)
    return value


def _encodable(text: str, name: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} is not Unicode text") from None


def _matching(fields: dict[str, object], name: str, pattern: re.Pattern[str]) -> str:
    value = _string(fields, name)
    if pattern.fullmatch(value) is None:
        raise ValueError(f"{name} is not as it must be")
    return value


def _parsed(fields: dict[str, object], name: str, parse: Callable[[str], _Parsed]) -> _Parsed:
    try:
        return parse(_string(fields, name))
    except (ValueError, Usage):
        raise ValueError(f"{name} is not as it must be") from None


def _integer(fields: dict[str, object], name: str, most: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{name} is missing or not a number from 0 to {most}")
    return value
