"""A walk through the drop zone that judges folders, and tries a few real files: what rights are good for, only trying tells.

The walk goes by descriptors and follows no link, as the scan does. Of each bucket and owner a few files are opened as members
are, and a lease is asked for and let go at once; nothing is read. Very large zones are not walked to the end.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from s3sync.dropzone.folders import READ, FolderCache, open_listing
from s3sync.dropzone.writers import Writing, probe
from s3sync.dropzone.zone import DropZone

MOST_FOLDERS = 200_000
SHOWN = 5
FILES_A_FOLDER = 3
FILES_AN_OWNER = 3


@dataclass(frozen=True, slots=True)
class Unwritable:
    """A folder with files that the agent cannot remove from it."""

    path: bytes
    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class Tried:
    """A file that was tried."""

    path: bytes
    uid: int
    readable: bool
    lease: Writing | None
    """Why there is no lease; None where there was one, or where it could not be opened."""


@dataclass(slots=True)
class Survey:
    """What the walk found."""

    folders: int = 0
    cut: bool = False
    """There were more folders than were walked."""
    unwritable: int = 0
    unwritable_shown: list[Unwritable] = field(default_factory=list)
    closed: int = 0
    """Folders that may not be looked into."""
    closed_shown: list[bytes] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)


def survey(zone: DropZone, buckets: Iterable[bytes]) -> Survey:
    """Walk the folders of `buckets` and return what was found. Lease signals are ignored by the caller."""
    found = Survey()
    with zone.folders() as folders:
        walk = _Walk(zone, folders, found)
        for bucket in buckets:
            walk.bucket(bucket)
    return found


class _Walk:
    def __init__(self, zone: DropZone, folders: FolderCache, found: Survey) -> None:
        self._zone = zone
        self._folders = folders
        self._found = found
        self._per_owner: Counter[tuple[bytes, int]] = Counter()

    def bucket(self, bucket: bytes) -> None:
        waiting = [bucket]
        while waiting:
            if self._found.folders >= MOST_FOLDERS:
                self._found.cut = True
                return
            path = waiting.pop()
            self._found.folders += 1
            try:
                waiting += self._folder(path, bucket)
            except PermissionError:
                self._found.closed += 1
                if len(self._found.closed_shown) < SHOWN:
                    self._found.closed_shown.append(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it went away while we walked

    def _folder(self, path: bytes, bucket: bytes) -> list[bytes]:
        fd = self._folders.folder(path)
        subfolders, names = _listing(fd)
        if names:
            self._judge(fd, path)
        for name in names[:FILES_A_FOLDER]:
            self._try(fd, name, path + b"/" + name, bucket)
        below = [path + b"/" + name for name in reversed(subfolders)]
        return [each for each in below if not self._zone.is_quarantine(each)]

    def _judge(self, fd: int, path: bytes) -> None:
        if os.access(b".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
            return
        seen = os.fstat(fd)
        self._found.unwritable += 1
        if len(self._found.unwritable_shown) < SHOWN:
            self._found.unwritable_shown.append(Unwritable(path, seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)))

    def _try(self, folder_fd: int, name: bytes, path: bytes, bucket: bytes) -> None:
        seen = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if not stat.S_ISREG(seen.st_mode) or self._per_owner[bucket, seen.st_uid] >= FILES_AN_OWNER:
            return
        self._per_owner[bucket, seen.st_uid] += 1
        try:
            fd = os.open(name, READ, dir_fd=folder_fd)
        except PermissionError:
            self._found.tried.append(Tried(path, seen.st_uid, readable=False, lease=None))
            return
        try:
            lease = probe(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)
        self._found.tried.append(Tried(path, seen.st_uid, readable=True, lease=lease))


def _listing(folder_fd: int) -> tuple[list[bytes], list[bytes]]:
    """Return the names of the folders, and a few of everything else."""
    fd = open_listing(folder_fd)
    subfolders: list[bytes] = []
    names: list[bytes] = []
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    subfolders.append(os.fsencode(entry.name))
                elif len(names) < FILES_A_FOLDER:
                    names.append(os.fsencode(entry.name))
    finally:
        os.close(fd)
    return sorted(subfolders), names
