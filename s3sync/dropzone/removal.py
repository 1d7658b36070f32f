"""Remove one chunk of originals in three moves: into the slots, a moment's wait, then each asked and unlinked, or given back.

*In*: under a read lease the original is compared, renamed, and looked at again, so nobody can have written between the two
looks, and the ctime the rename left is exactly known. The lease is let go at once. A client that came meanwhile waits for it in
`open` under the old name, so its file goes back before anything else happens. *The moment* lets an `open` that had found the
name, but not arrived at the file, arrive. *Asked*: does anybody write it, and is it still the file that was archived? Only then
it is unlinked. Holding the first lease until the unlink looks simpler and loses uploads: whoever waited would get the unlinked
file.

The same file is: same device, inode, size, mtime and ctime, before our rename as archived and after it as the rename left it.
Where only ctime differs (a chmod, a link, a rewrite with a forged mtime) the content is hashed again; equal bytes are released.
It is hashed too where it was found in a slot from an earlier attempt, and where no lease can be had and somebody might have
written between two looks; whoever has it open then is found by a look at all processes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from errno import EPERM
from functools import cache
from typing import NamedTuple

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.closing import Closer
from s3sync.dropzone.folders import READ, FolderCache
from s3sync.dropzone.reasons import FULL, Reason, of_errno
from s3sync.dropzone.slots import Kept, Original, Slots
from s3sync.dropzone.writers import Snapshot, Writing, lease_broken, snapshot, take_lease
from s3sync.dropzone.zone import DropZone

_BLOCK = 1 << 20


@dataclass(slots=True)
class Outcome:
    """What became of a chunk, counted while it happens."""

    released: int = 0
    folders: set[bytes] = field(default_factory=set)
    """Where those released had lain."""
    vanished: int = 0
    unleased: int = 0
    kept: list[Kept] = field(default_factory=list)


class Moved(NamedTuple):
    """An original in its slot: its state there, and whether that alone says that it is still what was archived."""

    original: Original
    renamed: Identity
    doubtful: bool


def remove_chunk(
    zone: DropZone, slots: Slots, originals: Sequence[Original], leftovers: Container[int], wait: Callable[[], object]
) -> Outcome:
    """Remove `originals`, whose files share a quarantine; `wait` lasts the moment. Never raises `OSError`.

    `leftovers` are the ordinals an earlier attempt had moved in already.
    """
    removal = _Removal(slots, leftovers)
    try:
        slots.note(originals)
    except OSError as error:
        # A full disk must not keep us from emptying it; the note is for a day that hardly ever comes.
        if error.errno not in FULL:
            removal.outcome.kept.extend(Kept(each.path, each.identity, of_errno(error), each.ordinal) for each in originals)
            return removal.outcome
    with zone.folders() as folders:
        moved = [moved for original in originals if (moved := removal.move(folders, original)) is not None]
    if moved:
        wait()
    look = cache(snapshot)
    with Closer() as closer:
        for each in moved:
            removal.settle(each, look, closer)
    return removal.outcome


class _Removal:
    """The moves for single originals."""

    def __init__(self, slots: Slots, leftovers: Container[int]) -> None:
        self._slots = slots
        self._leftovers = leftovers
        self.outcome = Outcome()

    def move(self, folders: FolderCache, original: Original) -> Moved | None:
        """Move an original into its slot; None where that was its end, whichever."""
        if original.ordinal in self._leftovers:
            return self._found(original)
        try:
            parent_fd, name = folders.parent(original.path)
            fd = os.open(name, READ, dir_fd=parent_fd)
        except OSError as error:
            reason = Reason.UNREADABLE if isinstance(error, PermissionError) else of_errno(error)
            self._left(original, original.identity, reason)
            return None
        try:
            return self._move_open(fd, parent_fd, name, original)
        finally:
            os.close(fd)

    def settle(self, moved: Moved, look: Callable[[], Snapshot], closer: Closer) -> None:
        """Remove what lies in the slot, or give it back; `closer` gets the descriptor of what was removed."""
        original = moved.original
        try:
            fd = os.open(b"%d" % original.ordinal, READ, dir_fd=self._slots.fd)
        except OSError as error:
            self._give_back(original, Reason.UNREADABLE if isinstance(error, PermissionError) else of_errno(error))
            return
        try:
            reason = self._removed(fd, moved, look)
        except OSError as error:
            reason = of_errno(error)
        if reason is None:
            closer.close(fd)
            self.outcome.released += 1
            self.outcome.folders.add(original.path.rpartition(b"/")[0])
        else:
            # Whoever waits for our lease may go on before anything else happens.
            os.close(fd)
            self._give_back(original, reason)

    def _move_open(self, fd: int, parent_fd: int, name: bytes, original: Original) -> Moved | None:
        """Move the open file `name` into its slot; closing it lets go of the lease."""
        refused = take_lease(fd)
        seen = os.fstat(fd)
        now = Identity.of(seen)
        if not stat.S_ISREG(seen.st_mode):
            self._left(original, None, Reason.VANISHED)
        elif not now.same_but_ctime(original.identity):
            self._left(original, now, Reason.CHANGED)
        elif refused is Writing.SOMEBODY:
            self._left(original, now, Reason.WRITER)
        else:
            try:
                after = self._slots.move_in(parent_fd, name, original.ordinal)
            except OSError as error:
                self._left(original, now, _why_not(error, parent_fd))
                return None
            if refused is None and lease_broken(fd):
                self._give_back(original, Reason.WRITER)
                return None
            seen_before = original.as_archived and now == original.identity
            return self._moved(original, after, doubtful=not seen_before or refused is not None)
        return None

    def _found(self, original: Original) -> Moved | None:
        """Take up what an earlier attempt left in the slot; what lies under the name by now is somebody's new file."""
        try:
            after = os.stat(b"%d" % original.ordinal, dir_fd=self._slots.fd, follow_symlinks=False)
        except OSError as error:
            self._left(original, original.identity, of_errno(error))
            return None
        return self._moved(original, after, doubtful=True)

    def _moved(self, original: Original, after: os.stat_result, *, doubtful: bool) -> Moved | None:
        renamed = Identity.of(after)
        if stat.S_ISREG(after.st_mode) and renamed.same_but_ctime(original.identity):
            return Moved(original, renamed, doubtful)
        # Between looking and renaming somebody else's file came to bear the name.
        self._give_back(original, Reason.CHANGED)
        return None

    def _removed(self, fd: int, moved: Moved, look: Callable[[], Snapshot]) -> Reason | None:
        """Unlink the open file if it may go; return why not. Raises `OSError`. Closing it lets go of the lease."""
        refused = take_lease(fd)
        if refused is Writing.SOMEBODY or (refused is not None and moved.renamed.file_id in look().writing):
            return Reason.WRITER
        now = Identity.of(os.fstat(fd))
        if moved.doubtful or now != moved.renamed:
            reason = _differs(fd, now, moved.original, leased=refused is None)
            if reason is not None:
                return reason
        if refused is None and lease_broken(fd):
            return Reason.WRITER
        os.unlink(b"%d" % moved.original.ordinal, dir_fd=self._slots.fd)
        self.outcome.unleased += refused is not None
        return None

    def _give_back(self, original: Original, reason: Reason) -> None:
        if reason is Reason.VANISHED:
            self.outcome.vanished += 1
        else:
            self.outcome.kept.append(self._slots.give_back(original.ordinal, original.path, reason))

    def _left(self, original: Original, now: Identity | None, reason: Reason) -> None:
        """Count an original that was not moved."""
        if reason is Reason.VANISHED:
            self.outcome.vanished += 1
        else:
            self.outcome.kept.append(Kept(original.path, now, reason, original.ordinal))


def _differs(fd: int, now: Identity, original: Original, *, leased: bool) -> Reason | None:
    """Say how the open file, seen as `now`, differs from what was archived; None where the bytes are the same."""
    if not now.same_but_ctime(original.identity):
        return Reason.CHANGED
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(fd, _BLOCK, offset):
        digest.update(block)
        offset += len(block)
        if leased and lease_broken(fd):
            return Reason.WRITER
    if digest.hexdigest() != original.sha256 or Identity.of(os.fstat(fd)) != now:
        return Reason.CHANGED
    return None


def _why_not(error: OSError, parent_fd: int | None) -> Reason:
    """Sort an error of the rename; a sticky folder and an immutable file give the same one."""
    if error.errno == EPERM and parent_fd is not None and os.fstat(parent_fd).st_mode & stat.S_ISVTX:
        return Reason.FOLDER_STICKY
    return of_errno(error)
