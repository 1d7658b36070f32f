"""The catalogue of one host in SQLite: see `sqlite_schema` for the tables, `sqlite_find` for the search.

Disposable: everything in it can be had again from the manifests. What it promises is the contract's: an archive is there with
all its members or not at all. A generator never holds the database between two of its items, so a slow reader keeps nobody
waiting; it reads on in pieces, and may see an archive that came meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby, zip_longest
from pathlib import Path
from sqlite3 import Connection

from s3batch.catalogue import sqlite_find
from s3batch.catalogue.contract import Entry, Listed, Page, Query
from s3batch.catalogue.listing import after_prefix, up_to_folder, without_twins
from s3batch.catalogue.sqlite_add import forget, insert, number_of_batch
from s3batch.catalogue.sqlite_rows import (
    ARCHIVE_QUERY,
    MEMBER_COLUMNS,
    Records,
    entry,
    normal,
    record,
)
from s3batch.catalogue.sqlite_schema import ROOM, STEPS
from s3batch.model import ArchiveRecord, Filed, Member
from s3sync.statedb import StateDb
from s3sync.times import to_ns

CACHE_KIB = 16_384
"""SQLite's page cache, which stays taken. Four times as much fills a catalogue no faster: the system keeps its pages too."""

_READ_ROWS = 2_000
_FIRST_LS_ROWS = 16
_FOREVER = 2**63 - 1

_MEMBERS = f"SELECT {MEMBER_COLUMNS} FROM members m JOIN owners o ON o.id = m.owner"  # noqa: S608 - constants of ours
_NEWEST_FIRST = "a.created DESC, a.batch DESC, m.id DESC"

ARCHIVES_AFTER = f"{ARCHIVE_QUERY} WHERE a.id > ? AND a.created >= ? ORDER BY a.id LIMIT ?"
ARCHIVE_BY_KEY = f"{ARCHIVE_QUERY} WHERE b.name = ? AND a.key = ?"
MEMBERS_BY_ID = f"{_MEMBERS} WHERE m.id BETWEEN ? AND ? ORDER BY m.id"
VERSIONS = f"""{_MEMBERS} JOIN archives a ON a.id = m.archive
    WHERE m.bucket IN (SELECT id FROM buckets WHERE :bucket IS NULL OR name = :bucket)
    AND m.key = :key AND a.created <= :limit
    ORDER BY {_NEWEST_FIRST}"""  # noqa: S608 - constants of ours
KEY_AFTER_ROWS = """SELECT key FROM members WHERE bucket = (SELECT id FROM buckets WHERE name = ?) AND key >= ? AND key < ?
    ORDER BY key LIMIT 1 OFFSET ?"""
KEYS_BETWEEN = f"""{_MEMBERS} JOIN archives a ON a.id = m.archive
    WHERE m.bucket = (SELECT id FROM buckets WHERE name = ?) AND m.key >= ? AND m.key < ? AND a.created <= ?
    ORDER BY m.key, {_NEWEST_FIRST}"""  # noqa: S608 - constants of ours

REPEATED = """SELECT count(*) FROM archives new JOIN buckets b ON b.id = new.bucket
    JOIN members m ON m.id BETWEEN new.id AND new.id + new.members - 1
    WHERE b.name = :bucket AND new.batch = :batch AND EXISTS (
        SELECT 1 FROM members old JOIN archives a ON a.id = old.archive
        WHERE old.bucket = m.bucket AND old.key = m.key AND old.sha256 = m.sha256 AND old.archive <> m.archive
        AND a.created >= :since AND a.created < new.created)"""


