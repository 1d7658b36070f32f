"""Walk a drop zone and say of every file whether it is finished, and if not, why not.

Depth first; in every folder its files in order of their names, then its subfolders, so that the files of a folder, of a
first-level folder and of a bucket come one after another. Folders are opened one component at a time without following links;
what is not a regular file, and every folder that is not entered, is reported once and left alone. A folder that disappears or
is swapped while we look is reported and skipped: the next pass sees what is there then. Nothing is remembered between scans.

Files displaced into quarantine come first, each in its own little `<bucket>/<key>` tree. While one waits, younger files of the
same key are held, so that versions are stored in the order they came.

Files that only the quiet period holds are most of what is held, and nobody asks for each: those of a folder are told together.

Memory grows with the names of one folder and the unvisited subfolders on the way to it, never with the tree. The facts of a
folder are gathered once; a file costs one `lstat`, its rules and its `Candidate`, and a young one hardly more than the `lstat`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.facts import FileFacts, FolderFacts
from s3sync.dropzone.folders import FolderCache, open_listing
from s3sync.dropzone.glance import Sight, Young
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import Find, Finding
from s3sync.dropzone.reasons import Reason, Refusal, of_errno
from s3sync.dropzone.syscalls import is_pinned
from s3sync.dropzone.zone import DISPLACED, DropZone, Mount, Rights
from s3sync.keys import display

MOST_TOLD_TOGETHER = 10_000
"""Whoever scans is asked to stop, and shows a sign of life, between two things told."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file, or a folder with all that is in it, that is left alone; `path` as in `Candidate`.

    Or several young files of one folder; `path` and `detail` are then those of the one that will be quiet first.
    """

    path: bytes
    reason: Reason
    detail: str
    bucket: str
    """Empty where it belongs to none."""
    size: int = 0
    """In bytes; 0 where it is no regular file."""
    files: int = 1
    """How many this tells of; `size` is what they have together."""


Found = Candidate | Held


def scan(zone: DropZone, ladder: Ladder, find: Find) -> Iterator[Found]:
    """Yield everything in the drop zone as a candidate or held, in order.

    `find` says how a bucket folder's files leave it: `ProvenQuarantines` for the agent, `foresee_quarantine` for those who may
    change nothing. Raises `OSError` where the root itself cannot be listed.
    """
    with zone.folders() as folders:
        yield from _Scan(zone, ladder, find, folders).everything()


@dataclass(frozen=True, slots=True)
class Base:
    """The folder a `<key>` is relative to: a bucket folder, or one in a displaced file's little drop zone."""

    bucket: str
    path: bytes
    mount: Mount
    quarantine: Refusal | None
    leases: bool

    def key_of(self, path: bytes) -> bytes:
        """Return the key of what lies at `path`."""
        return path[len(self.path) + 1 :]


def folder_facts(folder_fd: int, listing_fd: int, path: bytes, base: Base, rights: Rights) -> FolderFacts:
    """Return what is known of an open folder, by both its descriptors. Raises `OSError`."""
    seen = os.fstat(folder_fd)
    key = base.key_of(path)
    return FolderFacts(
        bucket=base.bucket,
        path=path + b"/",
        prefix=key + b"/" if key else b"",
        rights=rights,
        owner=seen.st_uid,
        sticky=bool(seen.st_mode & stat.S_ISVTX),
        writable=os.access(b".", os.W_OK | os.X_OK, dir_fd=folder_fd, effective_ids=True),
        pinned=is_pinned(listing_fd),
        quarantine=base.quarantine,
        leases=base.leases,
    )


def file_facts(folder: FolderFacts, folder_fd: int, name: bytes, seen: os.stat_result, *, older: bool) -> FileFacts:
    """Return what is known of the file `name` of an open folder, of which `seen` is the `lstat`. Raises `OSError`."""
    # Where the mode alone does not say that we may read, the kernel is asked: groups, ACLs.
    readable = (
        folder.rights.reads_all or seen.st_mode & stat.S_IROTH != 0 or _may_read(name, folder_fd, seen, folder.rights.uid)
    )
    return FileFacts(folder, name, folder.prefix + name, folder.path + name, seen, readable, older)


