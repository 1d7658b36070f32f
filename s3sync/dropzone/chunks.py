"""A run of a batch's originals that go together, and what it takes to remove them in whatever process has time.

Removing is half of the work on a small file, and threads of one interpreter wait for each other more than for the disk; so a
chunk can be handed to another process, as plain tuples, and opens there for itself what it needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.folders import open_beneath
from s3sync.dropzone.quarantine import Unsafe, quarantine
from s3sync.dropzone.reasons import Reason, of_errno
from s3sync.dropzone.removal import Outcome, remove_chunk
from s3sync.dropzone.slots import Kept, Original, Slots
from s3sync.dropzone.zone import DropZone, ZoneAt

Sleep = Callable[[float], object]

_Row = tuple[int, bytes, tuple[int, int, int, int, int], str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Originals that share a quarantine, in path order; the batch's folder there has been made."""

    zone: ZoneAt
    quarantine: bytes
    batch_id: str
    leftovers: frozenset[int]
    """Those of their slots that were full when the release began."""
    rows: Sequence[_Row]
    moment_seconds: float
    prune: bool
    """Remove folders that are left empty, never a bucket's or a first-level one."""

    @staticmethod
    def packed(originals: Sequence[Original]) -> list[_Row]:
        """Return `originals` as what travels fastest."""
        return [(one.ordinal, one.path, one.identity[:], one.sha256, one.as_archived) for one in originals]

    def originals(self) -> list[Original]:
        """Return what was packed."""
        return [Original(number, path, Identity(*state), sha256, known) for number, path, state, sha256, known in self.rows]


class Removers(Protocol):
    """Processes that remove chunks, several at a time."""

    at_once: int

    def remove(self, chunk: Chunk, /) -> Future[Outcome]:
        """Begin to remove; the future raises `BrokenExecutor` where a worker died."""


def remove_elsewhere(chunk: Chunk, sleep: Sleep) -> Outcome:
    """Remove a chunk in a process that knows nothing but it. Raises `OSError` where the drop zone is not there any more."""
    with DropZone.at(chunk.zone) as zone:
        return remove(zone, chunk, sleep)


def remove(zone: DropZone, chunk: Chunk, sleep: Sleep) -> Outcome:
    """Open the quarantine and remove a chunk. Never raises `OSError`."""
    try:
        with quarantine(zone, chunk.quarantine) as fd, closing(Slots(zone, chunk.quarantine, fd, chunk.batch_id)) as slots:
            return remove_through(zone, slots, chunk, sleep)
    except OSError as error:
        return all_kept(chunk.originals(), Reason.QUARANTINE_UNSAFE if isinstance(error, Unsafe) else of_errno(error))


def remove_through(zone: DropZone, slots: Slots, chunk: Chunk, sleep: Sleep) -> Outcome:
    """Remove a chunk through open slots; what it leaves empty goes too where that is wanted. Never raises `OSError`."""
    originals = chunk.originals()
    outcome = remove_chunk(zone, slots, originals, chunk.leftovers, lambda: sleep(chunk.moment_seconds))
    for folder in sorted(outcome.folders, reverse=True):
        _prune(zone, folder, own=chunk.prune)
    return outcome


def all_kept(originals: Sequence[Original], reason: Reason) -> Outcome:
    """Return that none of `originals` was touched, and why."""
    return Outcome(kept=[Kept(each.path, each.identity, reason, each.ordinal) for each in originals])


def _prune(zone: DropZone, folder: bytes, *, own: bool) -> None:
    """Remove `folder` and those above it while they are empty; a little drop zone in quarantine always goes as a whole."""
    displaced = zone.drop_path(folder) != folder
    keep = folder.count(b"/") - zone.drop_path(folder).count(b"/") - 1 if displaced else 2
    if not (displaced or own):
        return
    names = folder.split(b"/")
    while len(names) > keep:
        try:
            parent_fd, name = open_beneath(zone.fd, b"/".join(names))
            try:
                os.rmdir(name, dir_fd=parent_fd)
            finally:
                os.close(parent_fd)
        except OSError:
            # Not empty, not there, not ours to remove: a folder more is no harm.
            return
        names.pop()
