"""Follow one request to its end, doing what this process may do about it: the loop of a waiting command.

Where an agent advances requests it is left to; otherwise each round advances this one. Deliveries to the requester's own folder
are made here in either case. Breaking off at any instant is harmless: the request stands, and following it again goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from s3batch.restore.engine import Progress, RestoreEngine
from s3batch.restore.requests import Request

LONGEST_PAUSE_SECONDS = 5.0
SHORTEST_PAUSE_SECONDS = 0.1

Report = Callable[[Request], None]


def one_round(engine: RestoreEngine, request_id: str, uid: int) -> Progress:
    """Do what is due about a request now, as user `uid`, and say when there will be more. Raises what the engine raises."""
    request = engine.requests.get(request_id)
    ours = request.requester.uid == uid
    if ours:
        engine.attend(request_id)
    advanced = engine.advance(request_id=request_id)
    if not ours:
        return advanced
    delivered = engine.deliver_local(request_id, uid)
    dues = [due for due in (advanced.next_due, delivered.next_due) if due is not None]
    return Progress(
        elsewhere=advanced.elsewhere,
        looked=advanced.looked + delivered.looked,
        tally=advanced.tally + delivered.tally,
        next_due=min(dues, default=None),
    )


def follow(
    engine: RestoreEngine,
    request_id: str,
    *,
    uid: int,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    report: Report,
    timeout: timedelta | None = None,
) -> Request:
    """Work and wait until the request is finished, or until `timeout` is over, and return it.

    `report` is called after each round. Raises what the engine raises.
    """
    deadline = None if timeout is None else now() + timeout
    while True:
        progress = one_round(engine, request_id, uid)
        request = engine.requests.get(request_id)
        report(request)
        if request.finished or (deadline is not None and now() >= deadline):
            return request
        sleep(_pause_seconds(progress, now(), deadline))


def _pause_seconds(progress: Progress, now: datetime, deadline: datetime | None) -> float:
    dues = [due for due in (None if progress.elsewhere else progress.next_due, deadline) if due is not None]
    wait = min(((due - now).total_seconds() for due in dues), default=LONGEST_PAUSE_SECONDS)
    longest = 1.0 if progress.elsewhere else LONGEST_PAUSE_SECONDS
    return min(longest, max(SHORTEST_PAUSE_SECONDS, wait))
