"""A stretch of an open file as the body of a request, and how a body is told to stop.

Read with pread, so several parts are sent from one descriptor at once and its position never moves; seekable, because a retry
sends the same bytes again. Between chunks it asks whether the work is to stop: a part may take minutes on a slow line, and the
agent has seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from s3sync.errors import Permanent
from s3sync.store.contract import Stopped

Stopping = Callable[[], bool]
"""Asks whether the work is to end soon. Called often and from several threads."""


def never() -> bool:
    """Go on: the answer of those who are not to be stopped."""
    return False


class Halted(Exception):
    """Raised out of a body that is read while the work is to stop; becomes `Stopped` where the request was made."""


class Section:
    """`size` bytes of `fd` from `offset`, as a file opened for reading."""

    def __init__(self, fd: int, *, offset: int, size: int, stopping: Stopping = never) -> None:
        """Begin at the section's first byte; `fd` must stay open as long as this is read."""
        self._fd = fd
        self._offset = offset
        self._size = size
        self._position = 0
        self._stopping = stopping

    def read(self, count: int = -1, /) -> bytes:
        """Return at most `count` bytes, all that is left for -1, and nothing at the end.

        Raises `Halted` where the work is to stop.
        """
        if self._stopping():
            raise Halted
        left = max(0, self._size - self._position)
        chunk = os.pread(self._fd, left if count < 0 else min(count, left), self._offset + self._position)
        self._position += len(chunk)
        return chunk

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move within the section and return the new position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position within the section."""
        return self._position


@contextmanager
def stoppable(subject: str, stopping: Stopping) -> Iterator[None]:
    """Turn whatever a request fails with while the work is to stop into `Stopped`.

    A `Permanent` failure is kept: it is the server's answer and would be the same next time.
    """
    try:
        yield
    except Permanent:
        raise
    except Exception as error:
        if stopping():
            raise Stopped(subject, "storing it was interrupted", "Start again; what has arrived is kept") from error
        raise
