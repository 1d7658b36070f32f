"""A drop zone: its root, whose rights we judge it with, and which private folder originals pass through on their way out.

The quarantine must be reached by a rename, so it lies on the drop zone's own mount: `<root>/<name>` for bucket folders that are
plain folders, `<root>/<bucket>/<name>` for one that is its own mount, or wherever the settings say. It is named by a path as
`s3sync.dropzone.folders` understands them: relative to the root, or absolute where it lies outside.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.folders import FolderCache, open_beneath, open_folder, open_listing, open_root
from s3sync.dropzone.syscalls import (
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_LEASE,
    effective_capabilities,
    mount_id,
)
from s3sync.errors import Preflight

S3BATCH_QUARANTINE = b".s3batch-quarantine"
S3SYNC_QUARANTINE = b".s3sync-quarantine"

DISPLACED = b"displaced"
"""The folder of a quarantine in which each subfolder is a little drop zone: files whose own name was taken meanwhile."""

SPARE = b"spare"
"""An empty folder that every quarantine has ready. On a full disk no folder can be made, and there it becomes the batch's: what
uploads have filled could otherwise never be emptied."""


class Mount(NamedTuple):
    """Where a folder is mounted: two bind mounts of one filesystem share the device, not the id."""

    device: int
    id: int

    @classmethod
    def of(cls, fd: int) -> Mount:
        """Return the mount `fd` was opened through."""
        return cls(os.fstat(fd).st_dev, mount_id(fd))


@dataclass(frozen=True, slots=True)
class Rights:
    """What the kernel will let this process do with other people's files."""

    uid: int
    reads_all: bool
    """May read and pass through everything (CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE)."""
    owns_all: bool
    """May remove other people's files from sticky folders (CAP_FOWNER)."""
    leases_all: bool
    """May take leases on other people's files (CAP_LEASE)."""

    @classmethod
    def ours(cls) -> Rights:
        """Return the rights of this process."""
        held = effective_capabilities()
        return cls(
            uid=os.geteuid(),
            reads_all=bool(held & (1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH)),
            owns_all=bool(held & 1 << CAP_FOWNER),
            leases_all=bool(held & 1 << CAP_LEASE),
        )


_OURS_TO_BEAR = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors that say nothing about the folder that was to be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneAt:
    """What another process needs to open the same drop zone."""

    path: Path
    folder: tuple[int, int]
    """Device and inode of the root: the path may name another folder by then."""
    quarantine: Path | None
    quarantine_name: bytes


