"""A member as a document of the fleet's index: what it is called there, where it goes, what it says.

The six fields of the original program keep their names and meaning, so that dashboards made for it go on working: `bucket`,
`url` (the console's page of the archive), `name` (the archive's, without folder and ending), `archive_content` (the member's
name in the archive, which is the full key here), `archive_content_name` and `archive_content_extension` (of the file name, the
latter with its dot). All else is added beside them. A document says nothing that changes later.

A document is enough to make the `Entry` of again, so a host with nothing but the index can find, show and restore.

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
from datetime import datetime
from typing import NotRequired, TypedDict
from urllib.parse import quote

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.manifest_fields import clamped_ns, plain
from s3batch.catalogue.targets import member_uri
from s3batch.model import ArchiveRecord, Member
from s3sync import keys
from s3sync.store.contract import ObjectRef
from s3sync.times import rfc3339, rfc3339_ns

SCHEMA = 1
"""The version of the fields below."""
INDEX_PREFIX = "s3-batch-"
MOST_DOCUMENTS = 1_000
MOST_BYTES = 5 << 20
"""How much is sent at once: some services take no body beyond 10 MiB, and larger ones are no faster."""
_ENVELOPE_BYTES = 200
"""At least what the line before a document takes, with its index and id."""
_MOST_OWNERS = 1_000
"""How many owners' JSON is remembered of an archive."""
_CONSOLE = "https://s3.console.aws.amazon.com/s3/object"
_json = json.JSONEncoder().encode


@dataclass(frozen=True, slots=True)
class Document:
    """One document ready to be sent."""

    index: str
    id: str
    source: str
    """JSON, on one line."""


class Source(TypedDict):
    """What a document says. `s3batch.catalogue.template` says what each field can be asked."""

    bucket: str
    """Bucket of the archive, which is the one the member was dropped for."""
    url: str
    """The console's page of the archive, each part of its key percent-encoded."""
    name: str
    """File name of the archive without its ending."""
    archive_content: str
    """Name of the member in its archive: the same as `key`."""
    archive_content_name: str
    """File name of the member without its ending."""
    archive_content_extension: str
    """Ending of the member's file name with its dot; empty where it has none."""
    key: str
    """Full key of the member as it is shown (`keys.display`)."""
    key_base64: NotRequired[str]
    """Raw bytes of the key, only where they are not UTF-8."""
    archive: str
    """Key of the archive."""
    ordinal: int
    """Which member of the archive it is, counted from 0: the documents with 0 are one for each archive."""
    offset: int
    """Where its bytes begin in the archive."""
    size: int
    sha256: str
    """Of its bytes, lower-case hex."""
    mtime: str
    """RFC 3339, UTC, with nine more digits where it is not whole seconds."""
    mode: str
    """Four octal digits."""
    uid: int
    gid: int
    user: str
    group: str
    archived_at: str
    """When the archive was reserved; RFC 3339, UTC, microseconds. Orders the versions of a key."""
    storage_class: str
    host: str
    """Which host made the archive."""
    batch: str
    tool: str
    """Program and version that made the archive."""
    version_id: str | None
    """Of the archive; null in a bucket without versions."""
    archive_size: int
    checksum_crc64nvme: str
    """Of the archive, as S3 shows it."""
    members: int
    """How many members the archive has."""
    manifest: str
    """Where its manifest lies: `s3://bucket/key`."""
    schema: int
    """`SCHEMA` of the program that wrote the document."""
    restore_command: str
    """The line to copy that brings exactly this version back."""


