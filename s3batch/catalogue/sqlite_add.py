"""Archives into catalogue.db and out of it, each call part of a transaction its caller holds."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from sqlite3 import Connection, IntegrityError

from s3batch.catalogue.manifest_fields import clamped_ns
from s3batch.catalogue.sqlite_rows import Owners, archive_values, to_micros
from s3batch.model import ArchiveRecord, Member
from s3sync import keys
from s3sync.errors import Permanent

_INSERT_ROWS = 10_000
"""Rows handed to SQLite at once."""

_PENDING_BYTES = 16 << 20
"""What full text gathers in memory before it writes a segment. With its own default of 1 MiB, an archive of 100,000 members
becomes a dozen segments that have to be merged again: a tenth of the whole time."""


def number_of_batch(db: Connection, archive: ArchiveRecord) -> int | None:
    """Return the id of the archive with this batch id, or None where it is not catalogued."""
    query = "SELECT a.id FROM archives a JOIN buckets b ON b.id = a.bucket WHERE b.name = ? AND a.batch = ?"
    row = db.execute(query, (archive.ref.bucket, archive.batch)).fetchone()
    return None if row is None else int(row[0])


def insert(db: Connection, archive: ArchiveRecord, members: Iterable[Member]) -> None:
    """Insert an archive with its members. Raises `Permanent` where they are not as many as it says, or its key is taken."""
    bucket = _bucket_number(db, archive.ref.bucket)
    number = int(db.execute("SELECT coalesce(max(last), 0) + 1 FROM stretches").fetchone()[0])
    count, content_bytes = _insert_members(db, members, archive=number, bucket=bucket)
    if count != archive.members or not count:
        raise _refused(archive, f"{count} members came where its record says {archive.members}")
    values = archive_values(archive, number=number, bucket=bucket, content_bytes=content_bytes)
    columns = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    try:
        db.execute(f"INSERT INTO archives ({columns}) VALUES ({places})", values)  # noqa: S608 - column names of ours
    except IntegrityError as error:
        raise _refused(archive, "another batch's archive is catalogued under its key") from error
    _lengthen_stretch(db, archive, bucket=bucket, first=number, last=number + count - 1)


def _insert_members(db: Connection, members: Iterable[Member], *, archive: int, bucket: int) -> tuple[int, int]:
    """Insert the members with ids from `archive` on; return their number and the sum of their sizes."""
    _gather(db)
    owners = Owners(db)
    number, content_bytes = archive, 0
    remaining = iter(members)
    while some := list(islice(remaining, _INSERT_ROWS)):
        db.executemany(
            "INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    row_id,
                    archive,
                    bucket,
                    member.key,
                    member.offset,
                    member.size,
                    bytes.fromhex(member.sha256),
                    clamped_ns(member.mtime_ns),
                    owners.number(member),
                )
                for row_id, member in enumerate(some, start=number)
            ),
        )
        db.executemany(
            "INSERT INTO names (rowid, key) VALUES (?, ?)",
            ((row_id, keys.display(member.key)) for row_id, member in enumerate(some, start=number)),
        )
        number += len(some)
        content_bytes += sum(member.size for member in some)
    return number - archive, content_bytes


def _gather(db: Connection) -> None:
    """Set how much full text gathers; the database remembers it."""
    if db.execute("SELECT 1 FROM names_config WHERE k = 'hashsize' AND v = ?", (_PENDING_BYTES,)).fetchone() is None:
        db.execute("INSERT INTO names (names, rank) VALUES ('hashsize', ?)", (_PENDING_BYTES,))


def _bucket_number(db: Connection, name: str) -> int:
    db.execute("INSERT OR IGNORE INTO buckets (name) VALUES (?)", (name,))
    return int(db.execute("SELECT id FROM buckets WHERE name = ?", (name,)).fetchone()[0])


def _lengthen_stretch(db: Connection, archive: ArchiveRecord, *, bucket: int, first: int, last: int) -> None:
    """Add the new archive to the last stretch if it is newer than all of it, or else begin another."""
    stretch = db.execute("SELECT first, last FROM stretches ORDER BY first DESC LIMIT 1").fetchone()
    query = "SELECT created, batch, bucket FROM archives WHERE id < ? ORDER BY id DESC LIMIT 1"
    before = db.execute(query, (first,)).fetchone()
    newer = before is not None and tuple(before) < (to_micros(archive), archive.batch, bucket)
    if stretch is not None and newer:
        db.execute("UPDATE stretches SET last = ? WHERE first = ?", (last, stretch["first"]))
    else:
        db.execute("INSERT INTO stretches VALUES (?, ?)", (first, last))


def forget(db: Connection, number: int) -> None:
    """Remove an archive and its members. The full-text index keeps no text and must be told again what it is to forget."""
    (members,) = db.execute("SELECT members FROM archives WHERE id = ?", (number,)).fetchone()
    bounds = (number, number + members - 1)
    reader = db.cursor()
    reader.execute("SELECT id, key FROM members WHERE id BETWEEN ? AND ?", bounds)
    while rows := reader.fetchmany(_INSERT_ROWS):
        db.executemany(
            "INSERT INTO names (names, rowid, key) VALUES ('delete', ?, ?)",
            [(row_id, keys.display(key)) for row_id, key in rows],
        )
    db.execute("DELETE FROM members WHERE id BETWEEN ? AND ?", bounds)
    db.execute("DELETE FROM archives WHERE id = ?", (number,))


def _refused(archive: ArchiveRecord, wrong: str) -> Permanent:
    return Permanent(
        f"archive {keys.printable(str(archive.ref))}", wrong, "Keep its manifest and report this; it was not catalogued"
    )
