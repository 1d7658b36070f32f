"""A member as a document of the fleet's index: what it is called there, where it goes, what it says.

The six fields of the original program keep their names and meaning, so that dashboards made for it go on working: `bucket`,
`url` (the console's page of the archive), `name` (the archive's, without folder and ending), `archive_content` (the member's
name in the archive, which is the full key here), `archive_content_name` and `archive_content_extension` (of the file name, the
latter with its dot). All else is added beside them. A document says nothing that changes later.

Its `_id` follows from what it is about, and its index from the archive's creation month, so sending it twice is sending it
once, however much later.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.targets import member_uri
from s3batch.catalogue.view import entry_object
from s3batch.model import ArchiveRecord
from s3sync import keys

SCHEMA = 1
"""The version of the fields below."""
INDEX_PREFIX = "s3-batch-"
MOST_DOCUMENTS = 1_000
MOST_BYTES = 5 << 20
"""How much is sent at once: some services take no body beyond 10 MiB, and larger ones are no faster."""
_ENVELOPE_BYTES = 200
"""At least what the line before a document takes, with its index and id."""
_CONSOLE = "https://s3.console.aws.amazon.com/s3/object"


@dataclass(frozen=True, slots=True)
class Document:
    """One document ready to be sent."""

    index: str
    id: str
    source: str
    """JSON, on one line."""


def documents_of(entry: Entry, ordinal: int) -> Document:
    """Return the document of the member that is the `ordinal`th of its archive, counted from 0."""
    source = json.dumps(fields(entry), separators=(",", ":"))
    return Document(index_name(entry.archive), document_id(entry, ordinal), source)


def bulks(documents: Iterable[Document], most: int = MOST_DOCUMENTS, most_bytes: int = MOST_BYTES) -> Iterator[list[Document]]:
    """Yield the documents in groups small enough to be sent at once; one that is too large by itself goes alone."""
    group: list[Document] = []
    size = 0
    for document in documents:
        length = len(document.source) + _ENVELOPE_BYTES
        if group and (len(group) >= most or size + length > most_bytes):
            yield group
            group, size = [], 0
        group.append(document)
        size += length
    if group:
        yield group


def index_name(archive: ArchiveRecord) -> str:
    """Return the index of an archive's documents: of the month it was created in, never of today."""
    return f"{INDEX_PREFIX}{archive.created:%Y.%m}"


def document_id(entry: Entry, ordinal: int) -> str:
    """Return a document's id: SHA-256 of bucket, archive key, ordinal and key, which NUL keeps apart as none can hold it."""
    archive = entry.archive.ref
    parts = (archive.bucket.encode(), archive.key.encode(), b"%d" % ordinal, entry.member.key)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def fields(entry: Entry) -> dict[str, object]:
    """Return what a document says."""
    archive = entry.archive
    found = entry_object(entry)
    shown = keys.display(entry.member.key)
    name, extension = posixpath.splitext(posixpath.basename(shown))
    return {
        "bucket": entry.bucket,
        "url": console_url(archive),
        "name": posixpath.splitext(posixpath.basename(archive.ref.key))[0],
        "archive_content": shown,
        "archive_content_name": name,
        "archive_content_extension": extension,
        **found,
        "storage_class": archive.storage_class.value,
        "host": archive.host,
        "batch": archive.batch,
        "archive_size": archive.size,
        "schema": SCHEMA,
        "restore_command": restore_command(entry),
    }


def console_url(archive: ArchiveRecord) -> str:
    """Return the console's page of the archive, each part of the key percent-encoded."""
    return f"{_CONSOLE}/{archive.ref.bucket}?prefix={quote(archive.ref.key, safe='/')}"


def restore_command(entry: Entry) -> str:
    """Return the line that brings exactly this version back."""
    return f"s3batch restore {shlex.quote(member_uri(entry))} --to ."
