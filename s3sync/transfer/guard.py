"""Which buckets are asked at all: one that refuses everybody is parked, so that it neither delays the others nor is pestered.

A bucket that is not there is parked by its first answer, any other by three failures in a row (by one, if it was parked before
and has answered nobody since): one file that S3 will not have says nothing about its neighbours. A transient failure parks for
the rest of this pass, anything else for longer each time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from s3sync.backoff import Backoff
from s3sync.errors import Failure, Transient
from s3sync.events import Event, Level, Listener
from s3sync.store.contract import AlreadyThere, Missing, Rejected, Stopped
from s3sync.transfer.journal import Journal

IN_A_ROW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketParked(Event):
    """A bucket is left alone for a while; its files stay where they are."""

    name: ClassVar[str] = "bucket_parked"
    level: ClassVar[Level] = Level.WARNING
    bucket: str
    wrong: str
    hint: str
    passing: bool
    """Only for the rest of this pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketBack(Event):
    """A bucket that was parked takes objects again."""

    name: ClassVar[str] = "bucket_back"
    bucket: str


class Refused(Transient):
    """The store would not take this file now; the reason is the cause."""


class Guard:
    """Watches over every question put to a bucket. May be used from several threads."""

    def __init__(self, journal: Journal, backoff: Backoff, listener: Listener) -> None:
        """Keep what is parked in `journal` for people to see, and in `backoff` for ourselves."""
        self._journal = journal
        self._backoff = backoff
        self._listener = listener
        self._lock = threading.Lock()
        self._in_a_row: dict[str, int] = {}
        self._closed: set[str] = set()
        self._shown = {parked.bucket for parked in journal.parked()}

    def begin_pass(self) -> None:
        """Give those a chance again whose trouble was passing."""
        with self._lock:
            self._in_a_row.clear()
            self._closed.clear()

    def closed(self, bucket: str) -> bool:
        """Tell whether `bucket` is to be left alone now."""
        with self._lock:
            return bucket in self._closed or self._backoff.waits(bucket)

    @contextmanager
    def asking(self, bucket: str) -> Iterator[None]:
        """Ask `bucket` something in the block, and learn from how it goes.

        Raises `Refused` in place of what the store raised; what the store says of one object (`AlreadyThere`, `Rejected`) and
        `Stopped` pass as they are, and so does a `Refused` from within.
        """
        try:
            yield
        except (AlreadyThere, Rejected):
            self._answered(bucket)
            raise
        except (Refused, Stopped):
            raise
        except Failure as failure:
            self._failed(bucket, failure)
            raise Refused(failure.subject, failure.wrong, failure.hint) from failure
        else:
            self._answered(bucket)

    def _answered(self, bucket: str) -> None:
        with self._lock:
            self._in_a_row.pop(bucket, None)
            back = bucket in self._shown
            self._shown.discard(bucket)
        if back:
            self._backoff.succeeded(bucket)
            self._journal.unpark(bucket)
            self._listener(BucketBack(bucket=bucket))

    def _failed(self, bucket: str, failure: Failure) -> None:
        with self._lock:
            self._in_a_row[bucket] = self._in_a_row.get(bucket, 0) + 1
            known_for_it = bucket in self._shown or isinstance(failure, Missing)
            if bucket in self._closed or not (known_for_it or self._in_a_row[bucket] >= IN_A_ROW):
                return
            self._closed.add(bucket)
            self._shown.add(bucket)
        passing = isinstance(failure, Transient)
        if not passing:
            self._backoff.refused(bucket)
        self._journal.park(bucket, str(failure))
        self._listener(BucketParked(bucket=bucket, wrong=failure.wrong, hint=failure.hint, passing=passing))
