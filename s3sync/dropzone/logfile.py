"""Read what is new in a log that others write, rotate and truncate, and remember how far.

A place is a file (device, inode, how it begins) and an offset in it. Where the log at its path is not that file any more, the
rest is read from where rotation put it (the same beginning, in a file beside it whose name begins with the log's), then what
was rotated after that, then the new log from its start; so nothing is missed as long as the rotated file is not compressed at
once (logrotate's `delaycompress`). A log never seen before is read from at most `FIRST_LOOK_BYTES` before its end. The last
line counts once it has its line end. Lines longer than the limit are skipped; memory is a block and a line, whatever the log.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace

BLOCK_BYTES = 1 << 16
FIRST_LOOK_BYTES = 64 << 20
HEAD_BYTES = 256
"""How much of a log's beginning tells it from others: a few dated lines."""

_PACKED = (b".gz", b".xz", b".bz2", b".zst")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a log was read."""

    device: int
    inode: int
    offset: int
    head: bytes
    """How the file began, as far as it was read then."""
    within_line: bool = False
    """What follows up to the next line end belongs to a line that is skipped."""


class LogFile:
    """One log and the place up to which it was read."""

    def __init__(self, path: bytes, place: Place | None = None, *, max_line: int) -> None:
        """`path` is absolute; `max_line` in bytes."""
        self.path = path
        self.place = place
        self._max_line = max_line

    def lines(self) -> Iterator[bytes]:
        """Yield every whole line since the place, without its end; `place` moves along, and is right after the last one.

        Raises `OSError` where the log cannot be read (EINVAL: it is no regular file); what was yielded until then stays true.
        """
        fd = _open(self.path)
        try:
            if self.place is None:
                self.place = _first_place(fd)
            elif not _is_at(fd, self.place):
                yield from self._rotated(fd)
                self.place = _beginning(fd)
            yield from self._rest(fd)
        finally:
            os.close(fd)

    def _rotated(self, current_fd: int) -> Iterator[bytes]:
        """Yield the rest of the file we were in, and all of those that were the log between it and the current one."""
        now = os.fstat(current_fd)
        found = False
        for sibling in _siblings(self.path):
            try:
                fd = _open(sibling)
            except OSError:
                continue  # rotated on while we look, or no log
            try:
                seen = os.fstat(fd)
                if (seen.st_dev, seen.st_ino) == (now.st_dev, now.st_ino):
                    continue
                if not found and self.place is not None and _begins_as(fd, self.place):
                    found = True
                    self.place = replace(self.place, device=seen.st_dev, inode=seen.st_ino)
                    yield from self._rest(fd)
                elif found:
                    self.place = _beginning(fd)
                    yield from self._rest(fd)
            finally:
                os.close(fd)

    def _rest(self, fd: int) -> Iterator[bytes]:
        place = self.place
        if place is None:
            return
        offset, skipping, begun = place.offset, place.within_line, b""
        while block := os.pread(fd, BLOCK_BYTES, offset + len(begun)):
            *whole, rest = (begun + block).split(b"\n")
            for line in whole:
                offset += len(line) + 1
                if not skipping and len(line) <= self._max_line:
                    yield line
                skipping = False
            begun = rest
            if len(begun) > self._max_line:
                offset, skipping, begun = offset + len(begun), True, b""
            head = os.pread(fd, min(HEAD_BYTES, offset), 0)
            self.place = replace(place, offset=offset, head=head, within_line=skipping)


def _open(path: bytes) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "is no regular file", os.fsdecode(path))


def _beginning(fd: int) -> Place:
    seen = os.fstat(fd)
    return Place(seen.st_dev, seen.st_ino, 0, b"")


def _first_place(fd: int) -> Place:
    size = os.fstat(fd).st_size
    if size <= FIRST_LOOK_BYTES:
        return _beginning(fd)
    return replace(_beginning(fd), offset=size - FIRST_LOOK_BYTES, head=os.pread(fd, HEAD_BYTES, 0), within_line=True)


def _is_at(fd: int, place: Place) -> bool:
    seen = os.fstat(fd)
    return (seen.st_dev, seen.st_ino) == (place.device, place.inode) and _begins_as(fd, place)


def _begins_as(fd: int, place: Place) -> bool:
    """Tell whether an open file begins as the one of `place` did, and goes at least as far."""
    return os.fstat(fd).st_size >= place.offset and os.pread(fd, len(place.head), 0) == place.head


def _siblings(path: bytes) -> list[bytes]:
    """Return the files beside a log that may have been the log, the oldest first."""
    folder, name = os.path.split(path)
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((name + b".", name + b"-")) and not entry.name.endswith(_PACKED):
                try:
                    found.append((entry.stat().st_mtime_ns, entry.path))
                except FileNotFoundError:
                    continue
    return [path for _, path in sorted(found)]
