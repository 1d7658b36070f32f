"""What waits in the drop zone of `s3sync`, and what its journal remembers: for those who ask how things stand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from s3sync.dropzone.candidate import Candidate
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import foresee_quarantine
from s3sync.dropzone.scan import scan
from s3sync.dropzone.zone import DropZone
from s3sync.transfer.drops import Drop, Phase
from s3sync.transfer.journal import Journal, Parked, PassRecord


@dataclass(slots=True)
class Waiting:
    """What the scan found: finished files by bucket, the others by reason."""

    files: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    oldest_ns: int | None = None

    def add(self, candidate: Candidate) -> None:
        """Count a finished file."""
        self.files[candidate.bucket] += 1
        self.bytes[candidate.bucket] += candidate.identity.size
        self.oldest_ns = min(self.oldest_ns or candidate.identity.ctime_ns, candidate.identity.ctime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What the journal knows."""

    phases: dict[Phase, int]
    needing: list[Drop]
    """Drops that cannot get on by themselves."""
    parked: list[Parked]
    degraded: dict[str, str]
    last: PassRecord | None
    success: PassRecord | None

    @property
    def needs_somebody(self) -> bool:
        """Tell whether a person has to look."""
        return bool(self.needing or self.parked or (self.last is not None and self.last.errors))


def look(zone: DropZone, ladder: Ladder) -> Waiting:
    """Return what a pass would find now."""
    waiting = Waiting()
    for found in scan(zone, ladder, foresee_quarantine):
        if isinstance(found, Candidate):
            waiting.add(found)
        else:
            waiting.held[found.reason.value] += 1
    return waiting


def recall(journal: Journal | None) -> Remembered:
    """Return what the journal knows; nothing where there is none yet."""
    if journal is None:
        return Remembered(phases=dict.fromkeys(Phase, 0), needing=[], parked=[], degraded={}, last=None, success=None)
    return Remembered(
        phases=journal.counts(),
        needing=journal.in_hand(Phase.UNRELEASED, Phase.EXISTS),
        parked=journal.parked(),
        degraded=journal.degraded(),
        last=journal.last_pass(),
        success=journal.last_pass(successful=True),
    )
