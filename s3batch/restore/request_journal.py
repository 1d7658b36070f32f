"""The journal of requests and their parts: one method a transition, one transaction each.

Parts follow the thaw of their archive (thaw_journal.py moves them along with it) until they can be fetched; from there each is
delivered, refused or postponed by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from sqlite3 import Connection, Row

from s3batch.restore import lifecycle
from s3batch.restore.destination import from_stored
from s3batch.restore.requests import TRANSITIONS, Deliverer, Event, Part, Request, Requester, State, Waiting
from s3sync.errors import Failure, Mismatch, NotFound, Usage
from s3sync.keys import printable
from s3sync.statedb import StateDb
from s3sync.store.contract import Tier
from s3sync.times import parse_utc, rfc3339

ATTENDED_FOR = timedelta(minutes=15)
"""A waiting command shows itself at every look; after this long without one, nobody waits."""
_SHOWN_FOR = timedelta(minutes=1)
"""A command that looks every second is written down once a minute."""


class Requests:
    """The tables of requests and parts, one method a transition."""

    def __init__(self, db: StateDb) -> None:
        """Use journal.db, its room `restore` migrated (see `s3batch.restore.engine`)."""
        self._db = db

    def get(self, request_id: str) -> Request:
        """Return the request. Raises `NotFound`."""
        with self._db.read() as db:
            row = db.execute("SELECT * FROM requests WHERE id = ?", (request_id,)).fetchone()
            if row is None:
                raise NotFound(f"request {printable(request_id)}", "is not known here", "See `s3batch requests list`")
            return _request(db, row)

    def newest_first(self, limit: int = 100) -> list[Request]:
        """Return the latest `limit` requests."""
        with self._db.read() as db:
            rows = db.execute("SELECT * FROM requests ORDER BY created DESC, id LIMIT ?", (limit,)).fetchall()
            return [_request(db, row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many unfinished parts are in each state, and under `requests` how many requests they belong to."""
        with self._db.read() as db:
            found = {row["state"]: row["n"] for row in db.execute("SELECT state, COUNT(*) AS n FROM open_parts GROUP BY state")}
            requests = db.execute("SELECT COUNT(DISTINCT request) AS n FROM open_parts").fetchone()["n"]
        return {"requests": requests, **found}

    def parts(self, request_id: str) -> Iterator[Part]:
        """Yield the request's parts in the order they were filed, a page at a time."""
        last = -1
        while True:
            with self._db.read() as db:
                query = "SELECT * FROM named_parts WHERE request = ? AND id > ? ORDER BY id LIMIT 1000"
                rows = db.execute(query, (request_id, last)).fetchall()
            if not rows:
                return
            yield from map(_part, rows)
            last = rows[-1]["id"]

    def troubled(self, request_id: str, limit: int) -> tuple[list[Part], int]:
        """Return the first `limit` parts whose last attempt failed, and how many there are."""
        first = "SELECT * FROM named_parts WHERE request = ? AND error IS NOT NULL ORDER BY id LIMIT ?"
        counted = "SELECT COUNT(*) AS n FROM parts WHERE request = ? AND error IS NOT NULL"
        with self._db.read() as db:
            rows = db.execute(first, (request_id, limit)).fetchall()
            count = db.execute(counted, (request_id,)).fetchone()["n"]
        return [_part(row) for row in rows], count

    def attend(self, request_id: str, now: datetime) -> None:
        """Note that a command of its requester waits for it now: what lapsed may be asked for again."""
        with self._db.write() as db:
            before = rfc3339(now - _SHOWN_FOR)
            db.execute(
                "UPDATE requests SET attended = ? WHERE id = ? AND (attended IS NULL OR attended < ?)",
                (rfc3339(now), request_id, before),
            )
            db.execute(
                """UPDATE thaws SET next_check = :now WHERE state = 'lapsed' AND next_check > :now AND id IN
                   (SELECT thaw FROM parts WHERE request = :request AND state = :expired)""",
                {"now": rfc3339(now), "request": request_id, "expired": State.EXPIRED},
            )

    def cancel(self, request_id: str, uid: int) -> int:
        """Cancel every unfinished part and return how many; a thaw that has begun is paid for and goes on.

        Raises `NotFound`, `Usage` (somebody else's request; root may).
        """
        request = self.get(request_id)
        if uid not in {request.requester.uid, 0}:
            raise Usage(f"request {request_id}", f"belongs to {request.requester.user}", "Ask its owner to cancel it")
        with self._db.write() as db:
            return move_parts(db, Event.CANCELLED, By.REQUEST, request_id)

    def waiting(self, now: datetime, *, deliverer: Deliverer, request_id: str | None = None) -> list[Waiting]:
        """Return what may be delivered now by `deliverer`, of all requests or of one, longest waiting first."""
        values = {"thawed": State.THAWED, "now": rfc3339(now), "deliverer": deliverer, "request": request_id}
        with self._db.read() as db:
            rows = db.execute(_WAITING, values).fetchall()
        return [Waiting(row["request"], row["thaw"]) for row in rows]

    def due_parts(self, waiting: Waiting, now: datetime, limit: int) -> list[Part]:
        """Return at most `limit` thawed parts to deliver now, in the order they lie in the archive."""
        query = """SELECT * FROM named_parts WHERE state = ? AND request = ? AND thaw = ? AND next_try <= ?
                   ORDER BY offset, id LIMIT ?"""
        with self._db.read() as db:
            found = (State.THAWED, waiting.request, waiting.thaw, rfc3339(now), limit)
            return [_part(row) for row in db.execute(query, found).fetchall()]

    def next_try(self, *, request_id: str | None = None) -> datetime | None:
        """Return when the next thawed part is due, of all that the agent delivers or of one request; None without any."""
        query = """
          SELECT MIN(p.next_try) AS due FROM parts p JOIN requests r ON r.id = p.request
          WHERE p.state = :thawed AND CASE WHEN :request IS NULL THEN r.deliverer = 'agent' ELSE p.request = :request END
        """
        with self._db.read() as db:
            due = db.execute(query, {"thawed": State.THAWED, "request": request_id}).fetchone()["due"]
        return None if due is None else parse_utc(due)

    def delivered(self, places: Mapping[int, str]) -> int:
        """Mark parts (by id) as lying at their places now and return how many were.

        Finished parts stay as they are: somebody delivered the same bytes, or cancelled them, a moment before.
        """
        query = "UPDATE parts SET state = ?, delivered = ?, error = NULL WHERE state = ? AND id = ?"
        arrows = lifecycle.sources(TRANSITIONS, Event.DELIVERED)
        moved = 0
        with self._db.write() as db:
            # Nearly all were thawed, and then the other states need not be tried.
            for source in sorted(arrows, key=lambda state: state is not State.THAWED):
                if moved < len(places):
                    rows = [(arrows[source], place, source, part_id) for part_id, place in places.items()]
                    moved += db.executemany(query, rows).rowcount
        return moved

    def refused(self, parts: Iterable[int], failure: Failure) -> None:
        """Mark parts as failed for good, and why."""
        with self._db.write() as db:
            for part_id in parts:
                refuse_parts(db, failure, By.PART, part_id)

    def note_upload(self, part_id: int, upload_id: str | None) -> None:
        """Make the upload id of a part durable, None once it is of no further use."""
        with self._db.write() as db:
            db.execute("UPDATE parts SET upload_id = ? WHERE id = ?", (upload_id, part_id))

    def abandoned_uploads(self, limit: int = 100) -> list[tuple[Part, Request]]:
        """Return parts that are given up and whose upload is still there, each with its request."""
        query = "SELECT * FROM named_parts WHERE upload_id IS NOT NULL AND state IN (?, ?) LIMIT ?"
        with self._db.read() as db:
            found = [_part(row) for row in db.execute(query, (State.FAILED, State.CANCELLED, limit)).fetchall()]
        return [(part, self.get(part.request)) for part in found]

    def newly_finished(self, now: datetime) -> list[Request]:
        """Mark requests whose last part has come to its end, and return them: each request once."""
        query = """SELECT id FROM requests r WHERE finished IS NULL
                   AND NOT EXISTS (SELECT 1 FROM open_parts p WHERE p.request = r.id)"""
        with self._db.write() as db:
            ids = [row["id"] for row in db.execute(query).fetchall()]
            for request_id in ids:
                db.execute("UPDATE requests SET finished = ? WHERE id = ?", (rfc3339(now), request_id))
        return [self.get(request_id) for request_id in ids]

    def postponed(self, parts: Iterable[int], failure: Failure, *, until: datetime, attempt: bool) -> None:
        """Leave parts THAWED, not to be tried before `until`; `attempt` counts it as one of theirs."""
        query = "UPDATE parts SET next_try = ?, error = ?, attempts = attempts + ? WHERE state = ? AND id = ?"
        with self._db.write() as db:
            said = (rfc3339(until), str(failure), int(attempt), State.THAWED)
            db.executemany(query, [(*said, part_id) for part_id in parts])


