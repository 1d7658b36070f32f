"""Is the work getting on? A watchdog is fed only while every duty of the agent is.

A thread that merely lives proves nothing, so there is none that feeds. Signs of life come from the work itself: whoever works
looks at the `StopFlag` between steps (a file found, a part sent, a block read), and each such look is a sign. Threads that
carry one of the agent's duties are known by name; a sign of another one, from a pool of some duty, counts for all of them. A
duty that hangs while a pool of another is busy is therefore noticed when that has come to its end, and not before: better late
than to kill a long upload. Who waits for others gives no sign, unless it sees that they get on.

The watchdog is no longer fed when a duty has given no sign for half of the time allowed, so what hangs is ended between one and
one and a half times that, and what is silent for as long as was allowed is never ended wrongly.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 4
"""A sign is passed on, and rests give one, this many times within the time allowed."""


class Pulse:
    """Passes signs of life on while all duties give them. May be called from any thread, and often."""

    def __init__(self, feed: Callable[[], None], allowed_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Call `feed` at most `SHARE` times within `allowed_seconds`."""
        self.every_seconds = allowed_seconds / SHARE
        self._feed = feed
        self._silence_seconds = allowed_seconds / 2
        self._clock = clock
        self._lock = threading.Lock()
        self._duties: dict[int, str] = {}
        """By thread."""
        self._seen: dict[int, float] = {}
        """When each of these threads' duties gave a sign last."""
        self._fed = float("-inf")

    def __call__(self) -> None:
        """Take notice of a sign of life of the calling thread."""
        now, thread = self._clock(), threading.get_ident()
        with self._lock:
            for each in (thread,) if thread in self._duties else self._duties:
                self._seen[each] = now
            due = now - self._fed >= self.every_seconds and not self._silent(now)
            if due:
                self._fed = now
        if due:
            self._feed()

    @contextmanager
    def duty(self, name: str) -> Iterator[None]:
        """Count the calling thread as the one that carries a duty, while the context lasts."""
        thread = threading.get_ident()
        with self._lock:
            self._duties[thread] = name
            self._seen[thread] = self._clock()
        try:
            yield
        finally:
            with self._lock:
                del self._duties[thread], self._seen[thread]

    def silent(self) -> list[str]:
        """Return the duties that have given no sign for too long."""
        with self._lock:
            return self._silent(self._clock())

    def _silent(self, now: float) -> list[str]:
        return [name for thread, name in self._duties.items() if now - self._seen[thread] > self._silence_seconds]
