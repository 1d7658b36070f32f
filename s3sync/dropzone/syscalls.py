"""What Linux offers and Python does not: a rename that never replaces, flushes of other kinds, a file's flags, our rights.

Everything here is one system call (or one file of `/proc`) with its error raised as `OSError`, and nothing decides anything.
`ctypes` hands the interpreter lock back while the call runs, so threads may wait for the disk side by side.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import sys
from errno import EINVAL, ENOTTY, EOPNOTSUPP

_libc = ctypes.CDLL(None, use_errno=True)
_renameat2 = _libc.renameat2
_renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_syncfs = _libc.syncfs
_syncfs.argtypes = (ctypes.c_int,)

_sync_file_range = _libc.sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
FLAGS_BYTES = struct.calcsize("l")
_LOWEST_BYTE = 0 if sys.byteorder == "little" else struct.calcsize("i") - 1
"""Of the answer: the kernel writes an int, whatever the request's number says."""
_FS_IOC_GETFLAGS = 2 << 30 | FLAGS_BYTES << 16 | ord("f") << 8 | 1
"""`_IOR('f', 1, long)` of linux/fs.h, as x86 and ARM encode it."""
_FS_IMMUTABLE_FL = 0x10
_FS_APPEND_FL = 0x20

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_SYS_PTRACE = 19
CAP_LEASE = 28


def rename_no_replace(source_fd: int, source: bytes, target_fd: int, target: bytes) -> None:
    """Move `source` in one folder to `target` in another, atomically, and only where `target` is free.

    Raises `FileExistsError` where it is not, `OSError` with EINVAL where the filesystem cannot promise that (NFS, some FUSE).
    """
    if _renameat2(source_fd, source, target_fd, target, _RENAME_NOREPLACE) != 0:
        _raise_errno(source)


def flush_filesystem(fd: int) -> None:
    """Write everything of the filesystem that holds `fd` to its disk, names and contents. Raises `OSError`."""
    if _syncfs(fd) != 0:
        _raise_errno(None)


def begin_flush(fd: int, offset: int, count: int) -> None:
    """Have `count` bytes from `offset` on their way to the disk, without waiting and without knowing what becomes of them.

    Only a flush afterwards makes anything certain; it tells of every failure, also of one that befell what was begun here, and
    so this has nothing to tell.
    """
    _sync_file_range(fd, offset, count, _SYNC_FILE_RANGE_WRITE)


def is_pinned(fd: int, answer: bytearray | None = None) -> bool:
    """Tell whether the open file or folder is marked immutable or append-only, so that nothing in it can be moved or removed.

    A filesystem that knows no such marks has pinned nothing. Who asks often hands in `FLAGS_BYTES` of `answer` for the kernel.
    """
    if answer is None:
        answer = bytearray(FLAGS_BYTES)
    try:
        fcntl.ioctl(fd, _FS_IOC_GETFLAGS, answer)
    except OSError as error:
        if error.errno in {ENOTTY, EOPNOTSUPP, EINVAL}:
            return False
        raise
    return answer[_LOWEST_BYTE] & (_FS_IMMUTABLE_FL | _FS_APPEND_FL) != 0


def mount_id(fd: int) -> int:
    """Return which mount `fd` was opened through; two bind mounts of one filesystem share a device, not this number."""
    info = os.open(b"/proc/self/fdinfo/%d" % fd, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(info, 4096)
    finally:
        os.close(info)
    _, _, rest = text.partition(b"mnt_id:")
    return int(rest.split(None, 1)[0])


def effective_capabilities() -> int:
    """Return this process's effective capabilities as a bit set, see the `CAP_` numbers above."""
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"CapEff:"):
                return int(line.split()[1], 16)
    return 0


def _raise_errno(subject: bytes | None) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), subject)
