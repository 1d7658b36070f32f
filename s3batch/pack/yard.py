"""What a pass has at hand, and what giving a batch up means."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from s3batch.model import Reservation
from s3batch.pack.events import BatchAbandoned
from s3batch.pack.names import Names
from s3batch.pack.steps import Steps
from s3sync.backoff import Backoff
from s3sync.events import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """What a pass has at hand."""

    steps: Steps
    names: Names
    root: str
    """The drop zone's root."""
    max_bytes: int
    parked: Backoff
    listener: Listener
    stopping: Callable[[], bool]
    """Whether to stop, asked by who works: a sign of life."""
    asked: Callable[[], bool]
    """The same, asked by who waits for others: none."""
    threads: Callable[[int], Executor]
    """Makes so many threads, to carry batches through the steps after the build."""

    def give_up(self, reservation: Reservation, why: str) -> None:
        """Abandon a batch and tell of it. Raises what the journal and the spool raise."""
        self.steps.give_up(reservation, why)
        self.listener(BatchAbandoned(batch=reservation.id, bucket=reservation.bucket, why=why))
