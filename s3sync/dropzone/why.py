"""Why is this path left alone? Every rule with its verdict, in the order a scan asks them, and at last whether anybody writes.

What a scan finds out about one path, without walking to it through everything else, and without stopping at the first refusal.
Nothing is changed: the way into quarantine is foreseen, not tried; the file is opened as a member would be (no link followed,
no FIFO waited for) and a lease on it is asked for and let go at once. Whoever calls ignores lease signals first, see
`s3sync.dropzone.writers`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.folders import FolderCache, components, open_listing
from s3sync.dropzone.ladder import Ladder, Verdict
from s3sync.dropzone.opened import verdicts_of_open_file
from s3sync.dropzone.quarantine import Finding, foresee_quarantine
from s3sync.dropzone.reasons import Reason, Refusal, of_errno
from s3sync.dropzone.scan import Base, file_facts, folder_facts
from s3sync.dropzone.writers import Snapshot, snapshot
from s3sync.dropzone.zone import DISPLACED, DropZone, Mount
from s3sync.keys import display


class Kind(StrEnum):
    """What lies at a path."""

    FILE = "file"
    """Anything that is no folder."""
    FOLDER = "folder"
    MISSING = "missing"
    QUARANTINE = "quarantine"
    """Our own: what is in it is on its way out."""
    UNKNOWN = "unknown"
    """We may not look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Everything the ladder says of one path."""

    path: bytes
    """As `Candidate.path`."""
    kind: Kind
    bucket: str
    key: bytes
    verdicts: tuple[Verdict, ...]
    identity: Identity | None = None
    displaced: bool = False
    """It waits in quarantine, because its name was taken meanwhile."""

    @property
    def refusal(self) -> Verdict | None:
        """The verdict a scan would have stopped at; None where every rule is content."""
        return next((verdict for verdict in self.verdicts if not verdict.ok), None)

    @property
    def eligible(self) -> bool:
        """Tell whether a pass would take it up, or enter it."""
        return self.kind in {Kind.FILE, Kind.FOLDER} and self.refusal is None


def explain(zone: DropZone, ladder: Ladder, path: bytes, *, look: Callable[[], Snapshot] = snapshot) -> Explained:
    """Return what every rule says of `path`, relative to the root (absolute only for a quarantine outside it).

    `look` is asked for open files where leases do not work. Raises `OSError` for a path no listing could have shown (EINVAL).
    """
    with zone.folders() as folders:
        return _Question(zone, ladder, folders, path, look).answer()


class _End(Exception):
    """There is nothing more to be found out."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind = kind


