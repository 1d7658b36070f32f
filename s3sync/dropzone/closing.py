"""Close removed files in a few threads: with the last descriptor the kernel gives back what a file took on the disk.

Where the disk is told of every freed block (ext4 mounted with `discard`) that is a wait, longer than everything else a removal
does and without work for the processor; several at a time wait together. Elsewhere it costs nothing to speak of
(docs/performance.md). Few files are closed on the spot.
"""

from __future__ import annotations

import os
import resource
import threading
from contextlib import suppress
from queue import Queue
from types import TracebackType
from typing import Self

LOT = 32
"""Descriptors handed over at a time; with fewer, threads wait for each other more than for the disk."""

THREADS = 4
"""How many files one process waits for at the same time; twice as many took a tenth less time."""

MOST_OPEN = LOT * (2 * THREADS + 1)
"""Descriptors that may wait at a time: a lot each thread has, as many that wait for one, and the one that grows."""

ROOMY = MOST_OPEN + 200
"""Who may have fewer descriptors than this needs them for other things."""


class Closer:
    """Closes descriptors on read-only files. As a context: all are closed when it ends. One thread hands them in."""

    def __init__(self) -> None:
        self._roomy = resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= ROOMY
        self._lot: list[int] = []
        self._lots: Queue[list[int] | None] = Queue(maxsize=THREADS)
        """Bounded, as descriptors are."""
        self._threads: list[threading.Thread] = []

    def close(self, fd: int) -> None:
        """Close `fd`, now or soon. Never raises `OSError`."""
        self._lot.append(fd)
        if len(self._lot) < LOT and self._roomy:
            return
        lot, self._lot = self._lot, []
        if self._roomy and (self._threads or self._start()):
            self._lots.put(lot)
        else:
            _close_all(lot)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _close_all(self._lot)
        for _ in self._threads:
            self._lots.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self) -> bool:
        """Start as many threads as the host lets us; tell whether there are any."""
        with suppress(RuntimeError):  # "can't start new thread"
            for _ in range(THREADS):
                thread = threading.Thread(target=self._work, name="closer", daemon=True)
                thread.start()
                self._threads.append(thread)
        return bool(self._threads)

    def _work(self) -> None:
        while (lot := self._lots.get()) is not None:
            _close_all(lot)


def _close_all(lot: list[int]) -> None:
    """Close `lot` with a call a run of numbers: every call is a return to the interpreter, for which its threads queue.

    Errors are ignored; nothing was written through these, so there is nothing that one could have lost.
    """
    lot.sort()
    begin = 0
    for end in range(1, len(lot) + 1):
        if end == len(lot) or lot[end] != lot[end - 1] + 1:
            os.closerange(lot[begin], lot[end - 1] + 1)
            begin = end
