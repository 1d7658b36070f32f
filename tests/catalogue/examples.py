"""Archives and members made up for tests, in as few words as a test can spare."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue.contract import Entry, Lookup, Query, manifest_ref
from s3batch.catalogue.documents import Document, Documents
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.model import ArchiveRecord, Member, Reservation
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.store.proof import BATCH_MARK
from tests.doubles.memory_store import MemoryStore

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CRC = "AAAAAAAAAAA="


def reserved(archive: ArchiveRecord) -> Reservation:
    """Return what the pack journal knows of an archive."""
    return Reservation(
        id=archive.batch,
        archive=archive.ref,
        manifest=archive.manifest,
        created=archive.created,
        storage_class=archive.storage_class,
        host=archive.host,
        tool=archive.tool,
    )


def members(*keys: str | bytes, content: str = "", size: int = 100) -> list[Member]:
    """Return members of the given keys, each `size` bytes of its key and `content`, as they lie in a tar."""
    made = []
    offset = 512
    for key in keys:
        raw = key.encode() if isinstance(key, str) else key
        made.append(
            Member(
                key=raw,
                offset=offset,
                size=size,
                sha256=hashlib.sha256(raw + content.encode()).hexdigest(),
                mtime_ns=1_700_000_000_000_000_000,
                mode=0o644,
                uid=1000,
                gid=100,
                user="alice",
                group="users",
            )
        )
        offset += 512 + -(-size // 512) * 512
    return made


def record(batch: str, count: int, *, bucket: str = "bucket", day: float = 0, size: int = 1 << 40) -> ArchiveRecord:
    """Return the record of an archive with `count` members, reserved `day` days after the first."""
    created = BEGIN + timedelta(days=day)
    return ArchiveRecord(
        ref=ObjectRef(bucket, f"in/{batch}.tar"),
        size=size,
        crc64nvme=CRC,
        storage_class=StorageClass.DEEP_ARCHIVE,
        batch=batch,
        created=created,
        host="host",
        tool="s3batch 0",
        manifest=manifest_ref(bucket, batch, created, bucket),
        members=count,
    )


class Addable(Lookup, Protocol):
    """A catalogue that tests can fill."""

    def add(self, record: ArchiveRecord, members: Iterable[Member]) -> None:
        """Insert an archive with all its members."""


def add(catalogue: Addable, batch: str, inside: Iterable[Member], *, bucket: str = "bucket", day: float = 0) -> ArchiveRecord:
    """Catalogue an archive and return its record."""
    listed = list(inside)
    made = record(batch, len(listed), bucket=bucket, day=day)
    catalogue.add(made, listed)
    return made


@contextmanager
def opened(folder: Path, name: str = "catalogue.db") -> Iterator[SqliteCatalogue]:
    """Open an empty catalogue."""
    catalogue = SqliteCatalogue.open(folder / name)
    try:
        yield catalogue
    finally:
        catalogue.close()


def stored(store: MemoryStore, batch: str, inside: list[Member], *, bucket: str = "bucket", day: float = 0) -> ArchiveRecord:
    """Put an archive and its manifest into `store`, as the agent would, and return the archive's record."""
    end = inside[-1].offset + inside[-1].size
    data = batch.encode().ljust(max(100_000, end))
    draft = record(batch, len(inside), bucket=bucket, day=day)
    info = store.seed(draft.ref, data, storage_class=StorageClass.DEEP_ARCHIVE, metadata={BATCH_MARK: batch})
    made = replace(draft, size=info.size, crc64nvme=str(info.crc64nvme))
    store.seed(made.manifest, manifest_format.render(made, inside))
    return made


def contents(catalogue: SqliteCatalogue) -> list[tuple[ArchiveRecord, list[Member]]]:
    """Return all that a catalogue knows, in an order of its own."""
    known = {
        entry.archive.ref: entry.archive
        for bucket in catalogue.buckets()
        for entry in catalogue.below(bucket, b"", every_version=True)
    }
    return [
        (archive, [entry.member for entry in catalogue.members(ref.bucket, ref.key)])
        for ref, archive in sorted(known.items(), key=lambda item: str(item[0]))
    ]


def found(catalogue: Lookup, *words: str, **bounds: object) -> list[str]:
    """Return the keys of all pages of a search."""
    return [key for page in pages(catalogue, Query(words=words, **bounds)) for key in page]  # type: ignore[arg-type]


def pages(catalogue: Lookup, query: Query) -> list[list[str]]:
    """Return the keys of each page."""
    read = []
    while True:
        page = catalogue.find(query)
        read.append([entry.member.key.decode(errors="replace") for entry in page.entries])
        if page.next is None:
            return read
        query = replace(query, after=page.next)


def listed(catalogue: Lookup, prefix: str = "", bucket: str = "bucket") -> list[tuple[bytes, int]]:
    """Return the keys of a listing, each with the number of its versions."""
    return [(one.key, one.versions) for one in catalogue.ls(bucket, prefix.encode())]


def documents_of(entry: Entry, ordinal: int) -> Document:
    """Return the document of one member, the `ordinal`th of its archive."""
    return Documents(entry.archive).of(entry.member, ordinal)