_WAITING = """
  WITH RECURSIVE pairs (request, thaw) AS (
    SELECT id, (SELECT MIN(thaw) FROM parts WHERE state = :thawed AND request = r.id)
    FROM requests r WHERE finished IS NULL AND deliverer = :deliverer AND (:request IS NULL OR id = :request)
    UNION ALL
    SELECT request, (SELECT MIN(thaw) FROM parts WHERE state = :thawed AND request = p.request AND thaw > p.thaw)
    FROM pairs p WHERE thaw IS NOT NULL)
  SELECT first.request, first.thaw FROM pairs JOIN parts first ON first.id = (
    SELECT id FROM parts
    WHERE state = :thawed AND request = pairs.request AND thaw = pairs.thaw AND next_try <= :now ORDER BY offset LIMIT 1)
  ORDER BY first.next_try, first.id LIMIT 200"""
"""From pair to pair of request and archive by the index, with one look at each: what waits of a large one is not gone through
anew for each lot that is delivered of it."""


class By(StrEnum):
    """What names the parts that an event happens to."""

    PART = "id"
    REQUEST = "request"
    THAW = "thaw"


_MOVE = {
    By.PART: "UPDATE parts SET state = ? WHERE state = ? AND id = ?",
    By.REQUEST: "UPDATE parts SET state = ? WHERE state = ? AND request = ?",
    By.THAW: "UPDATE parts SET state = ? WHERE state = ? AND thaw = ?",
}
_EXPLAIN = {
    By.PART: "UPDATE parts SET error = ?, mismatch = ? WHERE state = ? AND id = ?",
    By.REQUEST: "UPDATE parts SET error = ?, mismatch = ? WHERE state = ? AND request = ?",
    By.THAW: "UPDATE parts SET error = ?, mismatch = ? WHERE state = ? AND thaw = ?",
}


