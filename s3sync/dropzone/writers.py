"""Is anybody writing? A read lease where the kernel grants one, the processes' open files where it does not.

`fcntl(F_SETLEASE, F_RDLCK)` is refused with EAGAIN while anybody has the file open for writing or mapped so, whoever they are
and however they hide: one system call, no race. It takes our own file or CAP_LEASE, and a filesystem with leases (not NFS, not
every FUSE). A lease that is held makes the next writer wait in `open`, so it is held briefly, asked often whether it is broken,
and let go at once; a holder without a handler for SIGIO dies of it, see `ignore_lease_signals`.

Where there is no lease, psutil names the processes and each of their descriptors is looked up by device and inode. `open_files`
of psutil is not used: it goes by path, and a process in a chroot, or one whose file was renamed, shows a path that means
nothing to us. What could not be looked into is counted, never taken for *not open*. psutil is imported here alone, and only
when needed.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from errno import EACCES, EAGAIN, EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP, EPERM
from types import TracebackType
from typing import Self

from s3sync.dropzone.candidate import FileId


class Writing(StrEnum):
    """Why a lease was refused."""

    SOMEBODY = "somebody"
    """Some process has the file open for writing."""
    UNSUPPORTED = "unsupported"
    """The filesystem knows no leases: who writes has to be found out another way."""
    FORBIDDEN = "forbidden"
    """Not our file, and no CAP_LEASE: who writes has to be found out another way."""


_REFUSALS = {
    EAGAIN: Writing.SOMEBODY,
    EACCES: Writing.FORBIDDEN,
    EPERM: Writing.FORBIDDEN,
    EINVAL: Writing.UNSUPPORTED,
    ENOLCK: Writing.UNSUPPORTED,
    ENOSYS: Writing.UNSUPPORTED,
    EOPNOTSUPP: Writing.UNSUPPORTED,
}


class Refused(Exception):
    """No lease; `writing` says why."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing)
        self.writing = writing


def take_lease(fd: int) -> Writing | None:
    """Take a read lease on a regular file opened `O_RDONLY`; return why not, or None where it is ours now.

    Raises `OSError` for what is no answer to the question.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno in _REFUSALS:
            return _REFUSALS[error.errno]
        raise
    return None


def lease_broken(fd: int) -> bool:
    """Tell whether the lease on `fd` is gone or somebody waits for it to be let go."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK


def drop_lease(fd: int) -> None:
    """Let go of the lease, so that whoever waits may go on; closing the file does the same."""
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


class Lease:
    """A read lease on an open file, as a context.

    Entering raises `Refused` where there is none to be had; leaving lets go.
    """

    __slots__ = ("_fd", "_held")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = False

    def __enter__(self) -> Self:
        refused = take_lease(self._fd)
        if refused is not None:
            raise Refused(refused)
        self._held = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def broken(self) -> bool:
        """Tell whether a writer came since: what was read in between is not to be trusted from here on."""
        return not self._held or lease_broken(self._fd)

    def release(self) -> None:
        """Let go; harmless when repeated."""
        if self._held:
            self._held = False
            drop_lease(self._fd)


def probe(fd: int) -> Writing | None:
    """Return why a lease is refused, or None: at this instant nobody has the file open for writing. Holds nothing."""
    refused = take_lease(fd)
    if refused is None:
        drop_lease(fd)
    return refused


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which files were open for writing when it was taken, and how many processes could not be looked into."""

    writing: frozenset[FileId]
    opaque: int


def snapshot() -> Snapshot:
    """Look through the open files of every process we may look into. Takes tens of milliseconds: one for many files."""
    # psutil is slow to import and most workers never need it.
    import psutil  # noqa: PLC0415

    writing: set[FileId] = set()
    opaque = 0
    for pid in psutil.pids():
        try:
            writing |= _written_by(pid)
        except PermissionError:
            opaque += 1
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Snapshot(frozenset(writing), opaque)


def writers_of(file_id: FileId) -> list[tuple[int, str]]:
    """Return the processes (number and name) that have a file open for writing, of those we may look into. For people."""
    # psutil is slow to import and most workers never need it.
    import psutil  # noqa: PLC0415

    found = []
    for pid in psutil.pids():
        try:
            if file_id in _written_by(pid):
                found.append((pid, psutil.Process(pid).name()))
        except (OSError, psutil.Error):
            continue
    return found


def is_written(fd: int, file_id: FileId, look: Callable[[], Snapshot]) -> Writing | None:
    """Return None where a lease proves that nobody writes, `SOMEBODY` where somebody does, or why neither could be proved.

    `look` is asked only where leases do not work here; its answer should be fresher than whatever hides the file from writers.
    """
    refused = probe(fd)
    if refused in {Writing.UNSUPPORTED, Writing.FORBIDDEN} and file_id in look().writing:
        return Writing.SOMEBODY
    return refused


def ignore_lease_signals() -> None:
    """Ignore SIGIO, whose default action kills; whoever takes leases calls this once, in the main thread.

    A broken lease is asked for by `lease_broken`, never learnt from the signal.
    """
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def _written_by(pid: int) -> set[FileId]:
    """Return the regular files a process has open for writing.

    Raises `PermissionError` where it may not be looked into, `FileNotFoundError` or `ProcessLookupError` where it is gone.
    """
    written = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            seen = os.stat(f"/proc/{pid}/fd/{number}")
            if stat.S_ISREG(seen.st_mode) and _writable(pid, number):
                written.add((seen.st_dev, seen.st_ino))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return written


def _writable(pid: int, number: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{number}", "rb") as info:
        for line in info:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False
