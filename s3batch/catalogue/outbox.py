"""Archives whose members the fleet's index has yet to be told of.

The pack journal puts an archive in with the same transaction that marks it catalogued; from then on nothing waits for the
index, and the index misses nothing. `drain` sends documents made from the catalogue, oldest archive first, and notes after each
bulk how far it came. A replay is harmless, so what a crash leaves unnoted is sent again.

Where the index is away, everything waits, longer each time (full jitter, at most five minutes) and for as long as it takes:
there is no last attempt. A document the index will never take is set aside with the reason and blocks nothing. An archive the
catalogue does not know (it was lost and is not rebuilt yet) waits by itself, and the others pass it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from secrets import SystemRandom
from sqlite3 import Connection, Row
from typing import ClassVar

from s3batch.catalogue.contract import Catalogue
from s3batch.catalogue.documents import Document, bulks, documents_of
from s3batch.catalogue.index import Index, Outcome
from s3batch.model import Reservation
from s3sync.errors import Failure, Transient
from s3sync.events import Event, Level, Listener, silent
from s3sync.statedb import StateDb
from s3sync.times import from_ns, to_ns

ROOM = "outbox"

_FIRST = """
-- Archives not yet wholly sent to the fleet's index.
--   batch      the batch id
--   bucket     the archive's bucket
--   archive    the archive's object key
--   created    when it was reserved: microseconds since 1970, UTC; the order of sending
--   sent       how many of its members, from the first, the index has or has refused for good
--   attempts   how often it was given up for now because of itself (not because the index was away)
--   next_try   not before: microseconds since 1970, UTC
--   error      why it was last given up; NULL if never
CREATE TABLE outbox (
    batch    TEXT    PRIMARY KEY,
    bucket   TEXT    NOT NULL,
    archive  TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    sent     INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try INTEGER NOT NULL DEFAULT 0,
    error    TEXT
) STRICT;

CREATE INDEX outbox_by_age ON outbox (created, batch);

-- Members whose documents the index refused for good.
--   bucket, archive   the archive
--   ordinal           which member of it, counted from 0
--   reason            the index's own words
CREATE TABLE outbox_set_aside (
    bucket  TEXT    NOT NULL,
    archive TEXT    NOT NULL,
    ordinal INTEGER NOT NULL,
    reason  TEXT    NOT NULL,
    PRIMARY KEY (bucket, archive, ordinal)
) STRICT, WITHOUT ROWID;
"""

STEPS = (_FIRST,)

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexAway(Event):
    """The index cannot be reached or refuses to work; the outbox waits."""

    name: ClassVar[str] = "index_away"
    level: ClassVar[Level] = Level.WARNING
    wrong: str
    behind: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveIndexed(Event):
    """Every member of an archive was sent."""

    name: ClassVar[str] = "archive_indexed"
    bucket: str
    archive: str
    batch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSetAside(Event):
    """The index refused a document for good."""

    name: ClassVar[str] = "document_set_aside"
    level: ClassVar[Level] = Level.WARNING
    bucket: str
    archive: str
    ordinal: int
    reason: str


@dataclass(frozen=True, slots=True)
class Behind:
    """How far the index is behind: archives waiting, the oldest one's creation time, documents set aside."""

    archives: int
    since: datetime | None
    set_aside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    """What one drain did."""

    archives: int
    documents: int
    set_aside: int
    behind: Behind
    failure: Failure | None
    """Why it stopped before the end, where it did."""


def enqueue(connection: Connection, reservation: Reservation) -> None:
    """Put an archive in, within the caller's transaction; one that is in already stays as it is."""
    connection.execute(
        "INSERT OR IGNORE INTO outbox (batch, bucket, archive, created) VALUES (?, ?, ?, ?)",
        (reservation.id, reservation.archive.bucket, reservation.archive.key, _micros(reservation.created)),
    )


