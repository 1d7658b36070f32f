"""The table of archives whose members the fleet's index has yet to be told of.

The pack journal puts an archive in with the same transaction that marks it catalogued; from then on nothing waits for the
index, and the index misses nothing. A row is an archive and where its manifest lies; documents are made from that when they are
sent (`s3batch.catalogue.drain`), so nothing is stored twice but the few that the index refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from sqlite3 import Connection, Row

from s3batch.catalogue.documents import INDEX_PREFIX, index_of
from s3batch.model import Reservation
from s3sync.statedb import StateDb, statements
from s3sync.store.contract import ObjectRef
from s3sync.times import from_ns, to_ns

ROOM = "outbox"

_FIRST = """
-- Archives not yet wholly sent to the fleet's index.
--   batch            the batch id
--   bucket, archive  the archive's bucket and object key
--   manifest_bucket, manifest_key  where its manifest lies
--   goes_to          the index its documents go into
--   created          when it was reserved: microseconds since 1970, UTC; the order of sending
--   sent             how many of its members, from the first, the index has or has refused for good
--   attempts         how often it was given up for now because of itself (not because the index was away)
--   next_try         not before: microseconds since 1970, UTC
--   error            why it was last given up; NULL if never
CREATE TABLE outbox (
    batch           TEXT    PRIMARY KEY,
    bucket          TEXT    NOT NULL,
    archive         TEXT    NOT NULL,
    manifest_bucket TEXT    NOT NULL,
    manifest_key    TEXT    NOT NULL,
    goes_to         TEXT    NOT NULL,
    created         INTEGER NOT NULL,
    sent            INTEGER NOT NULL DEFAULT 0,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_try        INTEGER NOT NULL DEFAULT 0,
    error           TEXT
) STRICT;

CREATE INDEX outbox_by_age ON outbox (created, batch);

-- Members whose documents the index refused for good, until somebody retries them.
--   ordinal   which member of the archive it is, counted from 0
--   reason    the index's own words
--   document  what was sent, JSON
-- The others as above.
CREATE TABLE outbox_set_aside (
    batch           TEXT    NOT NULL,
    ordinal         INTEGER NOT NULL,
    bucket          TEXT    NOT NULL,
    archive         TEXT    NOT NULL,
    manifest_bucket TEXT    NOT NULL,
    manifest_key    TEXT    NOT NULL,
    goes_to         TEXT    NOT NULL,
    created         INTEGER NOT NULL,
    reason          TEXT    NOT NULL,
    document        TEXT    NOT NULL,
    PRIMARY KEY (batch, ordinal)
) STRICT, WITHOUT ROWID;

-- Indices that documents of this host went into.
--   name      the index, or the alias of that name
--   identity  what it was when they did: another one shows that it was made anew, and everything is sent again
CREATE TABLE outbox_indices (
    name     TEXT PRIMARY KEY,
    identity TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Why nothing can be sent; no row while all is well.
--   failed  when it began: microseconds since 1970, UTC
--   wrong   in words
CREATE TABLE outbox_failure (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    failed INTEGER NOT NULL,
    wrong  TEXT    NOT NULL
) STRICT;
"""

STEPS = (_FIRST,)


@dataclass(frozen=True, slots=True)
class Behind:
    """How far the index is behind."""

    archives: int
    """How many wait."""
    since: datetime | None
    """When the oldest of them was made."""
    set_aside: int
    """How many documents the index refused."""
    why: str | None = None
    """Why the oldest waits, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One archive that waits."""

    batch: str
    bucket: str
    archive: str
    manifest: ObjectRef
    goes_to: str
    created: datetime
    sent: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """One document that the index refused."""

    batch: str
    bucket: str
    archive: str
    ordinal: int
    reason: str
    document: Mapping[str, object]


def enqueue(connection: Connection, reservation: Reservation) -> None:
    """Put an archive in, within the caller's transaction; one that is in already stays as it is."""
    connection.execute(
        "INSERT OR IGNORE INTO outbox (batch, bucket, archive, manifest_bucket, manifest_key, goes_to, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            reservation.id,
            reservation.archive.bucket,
            reservation.archive.key,
            reservation.manifest.bucket,
            reservation.manifest.key,
            index_of(reservation.created),
            _micros(reservation.created),
        ),
    )


_TRIAL = (
    "ALTER TABLE outbox RENAME TO outbox_trial",
    "DROP INDEX outbox_by_age",
    "DROP TABLE outbox_set_aside",
    *statements(_FIRST),
    """INSERT INTO outbox (batch, bucket, archive, manifest_bucket, manifest_key, goes_to, created)
    SELECT o.batch, o.bucket, o.archive, b.manifest_bucket, b.manifest_key, :prefix || substr(b.created, 1, 4) || '.'
    || substr(b.created, 6, 2), o.created FROM outbox_trial o JOIN batches b ON b.id = o.batch""",
    "DROP TABLE outbox_trial",
)
"""From the tables of the first days, which called themselves version 1 too: what waits is sent again from its beginning, and
what was set aside is not kept, for the index has another layout since and may take it."""


def prepare(db: StateDb) -> None:
    """Bring the outbox's tables in `db` up to date: needed before `enqueue`, also where nothing is ever drained."""
    with db.write() as connection:
        columns = {row["name"] for row in connection.execute("SELECT name FROM pragma_table_info('outbox')")}
        if columns and "goes_to" not in columns:
            db.keep_copy("outbox-0")
            for statement in _TRIAL:
                connection.execute(statement, {"prefix": INDEX_PREFIX} if ":prefix" in statement else {})
    db.migrate(ROOM, STEPS)