class DropZone:
    """An open drop zone. Close it, or use it as a context."""

    def __init__(self, path: Path, *, quarantine: Path | None, quarantine_name: bytes, rights: Rights) -> None:
        """Open the root `path`; `open` is the usual way. Raises `OSError`."""
        self.path = path.resolve()
        self.fd = open_root(self.path)
        self.rights = rights
        self.quarantine_name = quarantine_name
        self._quarantine = quarantine
        self.explicit = None if quarantine is None else self._named(quarantine.resolve())
        """The path of the quarantine the settings name, if they do."""
        self.mount = Mount.of(self.fd)

    @classmethod
    def open(cls, path: Path, *, quarantine: Path | None = None, quarantine_name: bytes = S3BATCH_QUARANTINE) -> DropZone:
        """Return the drop zone at `path`, judged with the rights of this process. Raises `OSError`."""
        return cls(path, quarantine=quarantine, quarantine_name=quarantine_name, rights=Rights.ours())

    @classmethod
    def at(cls, place: ZoneAt) -> DropZone:
        """Return the drop zone another process told of. Raises `OSError`, ESTALE where another folder has taken its path."""
        zone = cls.open(place.path, quarantine=place.quarantine, quarantine_name=place.quarantine_name)
        if zone.place.folder != place.folder:
            zone.close()
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), place.path)
        return zone

    @property
    def place(self) -> ZoneAt:
        """What another process needs to open this drop zone."""
        seen = os.fstat(self.fd)
        folder = (seen.st_dev, seen.st_ino)
        return ZoneAt(path=self.path, folder=folder, quarantine=self._quarantine, quarantine_name=self.quarantine_name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def refuse_if_replaced(self) -> None:
        """Raise `Preflight` where the path now names another folder than the one that is open, or none.

        Removed and made again, or mounted over: what is dropped there would never be seen.
        """
        try:
            same = os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except OSError:
            same = False
        if not same:
            wrong = "is not the folder any more that it was when the agent started"
            raise Preflight(str(self.path), wrong, "Start the agent again; it goes on with what is there")

    def close(self) -> None:
        """Close the root."""
        os.close(self.fd)

    def folders(self) -> FolderCache:
        """Return a fresh cache of folders beneath the root."""
        return FolderCache(self.fd)

    def state_at(self, path: bytes) -> Identity | None:
        """Return the state of what lies at `path` now, None where nothing can be seen there."""
        try:
            parent_fd, name = open_beneath(self.fd, path)
            try:
                return Identity.of(os.stat(name, dir_fd=parent_fd, follow_symlinks=False))
            finally:
                os.close(parent_fd)
        except OSError:
            return None

    def quarantine_of_bucket(self, bucket: bytes) -> bytes:
        """Return the path of the quarantine that serves the files of a bucket folder; it need not exist yet.

        Raises `OSError` where the bucket folder cannot be opened.
        """
        if self.explicit is not None:
            return self.explicit
        folder_fd = open_folder(self.fd, bucket)
        try:
            own_mount = Mount.of(folder_fd) != self.mount
        finally:
            os.close(folder_fd)
        return bucket + b"/" + self.quarantine_name if own_mount else self.quarantine_name

    def quarantine_of(self, path: bytes) -> bytes:
        """Return the path of the quarantine the file at `path` leaves through: a displaced one through the one it waits in.

        Raises `OSError`.
        """
        for quarantine in self._possible_for(path):
            if path.startswith(quarantine + b"/" + DISPLACED + b"/"):
                return quarantine
        return self.quarantine_of_bucket(path.partition(b"/")[0])

    def drop_path(self, path: bytes) -> bytes:
        """Return `<bucket>/<key>` of the file at `path`, also where it waits displaced in quarantine."""
        for quarantine in self._possible_for(path):
            waiting = quarantine + b"/" + DISPLACED + b"/"
            if path.startswith(waiting):
                return path[len(waiting) :].partition(b"/")[2]
        return path

    def is_quarantine(self, path: bytes) -> bool:
        """Tell whether a folder of ours may lie at `path`: it is never taken for somebody's drop."""
        return path == self.explicit or path in self._possible_for(path)

    def quarantines(self) -> list[bytes]:
        """Return the paths of all quarantines that exist and are ours, those of earlier settings too.

        What an uploader may have made is not believed: whoever can write into a quarantine could drop into any bucket.
        Raises `OSError`.
        """
        possible = [self.quarantine_name, *(bucket + b"/" + self.quarantine_name for bucket in self.bucket_folders())]
        if self.explicit is not None and self.explicit not in possible:
            possible.insert(0, self.explicit)
        with self.folders() as folders:
            return [path for path in possible if self._is_ours(folders, path)]

    def _possible_for(self, path: bytes) -> list[bytes]:
        bucket = path.partition(b"/")[0]
        possible = [self.quarantine_name, bucket + b"/" + self.quarantine_name]
        return possible if self.explicit is None else [self.explicit, *possible]

    def bucket_folders(self) -> list[bytes]:
        """Return the names of the folders below the root, in order. Raises `OSError`."""
        # A descriptor of its own: duplicates of the root's share one position, and another thread may be listing it.
        fd = open_listing(self.fd)
        try:
            with os.scandir(fd) as entries:
                return sorted(os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False))
        finally:
            os.close(fd)

    def _named(self, place: Path) -> bytes:
        beneath = place.is_relative_to(self.path) and place != self.path
        return os.fsencode(place.relative_to(self.path) if beneath else place)

    def _is_ours(self, folders: FolderCache, path: bytes) -> bool:
        try:
            fd = open_listing(folders.folder(path))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return False
        except OSError as error:
            if path in {self.quarantine_name, self.explicit} or error.errno in _OURS_TO_BEAR:
                raise
            return False  # one customer's mount is dead: the scan holds that bucket, and nobody else's
        try:
            return is_private(fd, self.rights)
        finally:
            os.close(fd)


def is_private(fd: int, rights: Rights) -> bool:
    """Tell whether an open folder is our own and nobody else may do anything in it."""
    seen = os.fstat(fd)
    return seen.st_uid == rights.uid and seen.st_mode & 0o077 == 0
