"""Leave alone for a while what was refused, longer each time: buckets and files that a next attempt would find no better.

Kept in memory: a restarted program tries everything once, which is what somebody expects who has just mended something.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

FIRST_SECONDS = 60.0
LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class _Refusal:
    times: int
    until: float


class Backoff:
    """Who was refused, how often in a row, and until when it is left alone. May be used from several threads."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        forgiven: int = 0,
    ) -> None:
        """Double the wait from `first_seconds` up to `longest_seconds`, by a monotonic `clock`; `forgiven` ones are free."""
        self._clock = clock
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._forgiven = forgiven
        self._refusals: dict[Hashable, _Refusal] = {}
        self._lock = threading.Lock()

    def refused(self, whom: Hashable) -> None:
        """Leave `whom` alone, twice as long as the last time."""
        with self._lock:
            times = self._refusals[whom].times + 1 if whom in self._refusals else 1
            self._refusals[whom] = _Refusal(times, self._clock() + self._wait(times - self._forgiven))

    def succeeded(self, whom: Hashable) -> None:
        """Forget that `whom` was ever refused."""
        with self._lock:
            self._refusals.pop(whom, None)

    def waits(self, whom: Hashable) -> bool:
        """Tell whether `whom` is to be left alone now."""
        with self._lock:
            refusal = self._refusals.get(whom)
        return refusal is not None and self._clock() < refusal.until

    def forget_old(self) -> None:
        """Forget those who could have been tried again long ago and were not: they are gone."""
        with self._lock:
            old = self._clock() - self._longest_seconds
            self._refusals = {whom: refusal for whom, refusal in self._refusals.items() if refusal.until > old}

    def soonest_seconds(self) -> float | None:
        """Return in how many seconds the first of those who wait may be tried again, or None where nobody waits."""
        with self._lock:
            left = [refusal.until - self._clock() for refusal in self._refusals.values()]
        return min((seconds for seconds in left if seconds > 0), default=None)

    def _wait(self, times: int) -> float:
        # the exponent is bounded so that months of refusals do not overflow a float
        return min(self._longest_seconds, self._first_seconds * 2.0 ** min(times - 1, 32)) if times > 0 else 0.0
