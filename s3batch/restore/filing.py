"""File a request: one row, a part for each member, a thaw for each archive, all in one transaction.

Members stream in and are inserted in chunks, so a folder of a hundred thousand is one statement a thousand members. A member
named twice is wanted once. Two members that would lie in the same place (versions of a key asked for by name) do not hide each
other: the later one goes into a folder named for its batch, and with `versions` every one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from sqlite3 import Connection

from s3batch.catalogue.contract import Entry
from s3batch.restore.destination import Destination, place
from s3batch.restore.requests import Deliverer, Requester, State
from s3batch.restore.thaw_journal import wanted
from s3sync.errors import Usage
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectRef, Tier
from s3sync.times import rfc3339

_CHUNK = 1000

_INSERT = """
  INSERT OR IGNORE INTO parts (request, thaw, key, place, offset, size, sha256, mtime_ns, state, next_try)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How the members are wanted."""

    destination: Destination
    tier: Tier
    days: int
    requester: Requester
    overwrite: bool = False
    versions: bool = False
    """Every member goes into a folder named for its batch."""
    note: str = ""


def file_request(
    db: StateDb, request_id: str, order: Order, entries: Iterable[Entry], *, deliverer: Deliverer, now: datetime
) -> None:
    """Insert a request for `entries`. Raises `Usage` where there are none."""
    with db.write() as connection:
        _insert_request(connection, request_id, order, deliverer, now)
        filing = _Filing(connection, request_id, order, now)
        for chunk in _chunks(entries):
            filing.add(chunk)
        counted = "SELECT COUNT(*) AS n, SUM(size) AS bytes FROM parts WHERE request = ?"
        row = connection.execute(counted, (request_id,)).fetchone()
        if not row["n"]:
            raise Usage("the request", "wants no members", "Name something that is in the catalogue")
        totals = (row["n"], row["bytes"], request_id)
        connection.execute("UPDATE requests SET members = ?, bytes = ? WHERE id = ?", totals)


class _Filing:
    """One request being filed."""

    def __init__(self, db: Connection, request_id: str, order: Order, now: datetime) -> None:
        self._db = db
        self._request_id = request_id
        self._versions = order.versions
        self._now = now
        self._thaws: dict[ObjectRef, int] = {}

    def add(self, entries: list[Entry]) -> None:
        rows = [self._row(entry, self._versions) for entry in entries]
        if self._db.executemany(_INSERT, rows).rowcount == len(rows):
            return
        for entry in entries:
            self._make_sure_of(entry)

    def _row(self, entry: Entry, versions: bool, twin: bool = False) -> tuple[object, ...]:  # noqa: FBT001, FBT002
        member = entry.member
        batch = entry.archive.batch
        version = f"{batch}-{member.offset}" if twin else batch if versions else None
        where = place(entry.bucket, member.key, version=version)
        state, now = State.REQUESTED, rfc3339(self._now)
        facts = (member.offset, member.size, member.sha256, member.mtime_ns)
        return (self._request_id, self._thaw(entry), member.key, where, *facts, state, now)

    def _make_sure_of(self, entry: Entry) -> None:
        """Insert what another member's place kept out; a member that is there already is enough."""
        query = "SELECT 1 FROM parts WHERE request = ? AND key = ? AND thaw = ? AND offset = ?"
        named = (self._request_id, entry.member.key, self._thaw(entry), entry.member.offset)
        if self._db.execute(query, named).fetchone() is not None:
            return
        if not self._db.execute(_INSERT, self._row(entry, versions=True)).rowcount:
            self._db.execute(_INSERT, self._row(entry, versions=True, twin=True))

    def _thaw(self, entry: Entry) -> int:
        ref = entry.archive.ref
        if ref not in self._thaws:
            self._thaws[ref] = wanted(self._db, entry.archive, self._now)
        return self._thaws[ref]


def _insert_request(db: Connection, request_id: str, order: Order, deliverer: Deliverer, now: datetime) -> None:
    values = (
        request_id,
        rfc3339(now),
        order.requester.user,
        order.requester.uid,
        order.destination.stored(),
        deliverer,
        order.tier,
        order.days,
        int(order.overwrite),
        order.note,
    )
    db.execute(
        """INSERT INTO requests (id, created, user, uid, destination, deliverer, tier, days, overwrite, note, members, bytes)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)""",
        values,
    )


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    iterator = iter(entries)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
