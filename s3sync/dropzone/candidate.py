"""A file seen in a drop zone that every eligibility rule calls finished, and what *the same file* means.

A path alone names whatever lies there now, so a file is known by its `Identity` from the moment it is judged until it is
removed. ctime is the strongest of the five: the kernel sets it at every write, chmod and rename, and no user can set it back.
"""

from __future__ import annotations

import os
from typing import NamedTuple

FileId = tuple[int, int]
"""Device and inode: which file, for as long as it exists (ext4 reuses an inode number at once)."""


class Identity(NamedTuple):
    """One state of one file. A tuple because a scan makes millions of them."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Identity:
        """Return the identity a stat call saw."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @property
    def file_id(self) -> FileId:
        """Device and inode."""
        return (self.device, self.inode)

    def same_but_ctime(self, other: Identity) -> bool:
        """Tell whether only ctime may differ: a chmod, a link, our own rename; or a forged mtime, so hash before believing."""
        return self[:4] == other[:4]


class Candidate(NamedTuple):
    """A finished file: where it lies, the key it is dropped under, and its state when it was judged.

    A tuple for the same reason, and because it travels to worker processes, which costs a dataclass five times as much.

    `path` is relative to the drop zone's root, raw bytes, `/`-separated. It is `<bucket>/<key>`, except for a file displaced
    into quarantine, which waits there below its own little `<bucket>/<key>` tree to be archived as a new version.
    """

    bucket: str
    key: bytes
    path: bytes
    identity: Identity
