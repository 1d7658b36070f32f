"""The places of one batch in quarantine: an original is moved into its slot, and back out where it must not be removed.

A slot is `<quarantine>/<batch id>/<ordinal>`. Beside the slots lies `origins`, which says where each came from, for the day the
journal and the member list are lost; it is not flushed, because only a power cut together with that loss would miss it, and
even then every byte is still in its slot.

A full disk must not keep us from emptying it. Where no folder can be made any more, the batch's is the quarantine's spare one,
which every batch leaves behind; where nothing can be noted, it is done without (`s3sync.dropzone.removal`).

Going back never replaces: where the name was taken meanwhile, the file becomes a little drop zone of its own,
`<quarantine>/displaced/<batch id>.<ordinal>/<bucket>/<key>`, and is archived from there as a version. Where even that fails, it
stays in its slot, and `s3sync.dropzone.recover` tries again.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, Self

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.folders import LIST, make_beneath
from s3sync.dropzone.reasons import FULL, Reason, of_errno
from s3sync.dropzone.syscalls import rename_no_replace
from s3sync.dropzone.zone import DISPLACED, SPARE, DropZone

ORIGINS = b"origins"

_NO_PROMISE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""How a filesystem says that it cannot rename without replacing (NFS, some FUSE)."""

_PATIENCE = 3
"""How often a folder may disappear under our hands before the file is displaced instead."""


class Original(NamedTuple):
    """A file that was archived: its number in the batch, where it lay, its state then, and its SHA-256 in lower-case hex."""

    ordinal: int
    path: bytes
    identity: Identity
    sha256: str
    as_archived: bool = True
    """Whether `identity` is the state in which it was archived. Of one that a release left behind only a later state is known,
    and whatever was done to it before that, with the size and time it had, shows in nothing but its bytes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that was not removed: where it lies now, in which state, and why."""

    path: bytes
    identity: Identity | None
    """None where it could not be looked at."""
    reason: Reason
    ordinal: int = field(default=0, compare=False)
    """Its number in the batch."""


