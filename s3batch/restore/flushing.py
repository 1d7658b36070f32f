"""Put whole files and new names on the disk: all of a filesystem at once where that tells of every failure, else one by one.

Of many small files a flush each is most of the time: each has the filesystem close a transaction, which whoever makes the next
file waits for. Flushed together they cost the disk one wait. What others have written on the same filesystem goes along; it
would have gone by itself a little later.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from s3sync.dropzone import syscalls
from s3sync.mounts import filesystem_at

AT_ONCE = 8
"""Files flushed by themselves at the same time; the disk takes them together. Fewer are never flushed in any other way, since a
filesystem may have much to write that is not ours."""

_TELLS_SINCE = (5, 8)
"""Linux which reports failed writes to whoever flushes the filesystem (syncfs(2), VERSIONS)."""

_WITH_ALL_CONTENTS = frozenset({"ext4", "xfs", "btrfs"})
"""Kinds whose flush is one of every file. That of FUSE asks nobody, and that of an overlay tells of nothing."""


class Flushing:
    """Flushes open files and folders, and remembers of each filesystem how."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._tells: dict[int, bool] = {}

    def failures(self, fds: Iterable[int]) -> dict[int, OSError]:
        """Flush what is open as `fds`, named in the order it was opened; return why some of it is not on the disk for sure."""
        on: dict[int, list[int]] = {}
        for fd in fds:
            on.setdefault(os.fstat(fd).st_dev, []).append(fd)
        alone = [fd for device, here in on.items() if not self._all_at_once(device, here) for fd in here]
        return {fd: failure for fd, failure in zip(alone, _one_by_one(alone), strict=True) if failure is not None}

    def _all_at_once(self, device: int, fds: Sequence[int]) -> bool:
        """Tell whether one flush did for all; the first was open before anything of them was written, so it is told of all."""
        if len(fds) < AT_ONCE:
            return False
        if device not in self._tells:
            self._tells[device] = _tells_of_everything(fds[0])
        if not self._tells[device]:
            return False
        try:
            syscalls.flush_filesystem(fds[0])
        except OSError:
            return False  # whose failure that is, or a stranger's, the flush of each says
        return True


def _tells_of_everything(fd: int) -> bool:
    release = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
    try:
        kind = filesystem_at(fd).kind
    except OSError:
        return False  # nothing says what it is, and a flush of each needs to know nothing
    return release >= _TELLS_SINCE and kind in _WITH_ALL_CONTENTS


def _one_by_one(fds: Sequence[int]) -> list[OSError | None]:
    if len(fds) <= 1:
        return [_flush(fd) for fd in fds]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="flush") as threads:
        return [flushing.result() for flushing in [_begun(threads, fd) for fd in fds]]


def _begun(threads: ThreadPoolExecutor, fd: int) -> Future[OSError | None]:
    try:
        return threads.submit(_flush, fd)
    except RuntimeError:
        # "can't start new thread". A thread that runs may take it all the same, and flushing twice does no harm.
        done: Future[OSError | None] = Future()
        done.set_result(_flush(fd))
        return done


def _flush(fd: int) -> OSError | None:
    try:
        os.fsync(fd)
    except OSError as error:
        return error
    return None
