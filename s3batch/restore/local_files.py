"""What delivering to a folder asks of the disk: walk there, make a private file, compare, and sort what goes wrong.

Everything works by descriptors, a component at a time, and follows no link.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import unicodedata
from contextlib import suppress

from s3batch.restore.requests import Part
from s3sync import keys
from s3sync.dropzone.folders import WALK, open_folder, open_listing
from s3sync.errors import Failure, Permanent, Transient

_WORTH_REPEATING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EDQUOT,
    errno.EINTR,
    errno.EIO,  # also of a failed fsync: the next attempt begins with a new file
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_IN_THE_WAY = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO}
_READ_BYTES = 1 << 20
_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def current_umask() -> int:
    """Return this process's umask without changing it, as asking by system call would for a moment."""
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return 0o077


def sorted_failure(subject: str, error: OSError) -> Failure:
    """Return the failure of our family that `error` is."""
    if error.errno in _WORTH_REPEATING:
        return Transient(subject, f"cannot be written now: {error.strerror}", "Make room or mend the disk; it is tried again")
    if error.errno in _IN_THE_WAY:
        return Permanent(subject, "a link, a folder or a file is in the way", "Move it away, or restore to another folder")
    return Permanent(subject, f"cannot be written: {error.strerror}", "Check the folder and its rights")


def walk(names: list[bytes], *, make: bool) -> int:
    """Return a descriptor of the folder that `names` lead to from the machine's root. Raises `OSError`."""
    fd = os.open(b"/", WALK)
    try:
        for name in names:
            below = _step(fd, name, make=make)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd


def _step(parent_fd: int, name: bytes, *, make: bool) -> int:
    try:
        return open_folder(parent_fd, name)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, 0o777, dir_fd=parent_fd)
        _flush(parent_fd)
    return open_folder(parent_fd, name)


def _flush(folder_fd: int) -> None:
    listing = open_listing(folder_fd)
    try:
        os.fsync(listing)
    finally:
        os.close(listing)


def create(folder_fd: int, name: bytes) -> int:
    """Return a new private file of ours, locked; one that a broken-off attempt left is removed first.

    Raises `Transient` where another command is writing it just now, `OSError`.
    """
    try:
        fd = os.open(name, _WRITING, 0o600, dir_fd=folder_fd)
    except FileExistsError:
        _remove_left_over(folder_fd, name)
        fd = os.open(name, _WRITING, 0o600, dir_fd=folder_fd)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def _remove_left_over(folder_fd: int, name: bytes) -> None:
    with suppress(FileNotFoundError):
        fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Transient(keys.display(name), "another command is writing it", "Wait for that one") from None
        finally:
            os.close(fd)
        os.unlink(name, dir_fd=folder_fd)


def compare(folder_fd: int, name: bytes, part: Part) -> bool:
    """Tell whether the file `name` holds the part's very bytes. Raises `OSError`: ENOENT, ELOOP for a link, EISDIR."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            raise OSError(errno.EISDIR, "not a regular file")
        return seen.st_size == part.size and _sha256(fd) == part.sha256
    finally:
        os.close(fd)


def _sha256(fd: int) -> str:
    digest = hashlib.sha256()
    while block := os.read(fd, _READ_BYTES):
        digest.update(block)
    return digest.hexdigest()


def is_twin(folder_fd: int, name: bytes) -> bool:
    """Tell whether `name` is found in the folder only because its filesystem folds case or Unicode forms.

    The folder is listed only where another spelling leads to the same file, which on most filesystems none does.
    """
    here = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    if not any(_leads_to(folder_fd, spelling, here) for spelling in _spellings(name)):
        return False
    listing = open_listing(folder_fd)
    try:
        return name not in {os.fsencode(found) for found in os.listdir(listing)}
    finally:
        os.close(listing)


def _leads_to(folder_fd: int, name: bytes, here: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=folder_fd, follow_symlinks=False), here)
    except OSError:
        return False


def _spellings(name: bytes) -> set[bytes]:
    text = name.decode("utf-8", "surrogateescape")
    forms = {text.swapcase(), unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}
    return {form.encode("utf-8", "surrogateescape") for form in forms} - {name}