class Documents:
    """The documents of one archive. What all of them say is put into JSON once."""

    def __init__(self, archive: ArchiveRecord, index: str | None = None) -> None:
        """Make documents of members of `archive`, for `index`, by default the one of its month."""
        self._index = index or index_name(archive)
        self._archive = archive
        self._id = _id_begun(archive.ref)
        self._owners: dict[tuple[int, int, int, str, str], str] = {}
        name = posixpath.splitext(posixpath.basename(archive.ref.key))[0]
        where = f'"bucket":{_json(archive.ref.bucket)},"url":{_json(console_url(archive))}'
        self._before_content = f'{{{where},"name":{_json(name)},"archive_content":'
        self._before_ordinal = f',"archive":{_json(archive.ref.key)},"ordinal":'
        self._before_command = (
            f',"archived_at":"{rfc3339(archive.created)}","storage_class":"{archive.storage_class.value}"'
            f',"host":{_json(plain(archive.host))},"batch":{_json(archive.batch)},"tool":{_json(archive.tool)}'
            f',"version_id":{_json(archive.ref.version_id)},"archive_size":{archive.size}'
            f',"checksum_crc64nvme":{_json(archive.crc64nvme)},"members":{archive.members}'
            f',"manifest":{_json(str(archive.manifest))},"schema":{SCHEMA},"restore_command":'
        )

    def of(self, member: Member, ordinal: int) -> Document:
        """Return the document of the member that is the `ordinal`th of the archive, counted from 0."""
        return Document(self._index, _id_ended(self._id, member.key, ordinal), self._source(member, ordinal))

    def _source(self, member: Member, ordinal: int) -> str:
        """Return what `Source` describes, in its order, as JSON in ASCII."""
        shown = keys.display(member.key)
        key = _json(shown)
        name, extension = posixpath.splitext(shown.rpartition("/")[2])
        command = f"s3batch restore {shlex.quote(member_uri(Entry(member, self._archive)))} --to ."
        raw = keys.to_base64(member.key)
        beside = "" if raw is None else f',"key_base64":"{raw}"'
        return (
            f'{self._before_content}{key},"archive_content_name":{_json(name)},"archive_content_extension":{_json(extension)}'
            f',"key":{key}{self._before_ordinal}{ordinal},"offset":{member.offset},"size":{member.size}'
            f',"sha256":"{member.sha256}","mtime":"{rfc3339_ns(clamped_ns(member.mtime_ns))}"{self._owner(member)}'
            f"{self._before_command}{_json(command)}{beside}}}"
        )

    def _owner(self, member: Member) -> str:
        owner = (member.mode, member.uid, member.gid, member.user, member.group)
        said = self._owners.get(owner)
        if said is None:
            if len(self._owners) >= _MOST_OWNERS:
                self._owners.clear()
            said = self._owners[owner] = (
                f',"mode":"{member.mode:04o}","uid":{member.uid},"gid":{member.gid}'
                f',"user":{_json(plain(member.user))},"group":{_json(plain(member.group))}'
            )
        return said


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
    """Return the index of an archive's documents."""
    return index_of(archive.created)


def index_of(created: datetime) -> str:
    """Return the index of the archives reserved then: of that month, never of today."""
    return f"{INDEX_PREFIX}{created.year:04}.{created.month:02}"


def month_of(index: str) -> str:
    """Return the month an index is of, as times of that month begin: `2026-11`."""
    return index.removeprefix(INDEX_PREFIX).replace(".", "-")


def document_id(entry: Entry, ordinal: int) -> str:
    """Return a document's id: SHA-256 of bucket, archive key, ordinal and key, which NUL keeps apart as none can hold it."""
    return _id_ended(_id_begun(entry.archive.ref), entry.member.key, ordinal)


def console_url(archive: ArchiveRecord) -> str:
    """Return the console's page of the archive, each part of the key percent-encoded."""
    return f"{_CONSOLE}/{archive.ref.bucket}?prefix={quote(archive.ref.key, safe='/')}"


def _id_begun(archive: ObjectRef) -> hashlib._Hash:
    return hashlib.sha256(b"%b\0%b\0" % (archive.bucket.encode(), archive.key.encode()))


def _id_ended(begun: hashlib._Hash, key: bytes, ordinal: int) -> str:
    made = begun.copy()
    made.update(b"%d\0%b" % (ordinal, key))
    return made.hexdigest()
