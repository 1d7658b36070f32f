"""Search catalogue.db newest archive first, a page at a time.

Within a stretch of ids (see `sqlite_schema`) ids are in order of age, so a search reads each stretch from its end and merges
the few stretches there are: nothing is sorted, and a page of a common word costs what a page of a rare one does. The full-text
index names the members that have the trigrams; whether they hold the words, and are within the bounds, is asked of each.
Without a usable trigram (short words, only bounds) every member is asked.

A page ends when it is full or when enough was read: the database is shared, and a search that finds nothing must not hold it
for long. The cursor says how far reading came, by creation time, batch and place in the archive, none of which a rebuilt
catalogue changes. Of the members of one archive the later ones come first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from sqlite3 import Connection, Row

from s3batch.catalogue.contract import Entry, Page, Query
from s3batch.catalogue.cursor import Cursor
from s3batch.catalogue.sqlite_rows import MEMBER_COLUMNS, Records, entry
from s3batch.catalogue.words import folded, folded_key, match_expression, shown
from s3batch.model import ArchiveRecord
from s3sync import keys
from s3sync.times import to_ns

MOST_READ = 100_000
"""Members asked for one page before it ends short: a fraction of a second."""

_FOREVER = 2**63 - 1
_Place = tuple[int, str, int]
"""An archive's place in time: created, batch, bucket id."""

BY_ID = f"""SELECT {MEMBER_COLUMNS} FROM members m CROSS JOIN owners o ON o.id = m.owner
    WHERE m.id BETWEEN ? AND ? ORDER BY m.id DESC"""  # noqa: S608 - constants of ours
BY_TRIGRAMS = f"""SELECT {MEMBER_COLUMNS}
    FROM names CROSS JOIN members m ON m.id = names.rowid CROSS JOIN owners o ON o.id = m.owner
    WHERE names.rowid BETWEEN ? AND ? AND names MATCH ? ORDER BY names.rowid DESC"""  # noqa: S608 - constants of ours
NEWEST_BELOW = """SELECT id + members - 1 FROM archives INDEXED BY archives_by_age
    WHERE (created, batch, bucket) < (?, ?, ?) AND id BETWEEN ? AND ?
    ORDER BY created DESC, batch DESC, bucket DESC LIMIT 1"""
_BY_BATCH = """SELECT a.id, a.members, b.id AS bucket FROM archives a JOIN buckets b ON b.id = a.bucket
    WHERE b.name = ? AND a.batch = ?"""
NEWER_TWIN = """SELECT 1 FROM members t JOIN archives a ON a.id = t.archive
    WHERE t.bucket = :bucket AND t.key = :key AND t.sha256 = :sha256 AND t.mtime = :mtime AND a.created <= :until
    AND (a.created, a.batch, t.id) > (:created, :batch, :id) LIMIT 1"""


@dataclass(frozen=True, slots=True)
class _Read:
    """One member that was read, with its archive."""

    row: Row
    archive: ArchiveRecord
    created: int

    def place(self) -> tuple[int, str, int, int]:
        return (self.created, self.archive.batch, self.row["bucket"], self.row["id"])

    def cursor(self) -> str:
        ordinal = self.row["id"] - self.row["archive"]
        return Cursor(self.created, self.archive.batch, self.archive.ref.bucket, ordinal).written()


def find(db: Connection, query: Query) -> Page:
    """Return the page of `query`. Raises `Usage` where its cursor is none of ours."""
    return _Search(db, query).page()


class _Search:
    """One page being made."""

    def __init__(self, db: Connection, query: Query) -> None:
        self._db = db
        self._query = query
        self._words = [shown(word) for word in query.words if word]
        self._match = match_expression([*self._words, *_as_word(query.prefix)])
        self._fits = _asking(query, self._words)
        self._since = -_FOREVER if query.since is None else _micros(query.since)
        self._until = _FOREVER if query.until is None else _micros(query.until)
        self._records = Records()

    def page(self) -> Page:
        streams = [self._read(first, last) for first, last in self._stretches()]
        try:
            return self._page(streams)
        finally:
            for stream in streams:
                stream.close()

    def _page(self, streams: list[Generator[_Read]]) -> Page:
        found: list[Entry] = []
        last: _Read | None = None
        for count, read in enumerate(merge(*streams, key=_Read.place, reverse=True)):
            if last is not None and count >= MOST_READ:
                return Page(tuple(found), last.cursor())
            if self._fits(read.row, read.archive) and not self._has_newer_twin(read):
                if last is not None and len(found) >= max(1, self._query.limit):
                    return Page(tuple(found), last.cursor())
                found.append(entry(read.row, read.archive))
            last = read
        return Page(tuple(found), None)

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Yield the first and last id to be read of each stretch."""
        begun, below = self._beginning()
        for first, last in self._db.execute("SELECT first, last FROM stretches").fetchall():
            if begun is not None and first <= begun <= last:
                yield first, begun - 1
                continue
            newest = self._db.execute(NEWEST_BELOW, (*below, first, last)).fetchone()
            if newest is not None:
                yield first, newest[0]

    def _beginning(self) -> tuple[int | None, _Place]:
        """Return the id that was read last, where there is one, and the place before which all other archives lie."""
        if self._query.after is None:
            return None, (min(self._until, _FOREVER - 1) + 1, "", 0)
        cursor = Cursor.read(self._query.after)
        row = self._db.execute(_BY_BATCH, (cursor.bucket, cursor.batch)).fetchone()
        if row is None:
            return None, (cursor.created, cursor.batch, 0)
        # An ordinal that is none of the archive's (the cursor was tampered with) must not lead into another stretch.
        ordinal = min(max(cursor.ordinal, 0), row["members"] - 1)
        return row["id"] + ordinal, (cursor.created, cursor.batch, row["bucket"])

    def _read(self, first: int, last: int) -> Generator[_Read]:
        """Yield the members of a stretch that may be hits, from `last` down to `first` or until they are too old."""
        query, values = (BY_TRIGRAMS, (first, last, self._match)) if self._match else (BY_ID, (first, last))
        for row in self._db.execute(query, values):
            archive = self._records.get(self._db, row["archive"])
            created = _micros(archive.created)
            if created < self._since:
                return
            yield _Read(row, archive, created)

    def _has_newer_twin(self, read: _Read) -> bool:
        values = {
            **{name: read.row[name] for name in ("id", "bucket", "key", "sha256", "mtime")},
            "created": read.created,
            "batch": read.archive.batch,
            "until": self._until,
        }
        return self._db.execute(NEWER_TWIN, values).fetchone() is not None


def _asking(query: Query, words: list[str]) -> Callable[[Row, ArchiveRecord], bool]:
    """Return the question whether a member is a hit."""
    wanted = [folded(word) for word in words]
    larger = 0 if query.larger is None else query.larger
    smaller = _FOREVER if query.smaller is None else query.smaller

    def fits(row: Row, archive: ArchiveRecord) -> bool:
        key: bytes = row["key"]
        text = folded_key(key)
        return (
            all(word in text for word in wanted)
            and key.startswith(query.prefix)
            and larger <= row["size"] <= smaller
            and query.bucket in {None, archive.ref.bucket}
        )

    return fits


def _as_word(prefix: bytes) -> tuple[str, ...]:
    """Return a prefix as a word that helps the full-text index, where it can be one."""
    return (prefix.decode("utf-8"),) if keys.is_utf8(prefix) else ()


def _micros(moment: datetime) -> int:
    return to_ns(moment) // 1000
