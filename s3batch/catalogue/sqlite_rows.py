"""Rows of catalogue.db as the types everybody else knows, and back."""

from __future__ import annotations

from sqlite3 import Connection, Row

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.manifest_fields import clamped_ns, plain
from s3batch.model import ArchiveRecord, Member
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.times import from_ns, to_ns

MEMBER_COLUMNS = "m.id, m.archive, m.bucket, m.key, m.offset, m.size, m.sha256, m.mtime, o.mode, o.uid, o.gid, o.user, o.grp"
"""What `entry` needs of `members m JOIN owners o`."""

ARCHIVE_QUERY = "SELECT a.*, b.name AS bucket_name FROM archives a JOIN buckets b ON b.id = a.bucket"
"""What `record` needs; to be continued with a WHERE."""


def record(row: Row) -> ArchiveRecord:
    """Return one archive."""
    return ArchiveRecord(
        ref=ObjectRef(row["bucket_name"], row["key"], row["version_id"]),
        size=row["size"],
        crc64nvme=row["crc64nvme"],
        storage_class=StorageClass(row["storage_class"]),
        batch=row["batch"],
        created=from_ns(row["created"] * 1000),
        host=row["host"],
        tool=row["tool"],
        manifest=ObjectRef(row["manifest_bucket"], row["manifest_key"]),
        members=row["members"],
    )


def entry(row: Row, archive: ArchiveRecord) -> Entry:
    """Return one member with its archive."""
    _, _, _, key, offset, size, sha256, mtime, *owner = row
    return Entry(Member(key, offset, size, sha256.hex(), mtime, *owner), archive)


def archive_values(archive: ArchiveRecord, *, number: int, bucket: int, content_bytes: int) -> dict[str, object]:
    """Return the row of one archive whose first member has the id `number`."""
    return {
        "id": number,
        "members": archive.members,
        "content_bytes": content_bytes,
        "bucket": bucket,
        "key": archive.ref.key,
        "version_id": archive.ref.version_id,
        "size": archive.size,
        "crc64nvme": archive.crc64nvme,
        "storage_class": archive.storage_class.value,
        "batch": archive.batch,
        "created": to_micros(archive),
        "host": plain(archive.host),
        "tool": archive.tool,
        "manifest_bucket": archive.manifest.bucket,
        "manifest_key": archive.manifest.key,
    }


def normal(member: Member) -> Member:
    """Return the member as a catalogue keeps it: what no table and no JSON can hold is replaced by the nearest thing."""
    return Member(
        key=member.key,
        offset=member.offset,
        size=member.size,
        sha256=member.sha256,
        mtime_ns=clamped_ns(member.mtime_ns),
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        user=plain(member.user),
        group=plain(member.group),
    )


def to_micros(archive: ArchiveRecord) -> int:
    """Return the archive's creation time in microseconds since 1970."""
    return to_ns(archive.created) // 1000


class Records:
    """Archives by id, each read once; made for one call and thrown away with it, because archives may be replaced."""

    MOST = 4096

    def __init__(self) -> None:
        self._known: dict[int, ArchiveRecord] = {}

    def get(self, db: Connection, number: int) -> ArchiveRecord:
        """Return the archive with this id, which must exist."""
        found = self._known.get(number)
        if found is None:
            if len(self._known) >= self.MOST:
                self._known.clear()
            found = self._known[number] = record(db.execute(f"{ARCHIVE_QUERY} WHERE a.id = ?", (number,)).fetchone())
        return found


class Owners:
    """The ids of owners, made where missing; for one transaction."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._known: dict[tuple[int, int, int, str, str], int] = {}

    def number(self, member: Member) -> int:
        """Return the id of the member's mode and owner."""
        owner = (member.mode, member.uid, member.gid, member.user, member.group)
        found = self._known.get(owner)
        if found is None:
            found = self._known[owner] = self._made((*owner[:3], plain(member.user), plain(member.group)))
        return found

    def _made(self, owner: tuple[object, ...]) -> int:
        self._db.execute("INSERT OR IGNORE INTO owners (mode, uid, gid, user, grp) VALUES (?, ?, ?, ?, ?)", owner)
        query = "SELECT id FROM owners WHERE mode = ? AND uid = ? AND gid = ? AND user = ? AND grp = ?"
        return int(self._db.execute(query, owner).fetchone()[0])