def move_parts(db: Connection, event: Event, by: By, value: int | str) -> int:
    """Apply `event` to all parts so named in whose state it has its place, and return how many moved."""
    arrows = lifecycle.sources(TRANSITIONS, event)
    return sum(db.execute(_MOVE[by], (target, source, value)).rowcount for source, target in arrows.items())


def refuse_parts(db: Connection, failure: Failure, by: By, value: int | str) -> int:
    """Move the unfinished parts so named to FAILED with the reason, and return how many."""
    for source in lifecycle.sources(TRANSITIONS, Event.REFUSED):
        db.execute(_EXPLAIN[by], (str(failure), int(isinstance(failure, Mismatch)), source, value))
    return move_parts(db, Event.REFUSED, by, value)


def _request(db: Connection, row: Row) -> Request:
    counted = db.execute("SELECT state, COUNT(*) AS n FROM parts WHERE request = ? GROUP BY state", (row["id"],))
    return Request(
        id=row["id"],
        created=parse_utc(row["created"]),
        requester=Requester(row["user"], row["uid"]),
        destination=from_stored(row["destination"]),
        deliverer=Deliverer(row["deliverer"]),
        tier=Tier(row["tier"]),
        days=row["days"],
        overwrite=bool(row["overwrite"]),
        note=row["note"],
        members=row["members"],
        bytes=row["bytes"],
        counts={State(count["state"]): count["n"] for count in counted},
    )


def _part(row: Row) -> Part:
    return Part(
        id=row["id"],
        request=row["request"],
        thaw=row["thaw"],
        bucket=row["bucket"],
        archive=row["archive"],
        key=row["key"],
        place=row["place"],
        offset=row["offset"],
        size=row["size"],
        sha256=row["sha256"],
        mtime_ns=row["mtime_ns"],
        state=State(row["state"]),
        error=row["error"],
        mismatch=bool(row["mismatch"]),
        delivered=row["delivered"],
        attempts=row["attempts"],
        upload_id=row["upload_id"],
    )
