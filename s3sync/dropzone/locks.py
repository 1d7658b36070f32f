"""One agent at a time: an exclusive flock on a folder, held as long as the process lives.

It is taken on the folder itself, opened for reading, so the drop zone's root can be locked without a file of ours in it. The
kernel lets go of it when the process ends, however it ends; nothing is ever stale. Who holds it is written beside, where there
is a place for it, and otherwise looked up in `/proc/locks`: for people only, nothing depends on either.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s3sync.errors import Locked, Preflight


@contextmanager
def hold(folder: Path, *, note: Path | None = None, host: str = "") -> Iterator[None]:
    """Hold the lock on `folder`; `note` is a file (in a state folder of ours) that names this process and `host` meanwhile.

    Raises `Locked` where another process holds it, `Preflight` where the folder cannot be locked.
    """
    fd = _open(folder)
    try:
        _lock(fd, folder, note)
        if note is not None:
            _write_note(note, host)
        yield
        if note is not None:
            note.unlink(missing_ok=True)
    finally:
        os.close(fd)


def holder(folder: Path) -> int | None:
    """Return the number of the process that holds the lock on `folder`; None where nobody does, as far as the kernel shows it.

    For people: it asks without trying, so it never stands in the way of an agent that is just starting. Raises `OSError` where
    the folder cannot be looked at.
    """
    return _holding(os.stat(folder))


def _open(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Preflight(str(folder), f"cannot be opened: {error.strerror}", "Make the folder readable for the agent") from error


def _lock(fd: int, folder: Path, note: Path | None) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _noted(note) or _holder(fd)
        hint = "Stop that one, or give this agent folders of its own"
        raise Locked(str(folder), f"another agent works on it{holder}", hint) from error
    except OSError as error:
        hint = "Put the folder on a filesystem with flock"
        raise Preflight(str(folder), f"cannot be locked: {error.strerror}", hint) from error


def _write_note(note: Path, host: str) -> None:
    """Say who we are. A full disk must not keep an agent from emptying it; a folder we may not write into is not ours."""
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "host": host}), encoding="utf-8")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return
        raise Preflight(str(note), f"cannot be written: {error.strerror}", "Make the folder writable for the agent") from error


def _noted(note: Path | None) -> str:
    """Return what the holder wrote of itself. Nobody's reading depends on it, so what cannot be read says nothing."""
    if note is None:
        return ""
    with suppress(OSError, ValueError):
        written = json.loads(note.read_text(encoding="utf-8"))
        if isinstance(written, dict) and isinstance(written.get("pid"), int):
            host = written.get("host")
            return f" (pid {written['pid']}" + (f" on {host})" if isinstance(host, str) and host else ")")
    return ""


def _holder(fd: int) -> str:
    """Return who holds a flock on the open folder, as far as this machine's kernel shows it."""
    pid = _holding(os.fstat(fd))
    return "" if pid is None else f" (pid {pid} on this host)"


def _holding(seen: os.stat_result) -> int | None:
    place = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
    with suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
        for line in locks:
            # "3: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF"; whoever waits for a lock has an arrow after the number.
            _, kind, _, _, pid, where, *_ = line.replace("->", "").split()
            if kind == "FLOCK" and where == place and int(pid) > 0:
                return int(pid)
    return None
