"""The journal of thaws: one method a transition, one transaction each, the parts of all requests moving along.

Intent is written before S3 is asked (`asking`, `extending`, `upgrading`), the fact after it. Because the intent stands, a
restart finds out by HEAD what became of it instead of paying twice. A row is never removed: wanted again when nothing is left
to deliver, it begins a new window with its counters at zero.
"""

from __future__ import annotations

from datetime import datetime
from sqlite3 import Connection, Row

from s3batch.model import ArchiveRecord
from s3batch.restore import lifecycle
from s3batch.restore import requests as parts
from s3batch.restore.cost import Standing
from s3batch.restore.request_journal import ATTENDED_FOR, By, move_parts, refuse_parts
from s3batch.restore.requests import Deliverer
from s3batch.restore.thaw import TRANSITIONS, Event, State, Thaw, Wish, apply
from s3sync.errors import Failure
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectRef, StorageClass, Tier
from s3sync.times import parse_utc, rfc3339

_UNDER_WAY = (State.ASKED, State.THAWING)


class Thaws:
    """The table of thaws, one method a transition."""

    def __init__(self, db: StateDb) -> None:
        """Use journal.db, its room `restore` migrated."""
        self._db = db

    def get(self, thaw_id: int) -> Thaw:
        """Return one row; ids come from parts, so there is one."""
        with self._db.read() as db:
            return _thaw(db.execute("SELECT * FROM thaws WHERE id = ?", (thaw_id,)).fetchone())

    def due(self, now: datetime, limit: int, *, request_id: str | None = None) -> list[Thaw]:
        """Return at most `limit` archives to look at now, of all requests or those one request wants, longest due first."""
        query = """
          SELECT * FROM thaws t WHERE next_check <= :now
          AND EXISTS (SELECT 1 FROM open_parts p WHERE p.thaw = t.id AND (:request IS NULL OR p.request = :request))
          ORDER BY next_check, id LIMIT :most
        """
        with self._db.read() as db:
            values = {"now": rfc3339(now), "request": request_id, "most": limit}
            return [_thaw(row) for row in db.execute(query, values).fetchall()]

    def next_check(self, *, request_id: str | None = None) -> datetime | None:
        """Return when the next archive is to be looked at, of all requests or of one; None without any."""
        query = """
          SELECT MIN(next_check) AS due FROM thaws t
          WHERE EXISTS (SELECT 1 FROM open_parts p WHERE p.thaw = t.id AND (:request IS NULL OR p.request = :request))
        """
        with self._db.read() as db:
            due = db.execute(query, {"request": request_id}).fetchone()["due"]
        return None if due is None else parse_utc(due)

    def of_request(self, request_id: str) -> list[Thaw]:
        """Return the thaws of all archives a request has parts in."""
        query = "SELECT * FROM thaws WHERE id IN (SELECT thaw FROM parts WHERE request = ?) ORDER BY id"
        with self._db.read() as db:
            return [_thaw(row) for row in db.execute(query, (request_id,)).fetchall()]

    def standing(self, ref: ObjectRef, now: datetime) -> Standing:
        """Return how far the thaw of this archive is as far as we know; one under way or done costs nothing again."""
        with self._db.read() as db:
            row = db.execute(
                "SELECT state, until FROM thaws WHERE bucket = ? AND key = ? AND version_id = ?",
                (ref.bucket, ref.key, ref.version_id or ""),
            ).fetchone()
        if row is None:
            return Standing.FROZEN
        if row["state"] in _UNDER_WAY:
            return Standing.UNDER_WAY
        thawed = row["state"] == State.THAWED and row["until"] > rfc3339(now)
        return Standing.THAWED if thawed else Standing.FROZEN

    def storage_class(self, archive: ArchiveRecord) -> StorageClass:
        """Return the class an archive is in as far as is known: where nobody wanted it back yet, the one it was stored in."""
        ref = archive.ref
        with self._db.read() as db:
            row = db.execute(
                "SELECT storage_class FROM thaws WHERE bucket = ? AND key = ? AND version_id = ?",
                (ref.bucket, ref.key, ref.version_id or ""),
            ).fetchone()
        return archive.storage_class if row is None else StorageClass(row["storage_class"])

    def wish(self, thaw: Thaw, now: datetime) -> Wish | None:
        """Return what the unfinished requests want of this archive together, None where nobody wants it any more."""
        query = """
          SELECT MAX(r.tier = :fast) AS fast, MAX(r.days) AS days, MAX(r.deliverer = :agent OR r.attended >= :since) AS attended
          FROM requests r WHERE r.id IN (SELECT request FROM open_parts WHERE thaw = :thaw)
        """
        since = rfc3339(now - ATTENDED_FOR)
        values = {"thaw": thaw.id, "fast": Tier.STANDARD, "agent": Deliverer.AGENT, "since": since}
        with self._db.read() as db:
            row = db.execute(query, values).fetchone()
        if row["days"] is None:
            return None
        return Wish(tier=Tier.STANDARD if row["fast"] else Tier.BULK, days=row["days"], attended=bool(row["attended"]))

    def asking(self, thaw: Thaw, *, tier: Tier, days: int, now: datetime, counted: bool) -> None:
        """Note the intent to ask for a readable copy."""
        with self._db.write() as db:
            self._apply(db, thaw.id, Event.ASK)
            db.execute(
                "UPDATE thaws SET tier = ?, days = ?, asked_at = ?, until = NULL, asks = asks + ? WHERE id = ?",
                (tier, days, rfc3339(now), int(counted), thaw.id),
            )

    def in_progress(self, thaw: Thaw, next_check: datetime) -> None:
        """Note that it is under way, whoever began it."""
        with self._db.write() as db:
            self._apply(db, thaw.id, Event.IN_PROGRESS)
            _well(db, thaw.id, next_check)
            _parts_under_way(db, thaw.id)

    def ready(self, thaw: Thaw, until: datetime | None, next_check: datetime) -> None:
        """Note that it can be read, until `until` where that is a copy: its parts may be delivered."""
        with self._db.write() as db:
            self._apply(db, thaw.id, Event.READABLE if until is None else Event.THAWED)
            db.execute("UPDATE thaws SET until = ? WHERE id = ?", (None if until is None else rfc3339(until), thaw.id))
            _well(db, thaw.id, next_check)
            _parts_under_way(db, thaw.id)
            move_parts(db, parts.Event.THAWED, By.THAW, thaw.id)

    def not_yet(self, thaw: Thaw, next_check: datetime) -> None:
        """Note that a read was refused as frozen although HEAD had called it readable: back to looking."""
        with self._db.write() as db:
            self._apply(db, thaw.id, Event.NOT_YET)
            db.execute("UPDATE thaws SET refused_reads = refused_reads + 1 WHERE id = ?", (thaw.id,))
            _look_at(db, thaw.id, next_check)
            move_parts(db, parts.Event.NOT_YET, By.THAW, thaw.id)

    def extending(self, thaw: Thaw, next_check: datetime) -> None:
        """Note the intent to have the copy's days counted anew."""
        with self._db.write() as db:
            db.execute("UPDATE thaws SET extensions = extensions + 1 WHERE id = ?", (thaw.id,))
            _look_at(db, thaw.id, next_check)

    def upgrading(self, thaw: Thaw, tier: Tier, now: datetime) -> None:
        """Note the intent to ask again in a faster tier."""
        with self._db.write() as db:
            db.execute("UPDATE thaws SET tier = ?, asked_at = ?, upgraded = 1 WHERE id = ?", (tier, rfc3339(now), thaw.id))

    def upgrade_unheard(self, thaw: Thaw) -> None:
        """Take back `upgrading`: nobody knows whether S3 heard it, and asking again for the same tier is free."""
        with self._db.write() as db:
            old = (thaw.tier, None if thaw.asked_at is None else rfc3339(thaw.asked_at), thaw.id)
            db.execute("UPDATE thaws SET tier = ?, asked_at = ?, upgraded = 0 WHERE id = ?", old)

    def reported_overdue(self, thaw: Thaw) -> None:
        """Note that somebody was told that it takes too long."""
        with self._db.write() as db:
            db.execute("UPDATE thaws SET overdue = 1 WHERE id = ?", (thaw.id,))

    def lapsed(self, thaw: Thaw, next_check: datetime) -> None:
        """Note that there is no readable copy any more; what was not delivered has expired."""
        with self._db.write() as db:
            self._apply(db, thaw.id, Event.LAPSED)
            db.execute("UPDATE thaws SET until = NULL, extensions = 0, upgraded = 0, overdue = 0 WHERE id = ?", (thaw.id,))
            _look_at(db, thaw.id, next_check)
            move_parts(db, parts.Event.LAPSED, By.THAW, thaw.id)

    def resting(self, thaw: Thaw, next_check: datetime) -> None:
        """Note that there is nothing to do before `next_check`."""
        with self._db.write() as db:
            _look_at(db, thaw.id, next_check)

    def failed(self, thaw: Thaw, failure: Failure) -> None:
        """Set the archive aside, and every unfinished part in it."""
        with self._db.write() as db:
            self._apply(db, thaw.id, Event.REFUSED)
            db.execute("UPDATE thaws SET error = ? WHERE id = ?", (str(failure), thaw.id))
            refuse_parts(db, failure, By.THAW, thaw.id)

    def moved(self, thaw: Thaw, storage_class: StorageClass) -> None:
        """Note that a lifecycle rule has moved the archive."""
        with self._db.write() as db:
            db.execute("UPDATE thaws SET storage_class = ? WHERE id = ?", (storage_class, thaw.id))

    def postponed(self, thaw: Thaw, failure: Failure, next_check: datetime) -> None:
        """Note a failed step that is worth repeating."""
        with self._db.write() as db:
            db.execute("UPDATE thaws SET error = ?, failures = failures + 1 WHERE id = ?", (str(failure), thaw.id))
            _look_at(db, thaw.id, next_check)

    def _apply(self, db: Connection, thaw_id: int, event: Event) -> None:
        row = db.execute("SELECT state FROM thaws WHERE id = ?", (thaw_id,)).fetchone()
        db.execute("UPDATE thaws SET state = ? WHERE id = ?", (apply(State(row["state"]), event), thaw_id))


