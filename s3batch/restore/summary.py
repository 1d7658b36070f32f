"""How many restore requests are in each state: for people who ask how things stand. Reads only."""

from __future__ import annotations

from collections import Counter

from s3batch.restore.request_journal import Requests
from s3batch.restore.requests import LEAST_ADVANCED_FIRST, Request, State
from s3sync.statedb import StateDb

_PRESENT = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'parts'"
_STATES = "SELECT DISTINCT request, state FROM parts ORDER BY request"


def requests_by_state(db: StateDb) -> dict[State, int]:
    """Return how many requests show each state, the finished ones too; none where nobody has ever filed one."""
    least: dict[str, State] = {}
    with db.read() as connection:
        if connection.execute(_PRESENT).fetchone() is None:
            return {}
        for request, name in connection.execute(_STATES):
            state = State(name)
            least[request] = min(least.get(request, state), state, key=LEAST_ADVANCED_FIRST.index)
    return dict(Counter(least.values()))


def thaws_by_state(db: StateDb) -> dict[str, int]:
    """Return how many archives that somebody ever wanted something of are in each state of their thaw."""
    with db.read() as connection:
        if connection.execute(_PRESENT).fetchone() is None:
            return {}
        return dict(connection.execute("SELECT state, count(*) FROM thaws GROUP BY state").fetchall())


def latest_requests(db: StateDb, limit: int = 500) -> list[Request]:
    """Return the latest requests, newest first; none where nobody has ever filed one."""
    with db.read() as connection:
        if connection.execute(_PRESENT).fetchone() is None:
            return []
    return Requests(db).newest_first(limit)
