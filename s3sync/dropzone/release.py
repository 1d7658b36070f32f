"""Remove the originals of what is proved to be in S3, and nothing else.

The work on each file is in `s3sync.dropzone.removal`, where they go meanwhile in `s3sync.dropzone.slots`; here is the whole
batch: in chunks along its folders, by several threads, each error one member's own and the others going on, and everything on
disk before it returns. The same call, repeated after a crash, finishes what was begun.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from s3sync.dropzone.folders import open_beneath
from s3sync.dropzone.quarantine import Unsafe, quarantine
from s3sync.dropzone.reasons import Reason, of_errno
from s3sync.dropzone.removal import Outcome, remove_chunk
from s3sync.dropzone.slots import Kept, Original, Slots
from s3sync.dropzone.syscalls import flush_filesystem
from s3sync.dropzone.zone import DISPLACED, SPARE, DropZone
from s3sync.store.proof import Proof

MOMENT_SECONDS = 0.01
"""How long an `open` may take from finding the name to arriving at the file. Without a wait uploads were lost; with half of
this none were in 15,800 releases against a racing writer."""

CHUNK = 1000
"""Members that share one moment, one look at the open files and one walk; also what one thread remembers at a time."""

Sleep = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """What became of a batch's originals."""

    released: int
    vanished: int
    """Gone before we came: removed by somebody else, or by us before a crash."""
    kept: tuple[Kept, ...]
    """Not removed. `changed` and `writer` are archived anew; other reasons stand until the file or its folder changes."""
    unleased: int
    """Released although no lease could prove that nobody writes, only a look at the processes we may look into."""


def release(
    zone: DropZone,
    batch_id: str,
    members: Iterable[Original],
    proof: Proof,
    *,
    sleep: Sleep,
    threads: int = 4,
    moment_seconds: float = MOMENT_SECONDS,
    chunk: int = CHUNK,
    prune: bool = False,
    flush: Callable[[int], object] = flush_filesystem,
) -> ReleaseReport:
    """Remove `members`, in path order, on the strength of `proof`: what they are in is exactly what S3 holds.

    `threads` 1 does everything in the calling thread. `prune` removes folders the release left empty, never a bucket's or a
    first-level one. `flush` makes everything of a filesystem durable, given a descriptor on it; who can do without certainty
    (an original that comes back with the power is recognised and released again) hands in something quicker. Repeating a
    release is harmless. Raises `OSError` where the disk cannot be flushed: nothing is certain then, call again.
    """
    if not isinstance(proof, Proof):
        raise TypeError("nothing is released without a proof")
    if batch_id in {"", ".", "..", os.fsdecode(DISPLACED), os.fsdecode(SPARE)} or "/" in batch_id:
        raise ValueError(f"not the id of a batch: {batch_id!r}")
    total, released = Outcome(), 0
    with ExitStack() as leaving:
        batch = _Batch(zone, batch_id, lambda: sleep(moment_seconds), leaving, prune=prune, flush=flush)
        jobs = (partial(batch.remove, *part) for part in batch.chunks(members, chunk))
        for outcome in _done(jobs, threads):
            released += len(outcome.released)
            total.vanished += outcome.vanished
            total.unleased += outcome.unleased
            total.kept.extend(outcome.kept)
    return ReleaseReport(released, total.vanished, tuple(total.kept), total.unleased)


class _Batch:
    """One batch on its way out, and the quarantines it passes through."""

    def __init__(
        self,
        zone: DropZone,
        batch_id: str,
        wait: Callable[[], object],
        leaving: ExitStack,
        *,
        prune: bool,
        flush: Callable[[int], object],
    ) -> None:
        self._zone = zone
        self._batch_id = batch_id
        self._wait = wait
        self._leaving = leaving
        self._prune = prune
        self._flush = flush
        self._slots: dict[bytes, Slots | Reason] = {}
        self._of_bucket: dict[bytes, bytes] = {}

    def chunks(self, members: Iterable[Original], size: int) -> Iterator[tuple[Slots | Reason, list[Original]]]:
        """Yield runs of members that share a quarantine, with the batch's slots there or the reason there are none.

        A run ends where it is long enough and the folder ends, or where it is twice as long: two threads in one folder wait
        for each other.
        """
        run: list[Original] = []
        last = folder = here = b""
        for member in members:
            folder = member.path.rpartition(b"/")[0]
            there = here if run and folder == last else self._quarantine_of(member.path)
            full = len(run) >= size * 2 or (len(run) >= size and folder != last)
            if run and (full or there != here):
                yield self._slots_in(here), run
                run = []
            run.append(member)
            last, here = folder, there
        if run:
            yield self._slots_in(here), run

    def remove(self, slots: Slots | Reason, originals: list[Original]) -> Outcome:
        """Remove one chunk; what it leaves empty goes too where that is wanted. Never raises `OSError`."""
        if isinstance(slots, Reason):
            return Outcome(kept=[Kept(each.path, each.identity, slots) for each in originals])
        outcome = remove_chunk(self._zone, slots, originals, self._wait)
        folders = {original.path.rpartition(b"/")[0] for original in outcome.released}
        for folder in sorted(folders, reverse=True):
            _prune(self._zone, folder, own=self._prune)
        return outcome

    def _quarantine_of(self, path: bytes) -> bytes:
        top = path.partition(b"/")[0]
        if self._zone.drop_path(path) != path or top not in self._of_bucket:
            try:
                found = self._zone.quarantine_of(path)
            except OSError:
                # The bucket folder cannot be opened; what was moved from it can only be where everything else is.
                found = self._zone.explicit or self._zone.quarantine_name
            if self._zone.drop_path(path) != path:
                return found
            self._of_bucket[top] = found
        return self._of_bucket[top]

    def _slots_in(self, path: bytes) -> Slots | Reason:
        if path not in self._slots:
            self._slots[path] = self._opened(path)
        return self._slots[path]

    def _opened(self, path: bytes) -> Slots | Reason:
        try:
            fd = self._leaving.enter_context(quarantine(self._zone, path))
            slots = Slots(self._zone, path, fd, self._batch_id)
        except Unsafe:
            return Reason.QUARANTINE_UNSAFE
        except OSError as error:
            return of_errno(error)
        # Left in this order: slots closed and their folder removed, all of it flushed, quarantine closed. Renames stay within
        # one filesystem, so flushing the quarantine's flushes the folders they came from.
        self._leaving.callback(self._flush, fd)
        self._leaving.callback(slots.close)
        return slots


def _done(jobs: Iterable[Callable[[], Outcome]], threads: int) -> Iterator[Outcome]:
    """Yield what each job returns, in order, with a few of them ahead: members are read as they are needed."""
    if threads <= 1:
        for job in jobs:
            yield job()
        return
    ahead: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="release") as pool:
        for job in jobs:
            ahead.append(pool.submit(job))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


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
