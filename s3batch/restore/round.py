"""What becomes of the parts of one round of deliveries, part by part, journalled in small lots."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from s3batch.restore.events import MemberDelivered
from s3batch.restore.fetch import Outcome, Sink
from s3batch.restore.request_journal import Requests
from s3batch.restore.requests import Part
from s3batch.restore.thawing import may_pass
from s3sync.errors import Failure
from s3sync.events import Listener, StepFailed
from s3sync.store.contract import Denied, Stopped

MOST_ATTEMPTS = 50
"""Of one part; at an hour apart, two days of a destination that fails."""
_IN_A_ROW = 3
_JOURNAL_AFTER = 512
"""Parts. Each of a folder's is an open file until then, so where few may be open it is a quarter of those: commonly 256."""
_JOURNAL_AFTER_BYTES = 64 << 20
_JOURNAL_AFTER_SECONDS = 5.0
"""Where each part takes its time, nobody waits longer for the first to have its name."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a round of deliveries came to."""

    delivered: int = 0
    failed: int = 0
    postponed: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(self.delivered + other.delivered, self.failed + other.failed, self.postponed + other.postponed)


class Into(Protocol):
    """Where the parts of one request go: a folder or a prefix. Used as a context."""

    def existing(self, part: Part) -> str | None:
        """Return the part's place where its very bytes are known to lie there. Raises `Failure`."""

    def open(self, part: Part) -> Sink:
        """Begin to write a part. Raises `Failure`."""

    def settle(self) -> Mapping[int, Failure]:
        """Put into place, durably, what was finished; return why some parts, by number, could not be. Raises `Failure`."""


class Round:
    """The parts of one round: each is settled once."""

    def __init__(self, requests: Requests, listener: Listener, again_at: Callable[[int], datetime]) -> None:
        """Begin with none; `again_at` says when to try again what failed so many times before."""
        self.tally = Tally()
        self.overtaken = False
        """Somebody cancelled the request, or delivers it too."""
        self.failing: Failure | None = None
        """The last of too many failures in a row."""
        self._requests = requests
        self._listener = listener
        self._again_at = again_at
        self._settled: set[int] = set()
        self._journal_after = _lot()
        self._delivered: dict[int, tuple[Part, str]] = {}
        self._delivered_bytes = 0
        self._journalled_at = time.monotonic()
        self._in_a_row = 0
        self._settle: Callable[[], Mapping[int, Failure]] = dict

    @contextmanager
    def journalled(self, into: Into) -> Iterator[None]:
        """Journal what was delivered before anybody looks at what went wrong with the rest."""
        self._settle = into.settle
        try:
            yield
        finally:
            self.journal()

    def settled_by_existing(self, into: Into, part: Part) -> bool:
        """Tell whether what lies at the part's place decides about it, and take that as its outcome."""
        try:
            place = into.existing(part)
        except Failure as failure:
            self.take(Outcome(part, failure=failure))
            return True
        if place is None:
            return False
        self.take(Outcome(part, place=place))
        return True

    def take(self, outcome: Outcome) -> None:
        """Settle a part as its outcome says. Raises `Stopped` where that is its failure, and what the journal raises."""
        part, failure = outcome.part, outcome.failure
        self._settled.add(part.id)
        if isinstance(failure, Stopped):
            raise failure
        if failure is not None and may_pass(failure, part.attempts, most=MOST_ATTEMPTS):
            self._count_in_a_row(failure)
            self.postpone([part], failure, attempt=True)
        elif failure is not None:
            self.refuse([part], failure)
        elif outcome.place is not None:
            self._in_a_row = 0
            self._deliver(part, outcome.place)

    def left(self, parts: Sequence[Part]) -> list[Part]:
        """Return those that are not settled."""
        return [part for part in parts if part.id not in self._settled]

    def refuse(self, parts: Sequence[Part], failure: Failure) -> None:
        """Give parts up."""
        self._settled.update(part.id for part in parts)
        self._requests.refused([part.id for part in parts], failure)
        self.tally += Tally(failed=len(parts))
        self._tell(failure, permanent=True)

    def postpone(self, parts: Sequence[Part], failure: Failure, *, attempt: bool) -> None:
        """Leave parts for a later round; `attempt` counts this one as tried."""
        self._settled.update(part.id for part in parts)
        failures = max((part.attempts for part in parts), default=0)
        self._requests.postponed([part.id for part in parts], failure, until=self._again_at(failures), attempt=attempt)
        self.tally += Tally(postponed=len(parts))
        self._tell(failure, permanent=False)

    def judge_rest(self, parts: Sequence[Part], failure: Failure) -> None:
        """Try those again for which it may pass, and refuse the others."""
        again = [part for part in self.left(parts) if may_pass(failure, part.attempts, most=MOST_ATTEMPTS)]
        if again:
            self.postpone(again, failure, attempt=True)
        given_up = self.left(parts)
        if given_up:
            self.refuse(given_up, failure)

    def postpone_rest(self, parts: Sequence[Part], failure: Failure) -> None:
        """Leave those that are not settled for a later round."""
        rest = self.left(parts)
        if rest:
            # What is denied to some is denied to all of them, and must come to an end for all at once.
            self.postpone(rest, failure, attempt=isinstance(failure, Denied))

    def journal(self) -> None:
        """Make what was delivered durable, there and here; where less moved here, somebody cancelled or was quicker."""
        delivered, self._delivered, self._delivered_bytes = self._delivered, {}, 0
        self._journalled_at = time.monotonic()
        if not delivered:
            return
        try:
            failures = self._settle()
        except Failure as failure:
            # Whether the names would survive a power cut is unknown: the next round finds the bytes, or delivers them again.
            self.postpone([part for part, _ in delivered.values()], failure, attempt=True)
            return
        places = {number: place for number, (_, place) in delivered.items() if number not in failures}
        moved = self._requests.delivered(places)
        self.overtaken |= moved < len(places)
        self.tally += Tally(delivered=moved)
        for number, (part, place) in delivered.items():
            if number in failures:
                self.take(Outcome(part, failure=failures[number]))
            else:
                self._tell_delivered(part, place)

    def _deliver(self, part: Part, place: str) -> None:
        self._delivered[part.id] = part, place
        self._delivered_bytes += part.size
        if (
            len(self._delivered) >= self._journal_after
            or self._delivered_bytes >= _JOURNAL_AFTER_BYTES
            or time.monotonic() - self._journalled_at >= _JOURNAL_AFTER_SECONDS
        ):
            self.journal()

    def _tell_delivered(self, part: Part, place: str) -> None:
        self._listener(MemberDelivered(request=part.request, bucket=part.bucket, key=part.key, bytes=part.size, place=place))

    def _count_in_a_row(self, failure: Failure) -> None:
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            self.failing = failure

    def _tell(self, failure: Failure, *, permanent: bool) -> None:
        self._listener(StepFailed.of(failure, step="deliver", bucket="", permanent=permanent))


def _lot() -> int:
    most_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _JOURNAL_AFTER if most_open == resource.RLIM_INFINITY else max(1, min(_JOURNAL_AFTER, most_open // 4))
