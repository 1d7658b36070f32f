"""Build one archive: paths in, files out. Runs in a spawned worker process, alone with its batch.

Each member is opened beneath the root without following a link, leased, compared with the candidate it was planned as, copied
with its hash, compared again, and the lease asked whether anybody came meanwhile. What changed, vanished, is being written or
cannot be read is cut back out and reported as *left*, with its reason; it stays where it is and nobody waits for it. A broken
lease is let go at once: a client is waiting in `open`.

Where the kernel grants no lease (not our file, no CAP_LEASE, a filesystem without them), the processes' open files are
looked at before the batch and after it instead. Files and folder are flushed before the result is returned; an `OSError` of
the spool itself (a full disk, a failed flush) fails the whole attempt, which is never retried under the same name.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Self

from s3batch.pack.members import ListedOwner, MemberListWriter
from s3batch.pack.tar import Attributes, Full, Owner, Shrunk, TarWriter, Unreadable, header
from s3sync.dropzone.candidate import Candidates, FileId, Numbers
from s3sync.dropzone.folders import READ, FolderCache, open_root
from s3sync.dropzone.syscalls import FLAGS_BYTES, is_pinned
from s3sync.dropzone.writers import Snapshot, Writing, ignore_lease_signals, lease_broken, snapshot, take_lease

_LIST_FLUSH_MEMBERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """What a worker needs: where the files are, where to build, and what."""

    root: str
    """The drop zone's root."""
    folder: str
    """The batch's own spool folder; made here, so it must not exist."""
    candidates: Candidates
    max_bytes: int
    """No member that would make the archive larger is taken, unless it is the only one."""


@dataclass(frozen=True, slots=True)
class Left:
    """A candidate that did not become a member, by the rule's name."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was built. With no members there is no archive worth keeping."""

    size: int
    crc64nvme: str
    members: int
    content_bytes: int
    left: tuple[Left, ...]


class Disturbed(Exception):
    """Somebody wrote into a member while it was copied, and no lease told us in time: the archive cannot be trusted."""


def build(job: BuildJob) -> Built:
    """Build the archive of `job` in its folder, flushed to the disk.

    Raises `OSError` where the spool failed, `Disturbed` where a writer was noticed only afterwards; the folder is then to be
    thrown away, and the batch with it.
    """
    ignore_lease_signals()
    with ExitStack() as stack:
        root_fd = open_root(job.root)
        stack.callback(os.close, root_fd)
        folders = stack.enter_context(FolderCache(root_fd))
        os.mkdir(job.folder, 0o700)
        bench = stack.enter_context(_Bench(Path(job.folder), folders, job.max_bytes))
        for path, numbers in job.candidates.rows():
            bench.take(path, numbers)
        built = bench.finish()
    if built.members:
        _flush_folder(job.folder)
        _flush_folder(os.path.dirname(job.folder))
    return built


class _Bench:
    """The archive under construction: tar, member list, and what was left."""

    def __init__(self, folder: Path, folders: FolderCache, max_bytes: int) -> None:
        self._tar_fd = os.open(folder / "archive.tar", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._list_fd = os.open(folder / "members", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._folders = folders
        self._tar = TarWriter(self._tar_fd, max_bytes)
        self._list = MemberListWriter()
        self._content_bytes = 0
        self._flags = bytearray(FLAGS_BYTES)
        self._left: list[Left] = []
        self._unleased: set[FileId] = set()
        self._seen_before: Snapshot | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._tar_fd)
        os.close(self._list_fd)

    def take(self, path: bytes, numbers: Numbers) -> None:
        """Make a candidate a member, or leave it."""
        try:
            parent_fd, name = self._folders.parent(path)
            fd = os.open(name, READ, dir_fd=parent_fd)
        except OSError as error:
            self._left.append(Left(path, _unopened(error)))
            return
        try:
            reason = self._copy(fd, path, numbers)
        finally:
            os.close(fd)
        if reason:
            self._left.append(Left(path, reason))
        elif self._list.count % _LIST_FLUSH_MEMBERS == 0:
            _write_all(self._list_fd, self._list.take())

    def finish(self) -> Built:
        """Write what is missing and flush both files to the disk."""
        self._tar.finish()
        _write_all(self._list_fd, self._list.finish())
        if self._unleased & (snapshot().writing if self._unleased else frozenset()):
            raise Disturbed
        os.fsync(self._tar_fd)
        os.fsync(self._list_fd)
        return Built(
            size=self._tar.size,
            crc64nvme=self._tar.crc64nvme,
            members=self._list.count,
            content_bytes=self._content_bytes,
            left=tuple(self._left),
        )

    def _seen_writing(self, file: FileId) -> bool:
        """Tell whether anybody had the file open for writing before we began, and ask again when the batch is built."""
        if self._seen_before is None:
            self._seen_before = snapshot()
        if file in self._seen_before.writing:
            return True
        self._unleased.add(file)
        return False

    def _copy(self, fd: int, path: bytes, numbers: Numbers) -> str | None:
        """Append the open file as a member; return why not, by the rule's name."""
        device, inode, size, mtime_ns, ctime_ns, key_at = numbers
        writing = take_lease(fd)
        if writing is not None and (writing is Writing.SOMEBODY or self._seen_writing((device, inode))):
            return "writer"
        seen = os.fstat(fd)
        mode = seen.st_mode
        same = seen.st_ctime_ns == ctime_ns and seen.st_mtime_ns == mtime_ns and seen.st_size == size
        if not (same and seen.st_ino == inode and seen.st_dev == device and S_ISREG(mode)):
            return "changed"
        if is_pinned(fd, self._flags):
            return "immutable"
        owner, listed = _owner(mode & 0o7777, seen.st_uid, seen.st_gid)
        head = header(path[key_at:], size, mtime_ns // 1_000_000_000, owner)
        undisturbed = _lease_holds if writing is None else _always
        try:
            place = self._tar.add(fd, head, size, undisturbed)
        except Full:
            return "no_room"
        except Unreadable:
            self._tar.undo()
            return "unreadable"
        except Shrunk:
            self._tar.undo()
            return "changed"
        # Whatever is done to a file sets its ctime; the lease tells of a writer who has only just come.
        if os.fstat(fd).st_ctime_ns != ctime_ns or not undisturbed(fd):
            self._tar.undo()
            return "changed"
        self._list.add(path, numbers, place, listed)
        self._content_bytes += size
        return None


def _lease_holds(fd: int) -> bool:
    return not lease_broken(fd)


def _always(_: int) -> bool:
    return True


def _unopened(error: OSError) -> str:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return "vanished"
    if error.errno == errno.EAGAIN:
        return "writer"  # who has a write lease on it
    return "changed" if error.errno in {errno.ELOOP, errno.ENXIO} else "unreadable"


@lru_cache(maxsize=1024)
def _owner(mode: int, uid: int, gid: int) -> tuple[Owner, ListedOwner]:
    """Return what header and list say of a file's mode and owner; an account without a name has an empty one."""
    user = group = ""
    with suppress(KeyError):
        user = _as_text(pwd.getpwuid(uid).pw_name)
    with suppress(KeyError):
        group = _as_text(grp.getgrgid(gid).gr_name)
    attributes = Attributes(mode, uid, gid, user, group)
    return Owner(attributes), ListedOwner(attributes)


def _as_text(name: str) -> str:
    """Return an account name that can be written as UTF-8; what is odd in it becomes a question mark."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _write_all(fd: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(fd, view) :]


def _flush_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