def _may_read(name: bytes, folder_fd: int, seen: os.stat_result, uid: int) -> bool:
    if seen.st_uid == uid and seen.st_mode & stat.S_IRUSR:
        return True
    # Asked of regular files only: the answer for a link would be its target's.
    return stat.S_ISREG(seen.st_mode) and os.access(name, os.R_OK, dir_fd=folder_fd, effective_ids=True)


class Looked(NamedTuple):
    """An open folder: its facts, its descriptor (good until the next folder is opened), and what is in it."""

    facts: FolderFacts
    fd: int
    subfolders: list[bytes]
    names: list[bytes]
    """Of everything that is no folder."""


class _Scan:
    """One scan: what its steps share."""

    def __init__(self, zone: DropZone, ladder: Ladder, find: Find, folders: FolderCache) -> None:
        self._zone = zone
        self._ladder = ladder
        self._find = find
        self._folders = folders
        self._older: set[tuple[str, bytes]] = set()
        """Bucket and key of every displaced file seen so far."""

    def everything(self) -> Iterator[Found]:
        for quarantine in self._zone.quarantines():
            yield from self._displaced(quarantine)
        names, others = self._list(b"")
        for name in others:
            yield Held(name, *self._no_bucket(name), bucket="")
        for name in names:
            if not self._zone.is_quarantine(name):
                yield from self._bucket(name)

    def _no_bucket(self, name: bytes) -> Refusal:
        try:
            mode = os.stat(name, dir_fd=self._zone.fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return Refusal(Reason.VANISHED, "it is gone")
        if stat.S_ISLNK(mode):
            return Refusal(Reason.SYMLINK, "a bucket's folder must be a folder; links are not followed")
        return Refusal(Reason.BUCKET_NAME, "what lies directly in the drop zone belongs to no bucket")

    def _bucket(self, name: bytes) -> Iterator[Found]:
        refusal = self._ladder.refuses_bucket(name)
        if refusal is not None:
            yield Held(name, *refusal, bucket="")
            return
        try:
            finding = self._find(self._zone, name)
            base = self._base(display(name), name, finding)
        except OSError as error:
            yield Held(name, *_unopened(error), bucket=display(name))
            return
        yield from self._tree(base)

    def _base(self, bucket: str, path: bytes, finding: Finding) -> Base:
        return Base(bucket, path, Mount.of(self._folders.folder(path)), finding.refusal, finding.leases)

    def _displaced(self, quarantine: bytes) -> Iterator[Found]:
        for slot in self._slots(quarantine + b"/" + DISPLACED):
            names, _ = self._list(slot)
            for name in names:
                refusal = self._ladder.refuses_bucket(name)
                path = slot + b"/" + name
                if refusal is not None:
                    yield Held(path, *refusal, bucket="")
                    continue
                # Where it lies is ours and on the quarantine's mount: nothing stands in the way of removing it.
                finding = Finding(name, quarantine, None, leases=True, proved=True)
                yield from self._tree(self._base(display(name), path, finding), displaced=True)

    def _slots(self, displaced: bytes) -> list[bytes]:
        """Return the little drop zones, those displaced first coming first."""
        names, _ = self._list(displaced)
        if not names:
            return []
        fd = self._folders.folder(displaced)
        aged = sorted((os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime_ns, name) for name in names)
        return [displaced + b"/" + name for _, name in aged]

    def _list(self, path: bytes) -> tuple[list[bytes], list[bytes]]:
        try:
            fd = open_listing(self._folders.folder(path))
        except (FileNotFoundError, NotADirectoryError):
            return [], []
        try:
            return _listing(fd)
        finally:
            os.close(fd)

    def _tree(self, base: Base, *, displaced: bool = False) -> Iterator[Found]:
        """Yield everything below `base`, without recursion: a tree may be as deep as a key is long."""
        waiting = [base.path]
        while waiting:
            path = waiting.pop()
            looked = self._look(path, base)
            if isinstance(looked, Refusal):
                yield Held(path, *looked, bucket=base.bucket)
                continue
            yield from self._files(looked, displaced=displaced)
            entered = []
            for name in looked.subfolders:
                below = looked.facts.path + name
                refusal = self._ladder.refuses_folder(base.key_of(below))
                if refusal is None:
                    entered.append(below)
                elif not self._zone.is_quarantine(below):
                    yield Held(below, *refusal, bucket=base.bucket)
            waiting.extend(reversed(entered))

    def _look(self, path: bytes, base: Base) -> Looked | Refusal:
        try:
            fd = self._folders.folder(path)
            if Mount.of(fd) != base.mount:
                return Refusal(Reason.MOUNT, "only a bucket's own folder may be a mount")
            listing_fd = open_listing(fd)
            try:
                return Looked(folder_facts(fd, listing_fd, path, base, self._zone.rights), fd, *_listing(listing_fd))
            finally:
                os.close(listing_fd)
        except OSError as error:
            return _unopened(error)

    def _files(self, looked: Looked, *, displaced: bool) -> Iterator[Found]:
        folder, fd = looked.facts, looked.fd
        removal = self._ladder.refuses_removal(folder)
        look = None if self._older or displaced else self._ladder.glance(folder, removal)
        young: Young | None = None
        for name in looked.names:
            try:
                seen = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                # Renamed or removed while we look: nothing is there to be held.
                continue
            sight = Sight.UNSURE if look is None else look(name, seen)
            if sight is Sight.FINISHED:
                yield Candidate(folder.bucket, folder.prefix + name, folder.path + name, Identity.of(seen))
            elif sight is Sight.UNSURE:
                yield self._judged(looked, name, seen, removal, displaced=displaced)
            elif young is None:
                young = Young(name, seen)
            else:
                young.add(name, seen)
                if young.files == MOST_TOLD_TOGETHER:
                    yield self._resting(looked, young)
                    young = None
        if young is not None:
            yield self._resting(looked, young)

    def _judged(self, looked: Looked, name: bytes, seen: os.stat_result, removal: Refusal | None, *, displaced: bool) -> Found:
        """Return what the rules say of one file."""
        bucket, older = looked.facts.bucket, self._older
        waits = bool(older) and (bucket, looked.facts.prefix + name) in older
        file = file_facts(looked.facts, looked.fd, name, seen, older=waits)
        if displaced:
            older.add((bucket, file.key))
        refusal = self._ladder.refuses_file(file, removal)
        if refusal is None:
            return Candidate(bucket, file.key, file.path, Identity.of(seen))
        return Held(file.path, *refusal, bucket, seen.st_size if stat.S_ISREG(seen.st_mode) else 0)

    def _resting(self, looked: Looked, young: Young) -> Held:
        first = file_facts(looked.facts, looked.fd, young.name, young.seen, older=False)
        return Held(first.path, *self._ladder.rests(first), looked.facts.bucket, young.bytes, young.files)


def _listing(fd: int) -> tuple[list[bytes], list[bytes]]:
    """Return the names of the folders in an open folder, and of everything else, each in order."""
    subfolders: list[bytes] = []
    others: list[bytes] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            (subfolders if entry.is_dir(follow_symlinks=False) else others).append(os.fsencode(entry.name))
    return sorted(subfolders), sorted(others)


def _unopened(error: OSError) -> Refusal:
    """Say why a folder cannot be looked into."""
    reason = Reason.UNREADABLE if isinstance(error, PermissionError) else of_errno(error)
    return Refusal(reason, f"the folder cannot be opened: {error.strerror}")
