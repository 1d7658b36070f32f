"""Files that nobody made: facts for the rules to judge."""

from __future__ import annotations

import os
import stat

from s3sync.dropzone.facts import FileFacts, FolderFacts
from s3sync.dropzone.zone import Rights

US = 1000
THEM = 2000
OURS = Rights(uid=US, reads_all=False, owns_all=False, leases_all=False)

FOLDER = FolderFacts(
    bucket="bucket",
    path=b"bucket/",
    prefix=b"",
    rights=OURS,
    owner=THEM,
    sticky=False,
    writable=True,
    pinned=False,
    quarantine=None,
    leases=True,
)


def _stat(mode: int, uid: int, size: int, ctime_ns: int) -> os.stat_result:
    ten = (mode, 7, 3, 1, uid, uid, size, 0, 0, ctime_ns // 10**9)
    return os.stat_result((*ten, 0.0, 0.0, ctime_ns / 1e9, 0, 0, ctime_ns))


def a_file(
    name: bytes = b"file",
    *,
    folder: FolderFacts = FOLDER,
    readable: bool = True,
    older: bool = False,
    mode: int = stat.S_IFREG | 0o644,
    uid: int = THEM,
    size: int = 5,
    ctime_ns: int = 0,
) -> FileFacts:
    """Return what is known of a plain old file, or of one that differs from that."""
    seen = _stat(mode, uid, size, ctime_ns)
    return FileFacts(folder, name, folder.prefix + name, folder.path + name, seen, readable, older)
