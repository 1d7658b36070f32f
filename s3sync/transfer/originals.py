"""The originals of stored drops: removed together, and what is to be done about those that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from s3sync.dropzone.reasons import MEANINGS, Reason
from s3sync.dropzone.release import ReleaseReport
from s3sync.dropzone.slots import Kept, Original
from s3sync.errors import Permanent
from s3sync.events import Degraded
from s3sync.keys import display
from s3sync.store.proof import Proof
from s3sync.transfer.drops import Drop, Phase
from s3sync.transfer.journal import Journal
from s3sync.transfer.outcome import Ended, FileReleased, Files

_JUDGED_ANEW = {Reason.CHANGED, Reason.WRITER}
"""Why an original was given back that is, or will be, another one than was stored; the scan finds it wherever it lies."""

NO_LEASES = "no_leases"
"""The stable cause of the `Degraded` event."""
_NO_LEASES_DETAIL = "no lease can be had here: that nobody writes was seen only in the processes we may look into"

Leaving = tuple[int, Drop, Proof]
"""The number of a slot, and what leaves by it."""
Releasing = Callable[[str, Sequence[tuple[Original, Proof]]], ReleaseReport]
"""Releases originals by slots in the folder named first. Raises `OSError`."""


class Originals:
    """Removes what is proved. May be used from several threads, for different folders of slots."""

    def __init__(self, journal: Journal, files: Files, releasing: Releasing) -> None:
        """Remove by `releasing`."""
        self._journal = journal
        self._files = files
        self._releasing = releasing

    def release(self, folder: str, leaving: Sequence[Leaving], *, as_stored: bool) -> list[Ended]:
        """Release the originals of drops that are journalled with these slots in `folder`; return how each ended, in order.

        `as_stored` says that the state which is noted of each is the one whose bytes were stored. Raises `Transient` from the
        journal.
        """
        try:
            report = self._releasing(
                folder, [(_original(slot, drop, as_stored=as_stored), proof) for slot, drop, proof in leaving]
            )
        except OSError as error:
            for _, drop, _ in leaving:
                unusable = Permanent("quarantine", f"cannot be used: {error.strerror}")
                self._files.failed(drop.candidate, "release", unusable)
            return [Ended.FAILED for _ in leaving]
        if report.unleased:
            self._files.tell(Degraded(cause=NO_LEASES, detail=_NO_LEASES_DETAIL))
        kept = {each.ordinal: each for each in report.kept}
        self._gone([drop for slot, drop, _ in leaving if slot not in kept])
        return [self._kept(drop, kept[slot]) if slot in kept else Ended.RELEASED for slot, drop, _ in leaving]

    def _gone(self, drops: Sequence[Drop]) -> None:
        if drops:
            self._journal.released(*(drop.id for drop in drops))
        for drop in drops:
            self._files.succeeded(drop.candidate)
            self._files.tell(FileReleased(drop=drop.id, bucket=drop.candidate.bucket, key=drop.candidate.key))

    def _kept(self, drop: Drop, kept: Kept) -> Ended:
        """Decide about an original that was not removed, by why, and by where it lies now."""
        candidate = drop.candidate
        if kept.reason in _JUDGED_ANEW:
            self._journal.forgotten(drop.id)
            return Ended.CHANGED
        if kept.path != candidate.path or kept.identity is None:
            # It could not even be given back, and waits in its slot for the release to be repeated.
            self._files.failed(candidate, "release", Permanent(display(candidate.path), MEANINGS[kept.reason]))
            return Ended.FAILED
        self._journal.kept(drop.id, kept.identity, MEANINGS[kept.reason])
        self._files.refused(candidate.path, kept.identity)
        if drop.phase is not Phase.UNRELEASED:
            self._files.held(candidate, kept.reason)
        return Ended.KEPT


def _original(slot: int, drop: Drop, *, as_stored: bool) -> Original:
    return Original(slot, drop.candidate.path, drop.candidate.identity, drop.sha256, as_archived=as_stored)