class _Question:
    """One path, being looked at."""

    def __init__(self, zone: DropZone, ladder: Ladder, folders: FolderCache, path: bytes, look: Callable[[], Snapshot]) -> None:
        components(path)
        self._zone = zone
        self._ladder = ladder
        self._folders = folders
        self._path = path
        self._look = look
        inner = zone.drop_path(path)
        self._home = path[: len(path) - len(inner)]
        """What comes before `<bucket>/<key>`: a slot of displaced files, or nothing."""
        self._bucket, _, self._key = inner.partition(b"/")
        self._verdicts: list[Verdict] = []
        self._identity: Identity | None = None

    def answer(self) -> Explained:
        try:
            self._go()
            kind = self._last()
        except _End as end:
            kind = end.kind
        return Explained(
            path=self._path,
            kind=kind,
            bucket=display(self._bucket),
            key=self._key,
            verdicts=tuple(_one_a_rule(self._verdicts)),
            identity=self._identity,
            displaced=bool(self._home),
        )

    def _go(self) -> None:
        """Judge the bucket and every folder on the way."""
        if not self._home and self._in_quarantine():
            raise _End(Kind.QUARANTINE)
        self._verdicts += self._ladder.bucket_verdicts(self._bucket)
        if not self._key:
            return
        self._base = self._opened_base()
        way = self._key.split(b"/")[:-1]
        keys = [b"/".join(way[:depth]) for depth in range(1, len(way) + 1)]
        self._verdicts += _first_refusals((key, self._ladder.folder_verdicts(key)) for key in keys)
        for key in keys:
            self._enter(self._base.path + b"/" + key)

    def _last(self) -> Kind:
        """Judge what the path names."""
        try:
            parent_fd, name = self._folders.parent(self._path)
            seen = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except OSError as error:
            raise self._stopped(error, self._path) from error
        if stat.S_ISDIR(seen.st_mode):
            return self._folder()
        if not self._key:
            self._refuse(*_in_root(seen))
            return Kind.FILE
        return self._file(name)

    def _folder(self) -> Kind:
        if self._key:
            self._verdicts = _with(self._verdicts, self._key, self._ladder.folder_verdicts(self._key))
        else:
            self._base = self._opened_base()
        self._enter(self._path)
        fd = self._folders.folder(self._path)
        listing_fd = open_listing(fd)
        try:
            facts = folder_facts(fd, listing_fd, self._path, self._base, self._zone.rights)
        finally:
            os.close(listing_fd)
        self._verdicts += self._ladder.removal_verdicts(facts)
        return Kind.FOLDER

    def _file(self, name: bytes) -> Kind:
        older = self._older_waits()
        folder_path = self._path.rpartition(b"/")[0]
        fd = self._folders.folder(folder_path)
        try:
            listing_fd = open_listing(fd)
            try:
                folder = folder_facts(fd, listing_fd, folder_path, self._base, self._zone.rights)
            finally:
                os.close(listing_fd)
            seen = os.stat(name, dir_fd=fd, follow_symlinks=False)
            file = file_facts(folder, fd, name, seen, older=older)
        except OSError as error:
            raise self._stopped(error, self._path) from error
        self._identity = file.identity
        self._verdicts += self._ladder.file_verdicts(file)
        if stat.S_ISREG(file.stat.st_mode):
            self._verdicts += verdicts_of_open_file(fd, name, self._look)
        return Kind.FILE

    def _in_quarantine(self) -> bool:
        names = self._path.split(b"/")
        return any(self._zone.is_quarantine(b"/".join(names[:depth])) for depth in range(1, len(names) + 1))

    def _opened_base(self) -> Base:
        path = self._home + self._bucket
        try:
            finding = self._finding()
            mount = Mount.of(self._folders.folder(path))
        except OSError as error:
            raise self._stopped(error, path) from error
        return Base(display(self._bucket), path, mount, finding.refusal, finding.leases)

    def _finding(self) -> Finding:
        if self._home:
            return Finding(self._bucket, self._zone.quarantine_of(self._path), None, leases=True, proved=True)
        return foresee_quarantine(self._zone, self._bucket)

    def _enter(self, path: bytes) -> None:
        """Refuse a folder that cannot be listed or is a mount."""
        try:
            fd = self._folders.folder(path)
            os.close(open_listing(fd))
            if Mount.of(fd) != self._base.mount:
                self._refuse(Reason.MOUNT, f"{display(path)} is a mount of its own, below the bucket's folder")
        except OSError as error:
            raise self._stopped(error, path) from error

    def _stopped(self, error: OSError, path: bytes) -> _End:
        """Say what stands in the way of looking any further."""
        if error.errno == errno.ENOENT:
            return _End(Kind.MISSING)
        if error.errno == errno.ENOTDIR:
            self._refuse(Reason.SYMLINK, f"{display(path)} is a link or no folder; links are not followed")
            return _End(Kind.MISSING if self._lies_below_a_file(path) else Kind.UNKNOWN)
        reason = Reason.UNREADABLE if isinstance(error, PermissionError) else of_errno(error)
        self._refuse(reason, f"{display(path)} cannot be opened: {error.strerror}")
        return _End(Kind.UNKNOWN)

    def _lies_below_a_file(self, path: bytes) -> bool:
        """Tell whether a regular file stands where a folder would be: nothing can lie below it."""
        try:
            parent_fd, name = self._folders.parent(path)
            return stat.S_ISREG(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode)
        except OSError:
            return True

    def _refuse(self, reason: Reason, detail: str) -> None:
        """Add what no rule of the tables says, because a scan finds it on its way: it goes by the reason's name."""
        self._verdicts.append(Verdict(reason.value, ok=False, detail=detail, reason=reason))

    def _older_waits(self) -> bool:
        """Tell whether an older file of the same key waits displaced in a quarantine."""
        inner = self._bucket + b"/" + self._key
        waiting: list[tuple[int, bytes]] = []
        for quarantine in self._zone.quarantines():
            displaced = quarantine + b"/" + DISPLACED
            waiting += [(age, path) for age, path in self._slots(displaced) if self._exists(path + inner)]
        mine = [age for age, path in waiting if path == self._home]
        return any(path != self._home and (not mine or age < mine[0]) for age, path in waiting)

    def _slots(self, displaced: bytes) -> list[tuple[int, bytes]]:
        try:
            fd = open_listing(self._folders.folder(displaced))
        except FileNotFoundError:
            return []
        try:
            with os.scandir(fd) as entries:
                names = [os.fsencode(entry.name) for entry in entries]
            seen = [(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime_ns, name) for name in names]
            return [(age, displaced + b"/" + name + b"/") for age, name in seen]
        finally:
            os.close(fd)

    def _exists(self, path: bytes) -> bool:
        try:
            parent_fd, name = self._folders.parent(path)
            os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except OSError:
            return False
        return True


def _one_a_rule(verdicts: list[Verdict]) -> list[Verdict]:
    """Leave one verdict for a rule that was asked of the folders and of the file: the refusal, where there is one."""
    merged: dict[str, Verdict] = {}
    for verdict in verdicts:
        if verdict.rule not in merged or merged[verdict.rule].ok:
            merged[verdict.rule] = verdict
    return list(merged.values())


def _in_root(seen: os.stat_result) -> Refusal:
    if stat.S_ISLNK(seen.st_mode):
        return Refusal(Reason.SYMLINK, "a bucket's folder must be a folder; links are not followed")
    return Refusal(Reason.BUCKET_NAME, "what lies directly in the drop zone belongs to no bucket")


def _first_refusals(levels: Iterable[tuple[bytes, list[Verdict]]]) -> list[Verdict]:
    """Return one verdict a rule for all folders on the way: the first refusal, and which folder it is about."""
    merged: list[Verdict] = []
    for key, verdicts in levels:
        merged = _with(merged, key, verdicts)
    return merged


def _with(verdicts: list[Verdict], key: bytes, more: list[Verdict]) -> list[Verdict]:
    """Add what the folder rules say of one more folder to what they said of those above it."""
    merged = {verdict.rule: verdict for verdict in verdicts}
    for verdict in more:
        before = merged.get(verdict.rule)
        if before is None or before.ok:
            detail = verdict.detail if verdict.ok else f"folder {display(key)}: {verdict.detail}"
            merged[verdict.rule] = verdict._replace(detail=detail)
    return list(merged.values())
