"""What `s3sync` knows of each file it has taken up: one row a drop, one method per transition, one transaction each.

A row is written when a file's bytes have been read and before S3 hears of it, and goes when the original is gone; what stays
are the drops that somebody must look at. Which phases there are, and what leads from one to another, is in `drops`.

Nothing here is needed to keep bytes safe: with the journal lost, every file still in the drop zone is stored again, finds its
own object under its key, and is released on the strength of that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.statedb import StateDb
from s3sync.store.contract import StorageClass
from s3sync.store.proof import Proof
from s3sync.transfer.drops import Drop, Phase, Turn, next_phase
from s3sync.transfer.schema import SCHEMA

ROOM = "sync"

_COLUMNS = (
    "id, bucket, key, path, device, inode, size, mtime_ns, ctime_ns, crc64nvme, sha256, storage_class, phase, upload_id, "
    "version_id, etag, slot_folder, slot, since, detail"
)
_PLACES = ", ".join("?" * len(_COLUMNS.split(",")))

Clock = Callable[[], datetime]
"""Returns the present moment, aware UTC."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A bucket that is left alone for a while."""

    bucket: str
    since: datetime
    failures: int
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRecord:
    """What a pass did, as `status` shows it later."""

    finished: datetime
    files: int
    bytes: int
    released: int
    left: int
    errors: int


class Journal:
    """The drops in hand. All methods may be called from several threads; what returned is durable.

    Every method raises `Transient` where the disk is full or the file busy.
    """

    def __init__(self, db: StateDb, now: Clock) -> None:
        """Keep the room `sync` of `db`, dating what happens by `now`. Raises `Preflight` where the schema is newer."""
        self._db = db
        self._now = now
        db.migrate(ROOM, SCHEMA)

    def begin(self, *drops: Drop) -> None:
        """Take up `drops`: from here their objects may appear in S3."""
        rows = [_to_row(drop, self._seconds()) for drop in drops]
        with self._db.write() as db:
            db.executemany(f"INSERT INTO drops ({_COLUMNS}) VALUES ({_PLACES})", rows)  # noqa: S608

    def note_upload(self, drop_id: str, upload_id: str | None) -> None:
        """Remember the multipart upload of a drop that is being stored; None once there is none."""
        with self._db.write() as db:
            db.execute("UPDATE drops SET upload_id = ? WHERE id = ?", (upload_id, drop_id))

    def proved(self, proofs: Mapping[str, Proof]) -> None:
        """S3 has confirmed the bytes of these drops: their originals may go, by slots in the folder of the first."""
        folder = next(iter(proofs))
        with self._db.write() as db:
            for slot, (drop_id, proof) in enumerate(proofs.items()):
                shown = {"version_id": proof.ref.version_id, "etag": proof.etag, "upload_id": None}
                self._turn_in(db, drop_id, Turn.PROVED, **shown, slot_folder=folder, slot=slot)

    def occupied(self, drop_id: str, *, etag: str, detail: str) -> None:
        """Another content, known by its `etag`, is in the way."""
        self._turn(drop_id, Turn.OCCUPIED, version_id=None, etag=etag, detail=detail, upload_id=None)

    def free(self, drop_id: str) -> None:
        """Whatever was in the way is gone, or has become something else: store it after all."""
        self._turn(drop_id, Turn.FREE, version_id=None, etag=None)

    def kept(self, drop_id: str, identity: Identity, detail: str) -> None:
        """Note that the original could not be removed; the attempt has left it in the state `identity`."""
        self._turn(drop_id, Turn.KEPT, detail=detail, **identity._asdict())

    def lost(self, drop_id: str) -> None:
        """Note that the object that was confirmed is there no longer: it is stored again."""
        self._turn(drop_id, Turn.LOST, version_id=None, etag=None)

    def released(self, *drop_ids: str) -> None:
        """Close the drops: the originals are gone, and so are the rows."""
        self._delete(*drop_ids)

    def forgotten(self, drop_id: str) -> None:
        """Close the drop: the file has changed or vanished, and what lies there now is another one."""
        self._delete(drop_id)

    def at(self, *paths: bytes) -> list[Drop]:
        """Return the drops taken up from any of `paths`."""
        marks = ", ".join("?" * len(paths))
        with self._db.read() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM drops WHERE path IN ({marks})", paths).fetchall()  # noqa: S608
        return [_from_row(row) for row in rows]

    def in_hand(self, *phases: Phase) -> list[Drop]:
        """Return the drops in any of `phases`, in path order."""
        marks = ", ".join("?" * len(phases))
        with self._db.read() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM drops WHERE phase IN ({marks}) ORDER BY path", phases).fetchall()  # noqa: S608
        return [_from_row(row) for row in rows]

    def counts(self) -> dict[Phase, int]:
        """Return how many drops are in each phase; a phase without any has 0."""
        with self._db.read() as db:
            found = dict(db.execute("SELECT phase, count(*) FROM drops GROUP BY phase").fetchall())
        return {phase: found.get(phase.value, 0) for phase in Phase}

    def park(self, bucket: str, wrong: str) -> None:
        """Remember that `bucket` was refused in this pass as well."""
        with self._db.write() as db:
            db.execute(
                "INSERT INTO parked (bucket, since, failures, wrong) VALUES (?, ?, 1, ?)"
                " ON CONFLICT (bucket) DO UPDATE SET failures = failures + 1, wrong = excluded.wrong",
                (bucket, self._seconds(), wrong),
            )

    def unpark(self, bucket: str) -> None:
        """Remember that `bucket` takes objects again."""
        with self._db.write() as db:
            db.execute("DELETE FROM parked WHERE bucket = ?", (bucket,))

    def parked(self) -> list[Parked]:
        """Return the buckets that were refused the last time they were tried."""
        with self._db.read() as db:
            rows = db.execute("SELECT bucket, since, failures, wrong FROM parked ORDER BY bucket").fetchall()
        return [Parked(row["bucket"], _utc(row["since"]), row["failures"], row["wrong"]) for row in rows]

    def pass_ended(self, done: PassRecord, degraded: Mapping[str, str]) -> None:
        """Remember the last pass, and the last one without an error; and what was `degraded`, by cause."""
        with self._db.write() as db:
            db.execute("DELETE FROM degraded")
            db.executemany("INSERT INTO degraded (cause, detail) VALUES (?, ?)", sorted(degraded.items()))
            for which in ("last", "success") if done.errors == 0 else ("last",):
                db.execute(
                    "INSERT OR REPLACE INTO passes (which, finished, files, bytes, released, held, errors)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (which, int(done.finished.timestamp()), done.files, done.bytes, done.released, done.left, done.errors),
                )

    def degraded(self) -> dict[str, str]:
        """Return with what less than full protection or reach the last pass had to work: causes, and details for people."""
        with self._db.read() as db:
            return dict(db.execute("SELECT cause, detail FROM degraded ORDER BY cause").fetchall())

    def last_pass(self, *, successful: bool = False) -> PassRecord | None:
        """Return the last pass, or the last one without an error; None where there was none."""
        with self._db.read() as db:
            row = db.execute("SELECT * FROM passes WHERE which = ?", ("success" if successful else "last",)).fetchone()
        if row is None:
            return None
        return PassRecord(
            finished=_utc(row["finished"]),
            files=row["files"],
            bytes=row["bytes"],
            released=row["released"],
            left=row["held"],
            errors=row["errors"],
        )

    def _turn(self, drop_id: str, turn: Turn, **changes: str | int | None) -> None:
        with self._db.write() as db:
            self._turn_in(db, drop_id, turn, **changes)

    def _turn_in(self, db: sqlite3.Connection, drop_id: str, turn: Turn, **changes: str | int | None) -> None:
        row = db.execute("SELECT phase FROM drops WHERE id = ?", (drop_id,)).fetchone()
        phase = next_phase(drop_id, None if row is None else Phase(row["phase"]), turn)
        values = {"detail": "", **changes, "phase": phase.value, "since": self._seconds()}
        columns = ", ".join(f"{name} = ?" for name in values)
        db.execute(f"UPDATE drops SET {columns} WHERE id = ?", (*values.values(), drop_id))  # noqa: S608

    def _delete(self, *drop_ids: str) -> None:
        with self._db.write() as db:
            db.executemany("DELETE FROM drops WHERE id = ?", [(drop_id,) for drop_id in drop_ids])

    def _seconds(self) -> int:
        return int(self._now().timestamp())


