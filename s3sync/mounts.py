"""Which filesystem a folder lies on, as the kernel's table of mounts names it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from s3sync.dropzone.syscalls import mount_id

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
OVER_THE_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "ocfs2", "gfs2", "beegfs"}
)


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A mounted filesystem."""

    kind: str
    """`ext4`, `nfs4`, `fuse.s3fs`, ...; empty where the table does not show it."""
    mounted_at: str

    @property
    def in_memory(self) -> bool:
        """Tell whether what lies there is gone after a restart, and takes memory meanwhile."""
        return self.kind in IN_MEMORY

    @property
    def networked(self) -> bool:
        """Tell whether other hosts surely may have it mounted."""
        return self.kind in OVER_THE_NETWORK

    @property
    def shared(self) -> bool:
        """Tell whether others may have it mounted too: locks and leases of ours may mean nothing to them."""
        return self.networked or self.kind.partition(".")[0] in {"fuse", "fuseblk"}


def filesystem_of(folder: Path) -> Filesystem:
    """Return the filesystem `folder` lies on. Raises `OSError` where it cannot be opened."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return filesystem_at(fd)
    finally:
        os.close(fd)


def filesystem_at(fd: int) -> Filesystem:
    """Return the filesystem that something open lies on."""
    return find(str(mount_id(fd)), Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape"))


def find(mount: str, mountinfo: str) -> Filesystem:
    """Return the filesystem with that mount id in a `mountinfo` (proc(5))."""
    for line in mountinfo.splitlines():
        number, _, _, _, mounted_at, *rest = line.split(" ")
        if number == mount:
            return Filesystem(rest[rest.index("-") + 1], mounted_at)
    return Filesystem("", "")


def nearest_existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists. Raises `OSError` where we may not look."""
    return next(place for place in (folder, *folder.parents) if place.exists())