class Outbox:
    """The outbox in journal.db: one method a change, one transaction each. May be called from any thread."""

    def __init__(self, db: StateDb) -> None:
        """Bring the schema up to date."""
        prepare(db)
        self._db = db

    def behind(self) -> Behind:
        """Return how far the index is behind."""
        oldest_first = "SELECT created, error FROM outbox ORDER BY created, batch LIMIT 1"
        with self._db.read() as db:
            (archives,) = db.execute("SELECT count(*) FROM outbox").fetchone()
            (set_aside,) = db.execute("SELECT count(*) FROM outbox_set_aside").fetchone()
            oldest = db.execute(oldest_first).fetchone()
            failure = db.execute("SELECT wrong FROM outbox_failure").fetchone()
        if oldest is None:
            return Behind(0, None, set_aside)
        return Behind(archives, from_ns(oldest["created"] * 1000), set_aside, failure[0] if failure else oldest["error"])

    def next_due(self, now: datetime, without: Collection[str], after: Waiting | None = None) -> Waiting | None:
        """Return the oldest archive behind `after` that may be sent now and goes into none of the indices `without`."""
        query = (
            "SELECT * FROM outbox WHERE next_try <= ? AND goes_to NOT IN (SELECT value FROM json_each(?))"
            " AND (created, batch) > (?, ?) ORDER BY created, batch LIMIT 1"
        )
        place = (-1, "") if after is None else (_micros(after.created), after.batch)
        with self._db.read() as db:
            row = db.execute(query, (_micros(now), json.dumps(list(without)), *place)).fetchone()
        return None if row is None else _waiting(row)

    def note(self, waiting: Waiting, sent: int, refused: Mapping[int, tuple[str, str]]) -> None:
        """Note that so many members are through, and those among them that were refused: reason and document by ordinal."""
        with self._db.write() as db:
            db.execute("UPDATE outbox SET sent = ? WHERE batch = ?", (sent, waiting.batch))
            db.executemany(
                "INSERT OR REPLACE INTO outbox_set_aside"
                " SELECT batch, ?, bucket, archive, manifest_bucket, manifest_key, goes_to, created, ?, ?"
                " FROM outbox WHERE batch = ?",
                [(ordinal, reason, document, waiting.batch) for ordinal, (reason, document) in refused.items()],
            )

    def done(self, waiting: Waiting) -> None:
        """Forget an archive: every member is through."""
        with self._db.write() as db:
            db.execute("DELETE FROM outbox WHERE batch = ?", (waiting.batch,))

    def postpone(self, waiting: Waiting, until: datetime, why: str) -> None:
        """Leave an archive alone until then, because of itself."""
        with self._db.write() as db:
            db.execute(
                "UPDATE outbox SET attempts = attempts + 1, next_try = ?, error = ? WHERE batch = ?",
                (_micros(until) + 1, why, waiting.batch),
            )

    def failed(self, now: datetime, wrong: str) -> None:
        """Note that nothing can be sent; since when stays as it is."""
        with self._db.write() as db:
            db.execute(
                "INSERT INTO outbox_failure VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET wrong = excluded.wrong",
                (_micros(now), wrong),
            )

    def well_again(self) -> None:
        """Note that something was sent."""
        with self._db.write() as db:
            db.execute("DELETE FROM outbox_failure")

    def identities(self) -> dict[str, str]:
        """Return the indices that documents of this host went into, and what each was then."""
        with self._db.read() as db:
            return dict(db.execute("SELECT name, identity FROM outbox_indices").fetchall())

    def replay(self, name: str, identity: str, archives: Iterable[Reservation]) -> None:
        """Note what the index `name` is now, and send these archives, from their first member."""
        with self._db.write() as db:
            db.execute("UPDATE outbox SET sent = 0 WHERE goes_to = ?", (name,))
            for archive in archives:
                enqueue(db, archive)
            db.execute("INSERT OR REPLACE INTO outbox_indices VALUES (?, ?)", (name, identity))

    def set_aside(self, limit: int) -> Iterator[SetAside]:
        """Yield what was refused, oldest first."""
        with self._db.read() as db:
            rows = db.execute("SELECT * FROM outbox_set_aside ORDER BY created, batch, ordinal LIMIT ?", (limit,)).fetchall()
        for row in rows:
            yield SetAside(
                batch=row["batch"],
                bucket=row["bucket"],
                archive=row["archive"],
                ordinal=row["ordinal"],
                reason=row["reason"],
                document=json.loads(row["document"]),
            )

    def retry(self) -> int:
        """Put the archives of all refused documents in again, let everything go at once, and return how many were refused."""
        with self._db.write() as db:
            db.execute("UPDATE outbox SET next_try = 0, sent = 0 WHERE batch IN (SELECT batch FROM outbox_set_aside)")
            db.execute("UPDATE outbox SET next_try = 0")
            db.execute(
                "INSERT OR IGNORE INTO outbox (batch, bucket, archive, manifest_bucket, manifest_key, goes_to, created)"
                " SELECT DISTINCT batch, bucket, archive, manifest_bucket, manifest_key, goes_to, created FROM outbox_set_aside"
            )
            return db.execute("DELETE FROM outbox_set_aside").rowcount


def _waiting(row: Row) -> Waiting:
    return Waiting(
        batch=row["batch"],
        bucket=row["bucket"],
        archive=row["archive"],
        manifest=ObjectRef(row["manifest_bucket"], row["manifest_key"]),
        goes_to=row["goes_to"],
        created=from_ns(row["created"] * 1000),
        sent=row["sent"],
        attempts=row["attempts"],
    )


def _micros(moment: datetime) -> int:
    return to_ns(moment) // 1000
