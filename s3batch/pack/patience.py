"""Waiting for workers without being taken for dead, and without covering up that they are.

A build may take hours for one large file, and its worker is another process that nobody hears of until it is done. Whoever
waits for builds looks at what they write meanwhile: where the spool has changed since the last look the work gets on, and the
look at the stop flag counts as a sign of life; where it has not, it does not.
"""

from __future__ import annotations

from collections.abc import Callable

from s3batch.pack.spool import Spool

LOOK_SECONDS = 1.0
"""How often one who waits looks."""


class Patience:
    """Asks whether to stop, for one who waits. Used by one thread."""

    def __init__(self, spool: Spool, *, stopping: Callable[[], bool], asked: Callable[[], bool]) -> None:
        """Ask `stopping`, which is a sign of life, where `spool` has changed, and `asked`, which is none, where it has not."""
        self._spool = spool
        self._stopping = stopping
        self._asked = asked
        self._seen = -1

    def __call__(self) -> bool:
        """Tell whether to stop."""
        written = self._spool.written_bytes()
        if written == self._seen:
            return self._asked()
        self._seen = written
        return self._stopping()
