"""The threads that take batches along after their build, and the count of what they have still to do.

Releasing has threads of its own: it is half of the work on small files, and mostly waits for processes and the disk. Batches
that were built meanwhile are stored and catalogued all the while, and the first release begins as soon as its batch is ready,
instead of when several at once are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor

CARRIERS = 2
"""Batches between build and release at a time: one on the line, one in the catalogue. More only wait for the interpreter."""

RELEASERS = 1
"""Batches being released at a time; the chunks of each are spread over processes."""


class Carriers:
    """Carries work of one pass and knows when nothing is under way. Any thread may hand in work."""

    def __init__(self, threads: Callable[[int], Executor]) -> None:
        """Carry by what `threads` makes of a number."""
        self._advancing = threads(CARRIERS)
        self._releasing = threads(RELEASERS)
        self._changed = threading.Condition()
        self._under_way = 0

    def advance(self, work: Callable[[], None]) -> None:
        """Have a batch taken as far as its release."""
        self._carry(self._advancing, work)

    def release(self, work: Callable[[], None]) -> None:
        """Have the originals of a batch removed."""
        self._carry(self._releasing, work)

    def begin(self) -> None:
        """Count something as under way that is done elsewhere."""
        with self._changed:
            self._under_way += 1

    def end(self) -> None:
        """Count it as done."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def idle(self) -> bool:
        """Tell whether nothing is under way."""
        return self._under_way == 0

    def wait(self, seconds: float) -> bool:
        """Wait at most so long until nothing is; tell whether that is so."""
        with self._changed:
            return self._changed.wait_for(self.idle, seconds)

    def dismiss(self) -> None:
        """Let the threads go, once nothing is under way."""
        self._advancing.shutdown()
        self._releasing.shutdown()

    def _carry(self, threads: Executor, work: Callable[[], None]) -> None:
        self.begin()
        threads.submit(self._done, work)

    def _done(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self.end()