class SqliteCatalogue:
    """A `Catalogue` in one SQLite file."""

    def __init__(self, db: StateDb) -> None:
        """Use `db`, a database of its own, bringing its schema up to date. Raises what `StateDb.migrate` raises."""
        db.migrate(ROOM, STEPS)
        with db.read() as connection:
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._db = db

    @classmethod
    def open(cls, path: Path) -> SqliteCatalogue:
        """Open the catalogue at `path`, making an empty one where there is none. Raises what `StateDb` raises."""
        db = StateDb.open(path)
        try:
            return cls(db)
        except BaseException:
            db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, record: ArchiveRecord, members: Iterable[Member]) -> None:
        """See the contract. Raises `Permanent` where the members are not as many as the record says."""
        with self._db.write() as db:
            if number_of_batch(db, record) is None:
                insert(db, record, members)

    def replace(self, record: ArchiveRecord, members: Iterable[Member]) -> None:
        """Insert an archive in place of what is known under its batch id, in one transaction."""
        with self._db.write() as db:
            number = number_of_batch(db, record)
            if number is not None:
                forget(db, number)
            insert(db, record, members)

    def holds(self, record: ArchiveRecord, members: Iterable[Member]) -> bool:
        """Tell whether exactly this archive with exactly these members is there."""
        if self.archive(record.ref.bucket, record.ref.key) != record:
            return False
        here = self.members(record.ref.bucket, record.ref.key)
        return all(
            entry is not None and member is not None and entry.member == normal(member)
            for entry, member in zip_longest(here, members)
        )

    def repeated(self, archive: ArchiveRecord, since: datetime) -> int:
        """Return how many members of a catalogued archive repeat key and bytes of an older archive's, reserved `since` then.

        Beyond the contract: a question of the host that packs.
        """
        with self._db.read() as db:
            values = {"bucket": archive.ref.bucket, "batch": archive.batch, "since": to_ns(since) // 1000}
            return int(db.execute(REPEATED, values).fetchone()[0])

    def find(self, query: Query) -> Page:
        """See the contract. A page may be short, or empty, and still name a next one: reading far is done in pieces."""
        with self._db.read() as db:
            return sqlite_find.find(db, query)

    def ls(self, bucket: str, prefix: bytes) -> Iterator[Listed]:
        """See the contract. A folder costs one look into the index, however many members lie below it."""
        high = after_prefix(prefix)
        low: bytes | None = prefix
        while low is not None:
            low = yield from up_to_folder(self._keys(bucket, low, high, None, rows=_FIRST_LS_ROWS), prefix)

    def buckets(self) -> list[str]:
        """See the contract."""
        query = "SELECT name FROM buckets b WHERE EXISTS (SELECT 1 FROM archives a WHERE a.bucket = b.id) ORDER BY name"
        with self._db.read() as db:
            return [name for (name,) in db.execute(query)]

    def archives(self, bucket: str) -> Iterator[ArchiveRecord]:
        """See the contract."""
        with self._db.read() as db:
            rows = db.execute(f"{ARCHIVE_QUERY} WHERE b.name = ? ORDER BY a.created DESC, a.batch DESC", (bucket,)).fetchall()
        yield from map(record, rows)

    def versions(self, key: bytes, bucket: str | None = None, as_of: datetime | None = None) -> list[Entry]:
        """See the contract."""
        with self._db.read() as db:
            values = {"bucket": bucket, "key": key, "limit": _limit(as_of)}
            return without_twins(_entries(db, VERSIONS, values, Records()))

    def below(
        self, bucket: str, prefix: bytes, as_of: datetime | None = None, *, every_version: bool = False
    ) -> Iterator[Entry]:
        """See the contract."""
        for versions in self._keys(bucket, prefix, after_prefix(prefix), as_of):
            yield from versions if every_version else versions[:1]

    def archive(self, bucket: str, key: str) -> ArchiveRecord | None:
        """See the contract."""
        with self._db.read() as db:
            row = db.execute(ARCHIVE_BY_KEY, (bucket, key)).fetchone()
        return None if row is None else record(row)

    def archives_since(self, since: datetime | None = None) -> Iterator[ArchiveRecord]:
        """Yield all archives, or those created since then, in no order that means anything. Beyond the contract."""
        last = -1
        while True:
            with self._db.read() as db:
                rows = db.execute(ARCHIVES_AFTER, (last, 0 if since is None else to_ns(since) // 1000, _READ_ROWS)).fetchall()
            if not rows:
                return
            yield from map(record, rows)
            last = rows[-1]["id"]

    def members(self, bucket: str, key: str) -> Iterator[Entry]:
        """See the contract."""
        with self._db.read() as db:
            row = db.execute(ARCHIVE_BY_KEY, (bucket, key)).fetchone()
        if row is None:
            return
        archive, end = record(row), row["id"] + row["members"]
        for first in range(row["id"], end, _READ_ROWS):
            with self._db.read() as db:
                rows = db.execute(MEMBERS_BY_ID, (first, min(first + _READ_ROWS, end) - 1)).fetchall()
            yield from (entry(row, archive) for row in rows)

    def filed(self, since: datetime, until: datetime) -> Iterator[Filed]:
        """Yield the archives created from `since` up to but not at `until`, oldest first. Beyond the contract: for reports."""
        query = f"{ARCHIVE_QUERY} WHERE a.created >= ? AND a.created < ? ORDER BY a.created, a.batch, b.name"
        with self._db.read() as db:
            rows = db.execute(query, (to_ns(since) // 1000, to_ns(until) // 1000)).fetchall()
        yield from (Filed(record(row), row["content_bytes"]) for row in rows)

    def statistics(self) -> dict[str, int]:
        """See the contract. `disk_bytes` counts SQLite's companions too."""
        query = "SELECT count(*), coalesce(sum(members), 0), coalesce(sum(content_bytes), 0) FROM archives"
        with self._db.read() as db:
            archives, members, content_bytes = db.execute(query).fetchone()
        files = [self._db.path, *(Path(f"{self._db.path}{ending}") for ending in ("-wal", "-shm"))]
        disk_bytes = sum(os.stat(file).st_size for file in files if file.exists())
        return {"archives": archives, "members": members, "bytes": content_bytes, "disk_bytes": disk_bytes}

    def _keys(
        self, bucket: str, low: bytes, high: bytes, as_of: datetime | None, rows: int = _READ_ROWS
    ) -> Iterator[list[Entry]]:
        """Yield the versions of each key from `low` up to `high`, newest first, reading about `rows` at first and then more."""
        end: bytes | None = low
        while end is not None:
            low = end
            with self._db.read() as db:
                end = _key_after_rows(db, bucket, low, high, rows)
                entries = _range(db, bucket, (low, end or high), as_of)
            for _, versions in groupby(entries, key=_key_of):
                yield without_twins(versions)
            rows = min(rows * 4, _READ_ROWS)


def _key_of(entry: Entry) -> bytes:
    return entry.member.key


def _limit(as_of: datetime | None) -> int:
    return _FOREVER if as_of is None else to_ns(as_of) // 1000


def _key_after_rows(db: Connection, bucket: str, low: bytes, high: bytes, rows: int) -> bytes | None:
    """Return the first key more than `rows` rows further on than `low`, with all rows of the keys between; None at the end."""
    there = db.execute(KEY_AFTER_ROWS, (bucket, low, high, rows)).fetchone()
    if there is None:
        return None
    beyond = db.execute(KEY_AFTER_ROWS, (bucket, bytes(there[0]) + b"\0", high, 0)).fetchone()
    return None if beyond is None else bytes(beyond[0])


def _range(db: Connection, bucket: str, bounds: tuple[bytes, bytes], as_of: datetime | None) -> list[Entry]:
    return _entries(db, KEYS_BETWEEN, (bucket, *bounds, _limit(as_of)), Records())


def _entries(db: Connection, query: str, values: tuple[object, ...] | Mapping[str, object], records: Records) -> list[Entry]:
    return [entry(row, records.get(db, row["archive"])) for row in db.execute(query, values).fetchall()]
