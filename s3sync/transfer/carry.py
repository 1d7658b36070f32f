"""From the drop zone to S3 and out of the drop zone: candidate -> put -> proof -> release.

Small files go a few at a time, one after another in what concerns each, together in what they can share: a transaction of the
journal, a walk to their folder, the moment in quarantine. Each step is journalled, so a drop may be taken up at any of them: by
the pass that began it or by one of a later program. What concerns one file alone ends in its `Outcome`; what rises from here
concerns all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from s3sync.dropzone.candidate import Candidate
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.zone import DropZone
from s3sync.store.contract import Stopped
from s3sync.store.proof import Proof
from s3sync.transfer.digest import Changed
from s3sync.transfer.drops import Drop, Phase
from s3sync.transfer.guard import Guard, Refused
from s3sync.transfer.journal import Journal
from s3sync.transfer.originals import Originals
from s3sync.transfer.outcome import Ended, Files, FileStored, Outcome
from s3sync.transfer.storing import Storing, Taken, Unreadable

Proved = tuple[Drop, Proof]


class Transfer:
    """Takes files all the way. May be used from several threads, for different paths."""

    def __init__(
        self,
        zone: DropZone,
        storing: Storing,
        journal: Journal,
        guard: Guard,
        *,
        files: Files,
        originals: Originals,
        stopping: Callable[[], bool],
    ) -> None:
        """Leave alone what `guard` and `files` say."""
        self._zone = zone
        self._storing = storing
        self._journal = journal
        self._guard = guard
        self._files = files
        self._originals = originals
        self._stopping = stopping

    def begin_pass(self) -> None:
        """Forget what was learnt of the buckets in the pass before."""
        self._guard.begin_pass()
        self._storing.begin_pass()

    def send(self, lot: Sequence[Candidate]) -> list[Outcome]:
        """Store candidates, prove them, release them; return the outcome of each, in no particular order.

        Raises `Transient` where the journal cannot be written.
        """
        ended: list[Ended] = []
        with ExitStack() as opened:
            taken = list(self._taken(lot, opened, ended))
            begun = [each.drop for each in taken if not each.resuming]
            if begun:
                self._journal.begin(*begun)
            stored = list(self._stored(taken, ended))
        return [*map(Outcome, ended), *self._released(stored)]

    def resume(self, drops: Sequence[Drop]) -> list[Outcome]:
        """Take up what the journal holds: finish what can be finished, forget what is no more.

        The drops are one, or share a folder of slots. Raises `Transient` where the journal cannot be written.
        """
        ended: list[Ended] = []
        proved: list[Proved] = []
        for drop in drops:
            if self._waits(drop.candidate):
                ended.append(Ended.WAITS)
                continue
            with self._telling(drop.candidate, "resume", ended):
                if drop.phase in {Phase.STORED, Phase.UNRELEASED}:
                    proved += self._confirmed(drop, ended)
                else:
                    ended.append(self._resume(drop))
        if proved:
            # The state that was noted may be one that a refused release left it in.
            leaving = [(drop.slot, drop, proof) for drop, proof in proved]
            ended += self._originals.release(proved[0][0].leaves_by, leaving, as_stored=False)
        return [*map(Outcome, ended)]

    def _taken(self, lot: Sequence[Candidate], opened: ExitStack, ended: list[Ended]) -> Iterator[Taken]:
        """Open and read what is not to be left alone; `opened` keeps the files open."""
        known = self._journal.at(*(candidate.path for candidate in lot))
        with self._zone.folders() as folders:
            for candidate in lot:
                if self._waits(candidate):
                    ended.append(Ended.WAITS)
                    continue
                with self._telling(candidate, "store", ended):
                    fd = self._storing.open(folders, candidate)
                    opened.callback(os.close, fd)
                    yield self._storing.take_up(fd, candidate, known)

    def _stored(self, taken: Sequence[Taken], ended: list[Ended]) -> Iterator[Proved]:
        for each in taken:
            candidate = each.drop.candidate
            if self._waits(candidate):
                ended.append(Ended.WAITS)
                continue
            with self._telling(candidate, "store", ended):
                proof = self._storing.store(each)
                if proof is not None:
                    yield each.drop, proof
                else:
                    self._files.held(candidate, Reason.EXISTS)
                    ended.append(Ended.EXISTS)

    def _released(self, stored: Sequence[Proved]) -> Iterator[Outcome]:
        if not stored:
            return
        folder = stored[0][0].id
        self._journal.proved({drop.id: proof for drop, proof in stored})
        for drop, proof in stored:
            self._files.tell(_told(drop, proof))
        leaving = [(slot, drop, proof) for slot, (drop, proof) in enumerate(stored)]
        ended = self._originals.release(folder, leaving, as_stored=True)
        for each, (drop, _) in zip(ended, stored, strict=True):
            yield Outcome(each, drop.candidate.identity.size, stored=True)

    def _confirmed(self, drop: Drop, ended: list[Ended]) -> Iterator[Proved]:
        """Yield a drop that was stored earlier with its proof, if its object is still what it was."""
        proof = self._storing.confirm(drop)
        if proof is None:
            self._journal.lost(drop.id)
            ended.append(Ended.WAITS)
        elif drop.phase is Phase.UNRELEASED:
            self._journal.proved({drop.id: proof})
            yield replace(drop, slot_folder=drop.id, slot=0), proof
        else:
            yield drop, proof

    def _resume(self, drop: Drop) -> Ended:
        if self._zone.state_at(drop.candidate.path) != drop.candidate.identity:
            self._storing.abandon(drop)
            return Ended.CHANGED
        if drop.phase is Phase.EXISTS:
            if self._storing.still_occupied(drop):
                self._files.refused(drop.candidate.path, drop.candidate.identity)
                return Ended.EXISTS
            self._journal.free(drop.id)
        return Ended.WAITS  # the scan finds it, and it is stored from there

    def _waits(self, candidate: Candidate) -> bool:
        return self._stopping() or self._guard.closed(candidate.bucket) or self._files.waits(candidate)

    @contextmanager
    def _telling(self, candidate: Candidate, step: str, ended: list[Ended]) -> Iterator[None]:
        """Turn what goes wrong with one file into how it ended, told and remembered; the rest rises."""
        try:
            yield
        except Stopped:
            ended.append(Ended.WAITS)
        except Changed:
            ended.append(Ended.CHANGED)
        except (Refused, Unreadable) as failure:
            self._files.failed(candidate, step, failure)
            ended.append(Ended.FAILED)


def _told(drop: Drop, proof: Proof) -> FileStored:
    candidate = drop.candidate
    return FileStored(
        drop=drop.id,
        bucket=candidate.bucket,
        key=candidate.key,
        size=candidate.identity.size,
        version_id=proof.ref.version_id,
    )
