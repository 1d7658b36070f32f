"""The spool: where archives are built, one private subfolder a batch, and never more bytes than its limit.

A batch takes its planned bytes from the budget before it is built and gives them back when its tar is gone. Where there is
no room, by the limit or on the disk itself, the planner waits, and the files stay where they are: leaving files alone is the
only back-pressure. The folder's content is never trusted after a restart: a tar is used again only if it still has the
checksum that was journalled for it.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from s3batch.model import SpooledArchive
from s3batch.pack.names import BATCH_ID
from s3sync.errors import Transient
from s3sync.store.checksum import of_fd

LISTS_BYTES_PER_MEMBER = 512
"""What member list and manifest of one member may take beside the tar (keys of a few hundred bytes)."""

_POLL_SECONDS = 1.0


class Spool:
    """The spool folder and its budget. Thread-safe."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Use `folder` (made if missing, private) for at most `limit_bytes`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = folder
        self.limit_bytes = limit_bytes
        self._taken: dict[str, int] = {}
        self._changed = threading.Condition()

    def folder(self, batch: str) -> Path:
        """Return the subfolder of `batch`."""
        return self.root / batch

    @property
    def taken_bytes(self) -> int:
        """The bytes batches have taken from the budget."""
        with self._changed:
            return sum(self._taken.values())

    def taken_by(self, batch: str) -> int:
        """Return the bytes `batch` has taken from the budget."""
        with self._changed:
            return self._taken.get(batch, 0)

    def wait_for_room(self, needed_bytes: int, *, or_when: Callable[[], bool]) -> bool:
        """Wait until there is room for `needed_bytes`; give up and return False once `or_when()` says so.

        Raises `Transient` where the spool's folder is gone.

        Only one thread plans, so what is free now is still free when it takes it. A batch that needs more than the whole limit
        waits until it is alone; the ladder holds what can never fit.
        """
        with self._changed:
            while not self.has_room(needed_bytes):
                if or_when():
                    return False
                self._changed.wait(_POLL_SECONDS)
        return True

    def has_room(self, needed_bytes: int, *, without: Collection[str] = ()) -> bool:
        """Tell whether limit and disk have room for `needed_bytes` now, or would have it without some batches.

        What was taken and is not written yet is as good as gone from the disk. Raises `Transient` where that cannot be asked.
        """
        with self._changed:
            kept = {batch: taken for batch, taken in self._taken.items() if batch not in without}
        taken = sum(kept.values())
        within_limit = not kept or taken + needed_bytes <= self.limit_bytes
        return within_limit and self.free_bytes() + self._lying_bytes() >= taken + needed_bytes

    def free_bytes(self) -> int:
        """Return what the disk still takes of us. Raises `Transient` where it cannot be asked, as where the folder is gone."""
        try:
            seen = os.statvfs(self.root)
        except OSError as error:
            hint = "Mount or make it again; it is not made by itself, for it may have been a disk of its own"
            raise Transient(f"spool {self.root}", f"cannot be used: {error.strerror}", hint) from error
        return seen.f_bavail * seen.f_frsize

    def written_bytes(self) -> int:
        """Return how long our files are together; what goes while we look, and a spool that has gone, count nothing."""
        written = 0
        with suppress(OSError):
            for folder in os.listdir(self.root):
                with suppress(OSError), os.scandir(self.root / folder) as files:
                    written += sum(file.stat(follow_symlinks=False).st_size for file in files)
        return written

    def _lying_bytes(self) -> int:
        """Return what our files take of the disk; what goes while we look, file or folder, takes nothing."""
        lying = 0
        for folder in os.listdir(self.root):
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.root / folder) as files:
                for file in files:
                    with suppress(FileNotFoundError):
                        lying += file.stat(follow_symlinks=False).st_blocks * 512
        return lying

    def take(self, batch: str, needed_bytes: int) -> None:
        """Count `needed_bytes` against the limit until the batch gives them back."""
        with self._changed:
            self._taken[batch] = needed_bytes

    def adopt(self, batch: str) -> None:
        """Count what a batch of an earlier run lies here with."""
        with self._changed:
            self._taken[batch] = sum(file.stat().st_size for file in self.folder(batch).glob("*"))

    def drop_tar(self, archive: SpooledArchive) -> None:
        """Remove the tar of a stored archive; its lists stay and cost what they cost."""
        archive.tar.unlink(missing_ok=True)
        self._give_back(archive.reservation.id, archive.members * LISTS_BYTES_PER_MEMBER)

    def discard(self, batch: str) -> None:
        """Remove everything of `batch`."""
        if self.folder(batch).exists():
            shutil.rmtree(self.folder(batch))
        self._give_back(batch, 0)

    def sweep(self, known: Collection[str]) -> list[str]:
        """Remove folders of batches that are not `known`; return the names. At the start, before anything is built.

        Whatever is not named as a batch was never ours, and may be the only copy of something: it stays.
        """
        with os.scandir(self.root) as entries:
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        strays = [name for name in folders if BATCH_ID.fullmatch(name) and name not in known]
        for name in strays:
            shutil.rmtree(self.root / name)
        return strays

    def holds_whole(self, archive: SpooledArchive, between_blocks: Callable[[], None]) -> bool:
        """Tell whether the tar is still the one whose size and checksum were journalled.

        `between_blocks` is called as it is read, and may raise.
        """
        try:
            fd = os.open(archive.tar, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return (
                os.fstat(fd).st_size == archive.size
                and of_fd(fd, archive.size, between_blocks=between_blocks).base64() == archive.crc64nvme
            )
        except OSError as error:
            raise Transient(str(archive.tar), f"cannot be read: {error.strerror}", "Check the spool's disk") from error
        finally:
            os.close(fd)

    def _give_back(self, batch: str, keep_bytes: int) -> None:
        with self._changed:
            if keep_bytes:
                self._taken[batch] = keep_bytes
            else:
                self._taken.pop(batch, None)
            self._changed.notify_all()


def needed_bytes(planned_bytes: int, members: int) -> int:
    """Return what a batch takes in the spool: its tar, member list and manifest."""
    return planned_bytes + members * LISTS_BYTES_PER_MEMBER
