"""Why a file is left alone: every reason there is, by the name people and programs see.

The names are stable: `status` counts by them, `why` prints them, tests and dashboards know them. Errors of the operating system
are sorted into reasons here and nowhere else.
"""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """A reason and, in `MEANINGS`, what it says in words."""

    IN_FLIGHT = "in_flight"
    UNRELEASABLE = "unreleasable"
    EXISTS = "exists"
    OLDER_VERSION_FIRST = "older_version_first"
    BUCKET_NAME = "bucket_name"
    BUCKET_NOT_LISTED = "bucket_not_listed"
    RESERVED_PREFIX = "reserved_prefix"
    TEMPORARY_NAME = "temporary_name"
    KEY_TOO_LONG = "key_too_long"
    KEY_NOT_UTF8 = "key_not_utf8"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    DEVICE = "device"
    MOUNT = "mount"
    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    FOLDER_NOT_WRITABLE = "folder_not_writable"
    FOLDER_STICKY = "folder_sticky"
    IMMUTABLE = "immutable"
    READ_ONLY = "read_only"
    OTHER_FILESYSTEM = "other_filesystem"
    QUARANTINE_UNSAFE = "quarantine_unsafe"
    BUSY = "busy"
    NO_SPACE = "no_space"
    IO_ERROR = "io_error"
    SYSTEM_ERROR = "system_error"
    LARGER_THAN_SPOOL = "larger_than_spool"
    PROBABLY_PARTIAL = "probably_partial"
    QUIET = "quiet"
    WRITER = "writer"
    CHANGED = "changed"


class Refusal(NamedTuple):
    """A reason and what it rests on in this case, for people."""

    reason: Reason
    detail: str


MEANINGS: dict[Reason, str] = {
    Reason.IN_FLIGHT: "it belongs to a batch that is on its way",
    Reason.UNRELEASABLE: "it is archived, could not be removed, and has not changed since",
    Reason.EXISTS: "another object lies under its key, and the bucket keeps no versions",
    Reason.OLDER_VERSION_FIRST: "an older file of the same key waits in quarantine and is archived first",
    Reason.BUCKET_NAME: "the first folder is not the name of a bucket",
    Reason.BUCKET_NOT_LISTED: "the bucket is not among those allowed by the settings",
    Reason.RESERVED_PREFIX: "keys below this prefix are the program's own",
    Reason.TEMPORARY_NAME: "the name says that it is not finished",
    Reason.KEY_TOO_LONG: "the key is longer than S3 allows",
    Reason.KEY_NOT_UTF8: "the name is not UTF-8 and cannot be an object's key",
    Reason.SYMLINK: "it is a symbolic link",
    Reason.FIFO: "it is a FIFO",
    Reason.SOCKET: "it is a socket",
    Reason.DEVICE: "it is a device",
    Reason.MOUNT: "something is mounted here, below the bucket's folder",
    Reason.UNREADABLE: "it may not be read by the agent",
    Reason.VANISHED: "it went away or was replaced while it was looked at",
    Reason.FOLDER_NOT_WRITABLE: "the agent may not remove names from the folder",
    Reason.FOLDER_STICKY: "the folder is sticky, and neither it nor the file is the agent's",
    Reason.IMMUTABLE: "the folder or file is marked immutable or append-only",
    Reason.READ_ONLY: "the filesystem is mounted read-only",
    Reason.OTHER_FILESYSTEM: "the quarantine cannot be reached by a rename",
    Reason.QUARANTINE_UNSAFE: "the quarantine is not the agent's own private folder",
    Reason.BUSY: "the system says it is in use",
    Reason.NO_SPACE: "the disk or the quota is full",
    Reason.IO_ERROR: "the disk failed",
    Reason.SYSTEM_ERROR: "the system refused in an unexpected way",
    Reason.LARGER_THAN_SPOOL: "it is larger than the spool may grow",
    Reason.PROBABLY_PARTIAL: "its upload broke off and was not finished since, by the server's own log",
    Reason.QUIET: "it changed within the quiet period",
    Reason.WRITER: "somebody has it open for writing",
    Reason.CHANGED: "it is not the file that was archived any more",
}

_BY_ERRNO = {
    errno.EACCES: Reason.FOLDER_NOT_WRITABLE,
    # EPERM comes from a sticky folder as well; the flags are asked separately where it matters.
    errno.EPERM: Reason.IMMUTABLE,
    errno.EROFS: Reason.READ_ONLY,
    errno.EXDEV: Reason.OTHER_FILESYSTEM,
    # An open that does not wait, of a file on which somebody has a write lease: that takes having it open for writing.
    errno.EAGAIN: Reason.WRITER,
    errno.EBUSY: Reason.BUSY,
    errno.ETXTBSY: Reason.BUSY,
    errno.ENOSPC: Reason.NO_SPACE,
    errno.EDQUOT: Reason.NO_SPACE,
    errno.EIO: Reason.IO_ERROR,
    errno.ENOENT: Reason.VANISHED,
    errno.ENOTDIR: Reason.VANISHED,
    errno.ELOOP: Reason.VANISHED,
    errno.ENXIO: Reason.VANISHED,
    errno.ESTALE: Reason.VANISHED,
}


FULL = frozenset(number for number, reason in _BY_ERRNO.items() if reason is Reason.NO_SPACE)
"""How a disk or a quota says that there is no room."""


def of_errno(error: OSError) -> Reason:
    """Return the reason an attempt to move or remove a file failed for."""
    return _BY_ERRNO.get(error.errno or 0, Reason.SYSTEM_ERROR)