def wanted(db: Connection, archive: ArchiveRecord, now: datetime) -> int:
    """Return the row of an archive that a new request wants, made or begun anew where nothing of it is unfinished."""
    ref = archive.ref
    name = (ref.bucket, ref.key, ref.version_id or "")
    row = db.execute(
        """SELECT id, state, EXISTS (SELECT 1 FROM open_parts p WHERE p.thaw = t.id) AS wanted
           FROM thaws t WHERE bucket = ? AND key = ? AND version_id = ?""",
        name,
    ).fetchone()
    if row is None:
        values = (*name, archive.size, archive.crc64nvme, archive.batch, archive.storage_class, State.FROZEN, rfc3339(now))
        cursor = db.execute(
            """INSERT INTO thaws (bucket, key, version_id, size, crc64nvme, batch, storage_class, state, next_check)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            values,
        )
        return int(cursor.lastrowid or 0)
    if not row["wanted"]:
        _begin_anew(db, row["id"], State(row["state"]))
    db.execute("UPDATE thaws SET next_check = ? WHERE id = ?", (rfc3339(now), row["id"]))
    return int(row["id"])


def _begin_anew(db: Connection, thaw_id: int, state: State) -> None:
    """Begin a new window; a thaw still under way (everybody cancelled) stays what it is."""
    db.execute("UPDATE thaws SET asks = 0, extensions = 0, refused_reads = 0, failures = 0 WHERE id = ?", (thaw_id,))
    if state in lifecycle.sources(TRANSITIONS, Event.WANTED_ANEW):
        db.execute(
            """UPDATE thaws SET state = ?, tier = NULL, days = NULL, asked_at = NULL, until = NULL, upgraded = 0, overdue = 0,
               error = NULL WHERE id = ?""",
            (apply(state, Event.WANTED_ANEW), thaw_id),
        )


def _parts_under_way(db: Connection, thaw_id: int) -> None:
    move_parts(db, parts.Event.ACCEPTED, By.THAW, thaw_id)
    move_parts(db, parts.Event.ASKED_AGAIN, By.THAW, thaw_id)


def _look_at(db: Connection, thaw_id: int, next_check: datetime) -> None:
    db.execute("UPDATE thaws SET next_check = ? WHERE id = ?", (rfc3339(next_check), thaw_id))


def _well(db: Connection, thaw_id: int, next_check: datetime) -> None:
    db.execute("UPDATE thaws SET error = NULL, failures = 0 WHERE id = ?", (thaw_id,))
    _look_at(db, thaw_id, next_check)


def _thaw(row: Row) -> Thaw:
    return Thaw(
        id=row["id"],
        ref=ObjectRef(row["bucket"], row["key"], row["version_id"] or None),
        size=row["size"],
        crc64nvme=row["crc64nvme"],
        batch=row["batch"],
        storage_class=StorageClass(row["storage_class"]),
        state=State(row["state"]),
        tier=None if row["tier"] is None else Tier(row["tier"]),
        days=row["days"],
        asked_at=None if row["asked_at"] is None else parse_utc(row["asked_at"]),
        until=None if row["until"] is None else parse_utc(row["until"]),
        asks=row["asks"],
        extensions=row["extensions"],
        upgraded=bool(row["upgraded"]),
        overdue=bool(row["overdue"]),
        refused_reads=row["refused_reads"],
        failures=row["failures"],
        error=row["error"],
    )