class Outbox:
    """The outbox in journal.db. `drain` is for one thread at a time; the rest may be called from any."""

    def __init__(
        self,
        db: StateDb,
        catalogue: Catalogue,
        index: Index,
        *,
        listener: Listener = silent,
        stopping: Callable[[], bool] = lambda: False,
        jitter: Callable[[float], float] = lambda longest: SystemRandom().uniform(0, longest),
    ) -> None:
        """Bring the schema up to date and send to `index`. `jitter` picks a wait of up to so many seconds."""
        prepare(db)
        self._db = db
        self._catalogue = catalogue
        self._index = index
        self._listener = listener
        self._stopping = stopping
        self._jitter = jitter
        self._failures = 0
        self._not_before: datetime | None = None

    def drain(self, now: datetime) -> DrainReport:
        """Send what is due, oldest first, until nothing is, or the index is away, or it is time to stop."""
        tally = _Tally()
        while not self._stopping() and not self._waits(now):
            row = self._next_due(now)
            if row is None:
                break
            try:
                self._send(row, now, tally)
                self._failures = 0
            except Transient as failure:
                self._step_back(failure, now)
                return self._report(tally, failure)
        return self._report(tally, None)

    def behind(self) -> Behind:
        """Return how far the index is behind."""
        with self._db.read() as db:
            archives, oldest = db.execute("SELECT count(*), min(created) FROM outbox").fetchone()
            (set_aside,) = db.execute("SELECT count(*) FROM outbox_set_aside").fetchone()
        return Behind(archives, None if oldest is None else from_ns(oldest * 1000), set_aside)

    def _waits(self, now: datetime) -> bool:
        return self._not_before is not None and now < self._not_before

    def _next_due(self, now: datetime) -> Row | None:
        query = "SELECT * FROM outbox WHERE next_try <= ? ORDER BY created, batch LIMIT 1"
        with self._db.read() as db:
            row: Row | None = db.execute(query, (_micros(now),)).fetchone()
        return row

    def _send(self, row: Row, now: datetime, tally: _Tally) -> None:
        """Send an archive's documents from where it stopped; forget the archive when all are through."""
        if self._catalogue.archive(row["bucket"], row["archive"]) is None:
            self._postpone(row, now, "the catalogue does not know it; rebuild it from the manifests")
            return
        entries = self._catalogue.members(row["bucket"], row["archive"])
        ordinal = row["sent"]
        documents = (documents_of(entry, number) for number, entry in islice(enumerate(entries), ordinal, None))
        for bulk in bulks(documents):
            ordinal += self._send_bulk(row, ordinal, bulk, tally)
            if self._stopping():
                return
        with self._db.write() as db:
            db.execute("DELETE FROM outbox WHERE batch = ?", (row["batch"],))
        tally.archives += 1
        self._listener(ArchiveIndexed(bucket=row["bucket"], archive=row["archive"], batch=row["batch"]))

    def _send_bulk(self, row: Row, first: int, bulk: Sequence[Document], tally: _Tally) -> int:
        """Send one bulk and note how far it came. Raises `Transient` where part of it has to wait."""
        answers = self._index.create(bulk)
        through = next((place for place, one in enumerate(answers) if one.outcome is Outcome.LATER), len(answers))
        refused = {first + place: one.reason for place, one in enumerate(answers[:through]) if one.outcome is Outcome.SET_ASIDE}
        self._note(row, first + through, refused)
        tally.documents += through - len(refused)
        tally.set_aside += len(refused)
        if through < len(answers):
            raise Transient("the index", answers[through].reason, "Wait; it is tried again by itself")
        return through

    def _note(self, row: Row, sent: int, refused: dict[int, str]) -> None:
        with self._db.write() as db:
            db.execute("UPDATE outbox SET sent = ? WHERE batch = ?", (sent, row["batch"]))
            db.executemany(
                "INSERT OR REPLACE INTO outbox_set_aside VALUES (?, ?, ?, ?)",
                [(row["bucket"], row["archive"], ordinal, reason) for ordinal, reason in refused.items()],
            )
        for ordinal, reason in refused.items():
            told = DocumentSetAside(bucket=row["bucket"], archive=row["archive"], ordinal=ordinal, reason=reason)
            self._listener(told)

    def _postpone(self, row: Row, now: datetime, why: str) -> None:
        wait = timedelta(seconds=self._wait_seconds(row["attempts"]))
        with self._db.write() as db:
            db.execute(
                "UPDATE outbox SET attempts = attempts + 1, next_try = ?, error = ? WHERE batch = ?",
                (_micros(now + wait) + 1, why, row["batch"]),
            )

    def _step_back(self, failure: Failure, now: datetime) -> None:
        self._not_before = now + timedelta(seconds=self._wait_seconds(self._failures))
        self._failures += 1
        self._listener(IndexAway(wrong=failure.wrong, behind=self.behind().archives, attempt=self._failures))

    def _wait_seconds(self, attempts: int) -> float:
        # The exponent is bounded so that weeks of attempts do not overflow a float.
        return self._jitter(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(attempts, 32)))

    def _report(self, tally: _Tally, failure: Failure | None) -> DrainReport:
        return DrainReport(
            archives=tally.archives,
            documents=tally.documents,
            set_aside=tally.set_aside,
            behind=self.behind(),
            failure=failure,
        )


@dataclass(slots=True)
class _Tally:
    """Counts of one drain while it goes on."""

    archives: int = 0
    documents: int = 0
    set_aside: int = 0


def prepare(db: StateDb) -> None:
    """Bring the outbox's tables in `db` up to date: needed before `enqueue`, also where nothing is ever drained."""
    db.migrate(ROOM, STEPS)


def _micros(moment: datetime) -> int:
    return to_ns(moment) // 1000
