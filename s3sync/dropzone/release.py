"""Remove the originals of what is proved to be in S3, and nothing else.

The work on each file is in `s3sync.dropzone.removal`, where they go meanwhile in `s3sync.dropzone.slots`; here is the whole
batch: in chunks along its folders, by several processes where there are some, each error one member's own and the others going
on, and everything on disk before it returns. The same call, repeated after a crash, finishes what was begun.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple, Self

from s3sync.dropzone.chunks import Chunk, Removers, Sleep, all_kept, remove_through
from s3sync.dropzone.quarantine import Unsafe, quarantine
from s3sync.dropzone.reasons import Reason, of_errno
from s3sync.dropzone.removal import Outcome
from s3sync.dropzone.slots import Kept, Original, Slots
from s3sync.dropzone.syscalls import flush_filesystem
from s3sync.dropzone.zone import DISPLACED, SPARE, DropZone
from s3sync.store.proof import Proof

MOMENT_SECONDS = 0.01
"""How long an `open` may take from finding the name to arriving at the file. Without a wait uploads were lost; with half of
this none were in 15,800 releases against a racing writer."""

CHUNK = 1000
"""Members that share one moment, one look at the open files and one walk; also what one process remembers at a time."""


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
    removers: Removers | None = None,
    moment_seconds: float = MOMENT_SECONDS,
    chunk: int = CHUNK,
    prune: bool = False,
    flush: Callable[[int], object] = flush_filesystem,
) -> ReleaseReport:
    """Remove `members`, in path order, on the strength of `proof`: what they are in is exactly what S3 holds.

    Without `removers`, and where there is but one chunk, everything is done in the calling thread. `prune` removes folders the
    release left empty, never a bucket's or a first-level one. `flush` makes everything of a filesystem durable, given a
    descriptor on it; who can do without certainty (an original that comes back with the power is recognised and released
    again) hands in something quicker. Repeating a release is harmless. Raises `OSError` where the disk cannot be flushed or the
    drop zone is gone, and `BrokenExecutor` where a remover died: nothing is certain then, call again.
    """
    if not isinstance(proof, Proof):
        raise TypeError("nothing is released without a proof")
    if batch_id in {"", ".", "..", os.fsdecode(DISPLACED), os.fsdecode(SPARE)} or "/" in batch_id:
        raise ValueError(f"not the id of a batch: {batch_id!r}")
    released = vanished = unleased = 0
    kept: list[Kept] = []
    with _Batch(zone, batch_id, moment_seconds, prune=prune) as batch:
        jobs = batch.chunks(members, chunk)
        for outcome in _done(jobs, removers, lambda job: remove_through(zone, batch.slots(job), job, sleep)):
            released += outcome.released
            vanished += outcome.vanished
            unleased += outcome.unleased
            kept.extend(outcome.kept)
        batch.end(flush)
    return ReleaseReport(released, vanished, tuple(kept), unleased)


def release_each(
    zone: DropZone,
    batch_id: str,
    proved: Sequence[tuple[Original, Proof]],
    *,
    sleep: Sleep,
    prune: bool,
    flush: Callable[[int], object] = flush_filesystem,
) -> ReleaseReport:
    """Remove originals together of which each became an object of its own, on the strength of that object's proof.

    All else is as in `release`.
    """
    if not proved or not all(isinstance(proof, Proof) for _, proof in proved):
        raise TypeError("nothing is released without a proof")
    members = [original for original, _ in proved]
    return release(zone, batch_id, members, proved[0][1], sleep=sleep, prune=prune, flush=flush)


class _Batch:
    """One batch on its way out, and the quarantines it passes through."""

    def __init__(self, zone: DropZone, batch_id: str, moment_seconds: float, *, prune: bool) -> None:
        self._zone = zone
        self._place = zone.place
        self._batch_id = batch_id
        self._moment_seconds = moment_seconds
        self._prune = prune
        self._open = ExitStack()
        self._ways: dict[bytes, _Way] = {}
        self._barred: dict[bytes, Reason] = {}
        self._of_bucket: dict[bytes, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def chunks(self, members: Iterable[Original], size: int) -> Iterator[Chunk | Outcome]:
        """Yield runs of members that share a quarantine, or that they are kept where there is no way through one.

        A run ends where it is long enough and the folder ends, or where it is twice as long: two removers in one folder wait
        for each other.
        """
        run: list[Original] = []
        last = folder = here = b""
        for member in members:
            folder = member.path.rpartition(b"/")[0]
            there = here if run and folder == last else self._quarantine_of(member.path)
            full = len(run) >= size * 2 or (len(run) >= size and folder != last)
            if run and (full or there != here):
                yield self._chunk(here, run)
                run = []
            run.append(member)
            last, here = folder, there
        if run:
            yield self._chunk(here, run)

    def slots(self, chunk: Chunk) -> Slots:
        """Return the open slots a chunk goes through."""
        return self._ways[chunk.quarantine].slots

    def end(self, flush: Callable[[int], object]) -> None:
        """Remove the batch's folders and put everything on disk; nobody may be at work any more. Raises `OSError`."""
        for way in self._ways.values():
            way.slots.end()
            # Renames stay within one filesystem, so this flushes the folders they came from as well.
            flush(way.fd)

    def _chunk(self, path: bytes, run: list[Original]) -> Chunk | Outcome:
        if path not in self._ways and path not in self._barred:
            self._open_way(path)
        if path in self._barred:
            return all_kept(run, self._barred[path])
        return Chunk(
            zone=self._place,
            quarantine=path,
            batch_id=self._batch_id,
            leftovers=self._ways[path].leftovers.intersection(one.ordinal for one in run),
            rows=Chunk.packed(run),
            moment_seconds=self._moment_seconds,
            prune=self._prune,
        )

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

    def _open_way(self, path: bytes) -> None:
        try:
            fd = self._open.enter_context(quarantine(self._zone, path))
            slots = self._open.enter_context(closing(Slots.begin(self._zone, path, fd, self._batch_id)))
            self._ways[path] = _Way(fd, slots, slots.leftovers())
        except Unsafe:
            self._barred[path] = Reason.QUARANTINE_UNSAFE
        except OSError as error:
            self._barred[path] = of_errno(error)


class _Way(NamedTuple):
    """An open quarantine, the batch's folder in it, and the slots that were full before we began."""

    fd: int
    slots: Slots
    leftovers: frozenset[int]


def _done(jobs: Iterator[Chunk | Outcome], removers: Removers | None, here: Callable[[Chunk], Outcome]) -> Iterator[Outcome]:
    """Yield what becomes of each job, in order, with a few of them ahead: members are read as they are needed."""
    first = list(islice(jobs, 2))
    if removers is None or not first[1:]:
        yield from (job if isinstance(job, Outcome) else here(job) for job in chain(first, jobs))
        return
    ahead: deque[Future[Outcome]] = deque()
    try:
        for job in chain(first, jobs):
            ahead.append(_known(job) if isinstance(job, Outcome) else removers.remove(job))
            if len(ahead) > removers.at_once:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        # Where one failed the others may still be at work, in folders that are about to be closed.
        wait(ahead)


def _known(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future