class Slots:
    """The open folder of one batch in one quarantine. Used by several processes at once, each with its own ordinals."""

    def __init__(self, zone: DropZone, quarantine: bytes, quarantine_fd: int, batch_id: str) -> None:
        """Open the batch's folder, which is there. `quarantine_fd` stays the caller's. Raises `OSError`."""
        self._zone = zone
        self._quarantine = quarantine
        self._quarantine_fd = quarantine_fd
        self._batch = os.fsencode(batch_id)
        self.fd = os.open(self._batch, LIST, dir_fd=quarantine_fd)

    @classmethod
    def begin(cls, zone: DropZone, quarantine: bytes, quarantine_fd: int, batch_id: str) -> Self:
        """Open the batch's folder, making it where it is missing, before anybody moves anything in. Raises `OSError`."""
        _make(os.fsencode(batch_id), quarantine_fd)
        slots = cls(zone, quarantine, quarantine_fd, batch_id)
        slots._mend_note()
        return slots

    def leftovers(self) -> frozenset[int]:
        """Return which slots are full: when a release begins, those of somebody who died between moving in and removing."""
        return frozenset(self._ordinals())

    def close(self) -> None:
        """Close the folder."""
        os.close(self.fd)

    def end(self) -> None:
        """Make the folder the spare one if nothing is left in a slot. Nobody may be at work in it. Raises `OSError`."""
        if {*os.listdir(self.fd)} <= {os.fsdecode(ORIGINS)}:
            with suppress(FileNotFoundError):
                os.unlink(ORIGINS, dir_fd=self.fd)
            self._put_aside()

    def _mend_note(self) -> None:
        """Cut off what somebody who died wrote of a line: the next would be read for the rest of it."""
        try:
            fd = os.open(ORIGINS, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return
        with open(fd, "rb+") as file:
            content = file.read()
            *fields, rest = content.split(b"\0")
            torn = len(rest) + (len(fields[-1]) + 1 if len(fields) % 2 else 0)
            if torn:
                file.truncate(len(content) - torn)

    def _put_aside(self) -> None:
        try:
            os.rename(self._batch, SPARE, src_dir_fd=self._quarantine_fd, dst_dir_fd=self._quarantine_fd)
        except OSError:
            # Whatever somebody has put under that name is in nobody's way.
            os.rmdir(self._batch, dir_fd=self._quarantine_fd)

    def note(self, originals: Iterable[Original]) -> None:
        """Remember where `originals` lie before they are moved, all of them or none. Raises `OSError`."""
        lines = b"".join(b"%d\0%b\0" % (original.ordinal, original.path) for original in originals)
        fd = os.open(ORIGINS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        with open(fd, "ab", buffering=0) as file:
            # Others append as well; closing lets go.
            fcntl.flock(fd, fcntl.LOCK_EX)
            before = os.fstat(fd).st_size
            try:
                while lines:
                    lines = lines[file.write(lines) :]
            except OSError:
                # With half a line in between, the next would be read for the rest of it.
                file.truncate(before)
                raise

    def origins(self) -> dict[int, bytes]:
        """Return what was noted: ordinals to paths. A line cut off by a crash is left out. Raises `OSError`."""
        try:
            fd = os.open(ORIGINS, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return {}
        with open(fd, "rb") as file:
            *fields, _ = file.read().split(b"\0")
        return {int(ordinal): path for ordinal, path in zip(fields[::2], fields[1::2], strict=False)}

    def path(self, ordinal: int) -> bytes:
        """Return where a slot lies, as a path of the zone."""
        return b"%b/%b/%d" % (self._quarantine, self._batch, ordinal)

    def move_in(self, parent_fd: int, name: bytes, ordinal: int) -> os.stat_result:
        """Move `name` of an open folder into its slot and return what lies there then. Raises `OSError`, `FileExistsError`."""
        slot = b"%d" % ordinal
        try:
            rename_no_replace(parent_fd, name, self.fd, slot)
        except OSError as error:
            if error.errno not in _NO_PROMISE:
                raise
            # Nobody but us can put anything into our own folder, so looking first is enough.
            self._rename_if_free(parent_fd, name, slot)
        return os.stat(slot, dir_fd=self.fd, follow_symlinks=False)

    def give_back(self, ordinal: int, path: bytes, reason: Reason) -> Kept:
        """Move what lies in a slot back to `path`, or displace it, or leave it; say where it lies now. Raises nothing."""
        before = self._zone.state_at(self.path(ordinal))
        try:
            place = self._back(ordinal, path) or self._displace(ordinal, path)
        except OSError as error:
            return Kept(self.path(ordinal), before, of_errno(error), ordinal)
        now = self._zone.state_at(place)
        # Where somebody has replaced it already, what they put there is a new file.
        same = now is not None and before is not None and now.file_id == before.file_id
        return Kept(place, now if same else before, reason, ordinal)

    def _back(self, ordinal: int, path: bytes) -> bytes | None:
        """Return `path` where the file is back, None where it cannot go there."""
        for _ in range(_PATIENCE):
            try:
                parent_fd, name = make_beneath(self._zone.fd, path)
                try:
                    return path if self._move_out(b"%d" % ordinal, parent_fd, name) else None
                finally:
                    os.close(parent_fd)
            except FileNotFoundError:
                # The folder went away between opening it and moving into it.
                continue
            except OSError:
                # What stands in the way there need not do so in quarantine; what does, `_displace` raises.
                return None
        return None

    def _move_out(self, slot: bytes, parent_fd: int, name: bytes) -> bool:
        """Tell whether the file bears its own name again; False where another one does."""
        try:
            rename_no_replace(self.fd, slot, parent_fd, name)
        except FileExistsError:
            return self._was_out(slot, parent_fd, name)
        except OSError as error:
            if error.errno not in _NO_PROMISE:
                raise
            return self._link_out(slot, parent_fd, name)
        return True

    def _link_out(self, slot: bytes, parent_fd: int, name: bytes) -> bool:
        """Do the same where the filesystem has no such rename: a link replaces nothing either."""
        try:
            os.link(slot, name, src_dir_fd=self.fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except FileExistsError:
            return self._was_out(slot, parent_fd, name)
        os.unlink(slot, dir_fd=self.fd)
        return True

    def _was_out(self, slot: bytes, parent_fd: int, name: bytes) -> bool:
        """Tell whether the name in the way is the very file, linked by somebody who died before they could finish."""
        in_slot = os.stat(slot, dir_fd=self.fd, follow_symlinks=False)
        outside = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if (in_slot.st_dev, in_slot.st_ino) != (outside.st_dev, outside.st_ino):
            return False
        os.unlink(slot, dir_fd=self.fd)
        return True

    def _displace(self, ordinal: int, path: bytes) -> bytes:
        """Make the file a little drop zone of its own and return where it lies. Raises `OSError`."""
        name, home_fd = self._new_home(ordinal)
        try:
            inner = self._zone.drop_path(path)
            parent_fd, leaf = make_beneath(home_fd, inner)
            try:
                os.rename(b"%d" % ordinal, leaf, src_dir_fd=self.fd, dst_dir_fd=parent_fd)
            finally:
                os.close(parent_fd)
        finally:
            os.close(home_fd)
        return b"/".join((self._quarantine, DISPLACED, name, inner))

    def _new_home(self, ordinal: int) -> tuple[bytes, int]:
        """Return the name and descriptor of a folder below `displaced` that nobody had before."""
        with suppress(FileExistsError):
            os.mkdir(DISPLACED, 0o700, dir_fd=self._quarantine_fd)
        displaced_fd = os.open(DISPLACED, LIST, dir_fd=self._quarantine_fd)
        wanted = b"%b.%d" % (self._batch, ordinal)
        try:
            for attempt in count():
                name = wanted if attempt == 0 else b"%b.%d" % (wanted, attempt)
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=displaced_fd)
                    return name, os.open(name, LIST, dir_fd=displaced_fd)
        finally:
            os.close(displaced_fd)
        raise AssertionError("unreachable: count() does not end")

    def _rename_if_free(self, parent_fd: int, name: bytes, slot: bytes) -> None:
        if any(ordinal == int(slot) for ordinal in self._ordinals()):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), slot)
        os.rename(name, slot, src_dir_fd=parent_fd, dst_dir_fd=self.fd)

    def _ordinals(self) -> Iterator[int]:
        return (int(name) for name in os.listdir(self.fd) if name.isdigit())


def _make(batch: bytes, quarantine_fd: int) -> None:
    """Make a batch's folder where it is missing; where the disk has no room for it, use the spare one."""
    try:
        os.mkdir(batch, 0o700, dir_fd=quarantine_fd)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in FULL:
            raise
        with suppress(FileNotFoundError):
            os.rename(SPARE, batch, src_dir_fd=quarantine_fd, dst_dir_fd=quarantine_fd)
            return
        raise
