"""Documents of the fleet's index as the types everybody else knows. Untrusted: anybody who may write there can write anything.

A document is believed as far as a manifest would be: the same rules for every field, and its id must be the one that follows
from what it says, so that a copy under another id is no second version. What it says of the bytes is checked when they are
fetched. Unknown fields are ignored: a newer agent may say more.
"""

from __future__ import annotations

from dataclasses import replace

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.documents import document_id
from s3batch.catalogue.manifest_fields import VERSION, Previous, member_from, record_from
from s3sync.keys import printable
from s3sync.store.contract import ObjectRef

_MOST_MEMBERS = 10_000_000
_SCHEME = "s3://"


def entry_from(source: dict[str, object], document: str) -> tuple[Entry, int]:
    """Return what the document with the id `document` is about, and which member of its archive that is, counted from 0.

    Raises `ValueError` with a phrase where it is none of ours, or not as it must be.
    """
    archive = record_from(_head(source), _manifest(source))
    archive = replace(archive, members=_count(source, "members", 1))
    ordinal = _count(source, "ordinal", 0)
    if ordinal >= archive.members:
        raise ValueError(f"ordinal {ordinal} is beyond its archive's {archive.members} members")
    entry = Entry(member_from(source, Previous(0, archive.size)), archive)
    if document_id(entry, ordinal) != document:
        raise ValueError("its id is not the one that follows from what it says")
    return entry, ordinal


def _head(source: dict[str, object]) -> dict[str, object]:
    """Return the archive's part as a manifest's head would say it."""
    names = {
        "bucket": "bucket",
        "key": "archive",
        "version_id": "version_id",
        "size": "archive_size",
        "checksum_crc64nvme": "checksum_crc64nvme",
        "storage_class": "storage_class",
        "batch": "batch",
        "created": "archived_at",
        "host": "host",
        "tool": "tool",
    }
    return {"version": VERSION, "archive": {there: source.get(here) for there, here in names.items()}}


def _manifest(source: dict[str, object]) -> ObjectRef:
    said = source.get("manifest")
    bucket, slash, key = said.removeprefix(_SCHEME).partition("/") if isinstance(said, str) else ("", "", "")
    if not (isinstance(said, str) and said.startswith(_SCHEME) and bucket and slash and key):
        raise ValueError("manifest is no s3://bucket/key")
    if printable(said) != said:
        raise ValueError("manifest holds characters that no manifest's key has")
    return ObjectRef(bucket, key)


def _count(source: dict[str, object], name: str, least: int) -> int:
    value = source.get(name)
    if type(value) is not int or not least <= value <= _MOST_MEMBERS:
        raise ValueError(f"{name} is missing or not a number from {least} to {_MOST_MEMBERS}")
    return value