class DropUploadLog:
    """The upload id of one drop's multipart upload, kept in the journal (an `UploadLog`)."""

    def __init__(self, journal: Journal, drop: Drop) -> None:
        """Note what happens to the upload of `drop`."""
        self._journal = journal
        self._drop_id = drop.id
        self._upload_id = drop.upload_id

    @property
    def upload_id(self) -> str | None:
        """The upload to resume, if there is one."""
        return self._upload_id

    def note(self, upload_id: str | None, /) -> None:
        """Make `upload_id` durable."""
        if upload_id != self._upload_id:
            self._journal.note_upload(self._drop_id, upload_id)
            self._upload_id = upload_id


def _to_row(drop: Drop, since: int) -> tuple[str | bytes | int | None, ...]:
    candidate = drop.candidate
    return (
        drop.id,
        candidate.bucket,
        candidate.key,
        candidate.path,
        *candidate.identity,
        drop.crc64nvme,
        drop.sha256,
        drop.storage_class.value,
        drop.phase.value,
        drop.upload_id,
        drop.version_id,
        drop.etag,
        drop.slot_folder,
        drop.slot,
        since,
        drop.detail,
    )


def _from_row(row: sqlite3.Row) -> Drop:
    identity = Identity(row["device"], row["inode"], row["size"], row["mtime_ns"], row["ctime_ns"])
    return Drop(
        id=row["id"],
        candidate=Candidate(row["bucket"], row["key"], row["path"], identity),
        crc64nvme=row["crc64nvme"],
        sha256=row["sha256"],
        storage_class=StorageClass(row["storage_class"]),
        phase=Phase(row["phase"]),
        upload_id=row["upload_id"],
        version_id=row["version_id"],
        etag=row["etag"],
        slot_folder=row["slot_folder"],
        slot=row["slot"],
        since=_utc(row["since"]),
        detail=row["detail"],
    )


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
