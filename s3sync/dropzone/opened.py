"""What can only be said of a file by opening it: whether anybody writes it, and whether it is pinned. For `why`.

It is opened as a member would be, and a lease on it is asked for and let go at once; nothing is read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from s3sync.dropzone.candidate import FileId
from s3sync.dropzone.folders import READ
from s3sync.dropzone.ladder import Verdict
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.syscalls import is_pinned
from s3sync.dropzone.writers import Snapshot, Writing, is_written, writers_of


def verdicts_of_open_file(parent_fd: int, name: bytes, look: Callable[[], Snapshot]) -> list[Verdict]:
    """Return what is found of the file `name` of an open folder; that it cannot be opened is a verdict too."""
    try:
        fd = os.open(name, READ, dir_fd=parent_fd)
    except BlockingIOError:
        return [Verdict("writer", ok=False, detail="somebody has a write lease on it", reason=Reason.WRITER)]
    except OSError as error:
        detail = f"it cannot be opened to find out: {error.strerror}"
        reason = Reason.VANISHED if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO} else Reason.UNREADABLE
        return [Verdict("writer", ok=False, detail=detail, reason=reason)]
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            return [Verdict("writer", ok=False, detail="it was replaced while it was looked at", reason=Reason.CHANGED)]
        return [_pinned(fd), _writer(fd, (seen.st_dev, seen.st_ino), look)]
    finally:
        os.close(fd)


def _pinned(fd: int) -> Verdict:
    if is_pinned(fd):
        detail = "the file is marked immutable or append-only (lsattr shows it)"
        return Verdict("immutable_file", ok=False, detail=detail, reason=Reason.IMMUTABLE)
    return Verdict("immutable_file", ok=True, detail="")


def _writer(fd: int, file_id: FileId, look: Callable[[], Snapshot]) -> Verdict:
    writing = is_written(fd, file_id, look)
    if writing is Writing.SOMEBODY:
        return Verdict("writer", ok=False, detail=f"{_who(file_id)} it open for writing", reason=Reason.WRITER)
    if writing is None:
        return Verdict("writer", ok=True, detail="nobody: a lease on it is granted")
    no_lease = "the filesystem knows no leases" if writing is Writing.UNSUPPORTED else "not our file, and no CAP_LEASE"
    opaque = look().opaque
    unseen = f", and {opaque} processes cannot be looked into" if opaque else ""
    return Verdict("writer", ok=True, detail=f"nobody we can see ({no_lease}{unseen})")


def _who(file_id: FileId) -> str:
    """Name the processes, as far as we may look into them."""
    found = writers_of(file_id)
    if not found:
        return "a process that cannot be looked into has"
    named = ", ".join(f"{name} (pid {pid})" for pid, name in found)
    return f"{named} {'has' if len(found) == 1 else 'have'}"
