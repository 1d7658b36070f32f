"""A drop: one state of one file on its way to one object, and the phases it may be in.

    STORING ──proved──▶ STORED ──released──▶ (gone)
       │ ▲                │ ▲
       │ └─────lost───────┤ └──proved──┐
       │                  └───kept──▶ UNRELEASED ──lost──▶ STORING
       └──occupied──▶ EXISTS ──free──▶ STORING

and from everywhere ──forgotten──▶ (gone): the file has changed or vanished, so what lies there now is another drop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from s3sync.dropzone.candidate import Candidate
from s3sync.errors import Permanent
from s3sync.store.contract import ObjectRef, StorageClass


class Phase(StrEnum):
    """Where a drop is."""

    STORING = "storing"
    """Its checksums are known; the object may be there, wholly or in part, or not."""
    STORED = "stored"
    """S3 has confirmed an object with exactly these bytes; the original may go, and may be in quarantine on its way out."""
    UNRELEASED = "unreleased"
    """Stored, but the original could not be removed; it is not stored again while it is unchanged."""
    EXISTS = "exists"
    """Another content lies under the key, in a bucket that keeps no versions: the original stays."""


class Turn(StrEnum):
    """What happens to a drop."""

    PROVED = "proved"
    OCCUPIED = "occupied"
    FREE = "free"
    KEPT = "kept"
    LOST = "lost"


TRANSITIONS: Mapping[Phase, Mapping[Turn, Phase]] = MappingProxyType(
    {
        Phase.STORING: {Turn.PROVED: Phase.STORED, Turn.OCCUPIED: Phase.EXISTS},
        Phase.STORED: {Turn.KEPT: Phase.UNRELEASED, Turn.LOST: Phase.STORING},
        Phase.UNRELEASED: {Turn.PROVED: Phase.STORED, Turn.LOST: Phase.STORING},
        Phase.EXISTS: {Turn.FREE: Phase.STORING},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """One state of one file on its way to one object, with what its bytes were found to be."""

    id: str
    candidate: Candidate
    crc64nvme: str
    sha256: str
    storage_class: StorageClass
    phase: Phase = Phase.STORING
    upload_id: str | None = None
    version_id: str | None = None
    etag: str | None = None
    slot_folder: str | None = None
    slot: int = 0
    since: datetime | None = None
    detail: str = ""

    @property
    def leaves_by(self) -> str:
        """The folder of the slot by which the original of a stored drop leaves."""
        return self.slot_folder or self.id

    @property
    def ref(self) -> ObjectRef:
        """The object this drop becomes. Only a key that is UTF-8 is ever taken up."""
        return ObjectRef(self.candidate.bucket, self.candidate.key.decode("utf-8"))


def next_phase(drop_id: str, phase: Phase | None, turn: Turn) -> Phase:
    """Return where `turn` takes a drop in `phase` (None: there is no such drop).

    Raises `Permanent` where the table has no such turn: the row stays as it was.
    """
    after = None if phase is None else TRANSITIONS[phase].get(turn)
    if after is None:
        raise Permanent(f"drop {drop_id}", f"cannot be {turn} from {phase}", "Report it; nothing was changed")
    return after
