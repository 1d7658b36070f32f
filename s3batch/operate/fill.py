"""How well archives are filled, and which setting would fill them better. Pure.

An archive is full by bytes or, with as many members as are enough for one, by members. A file larger than an archive says
nothing about filling. What another grouping would make is estimated from sums, as if its groups were packed without a gap: good
enough to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from s3batch.model import Batch, Closed
from s3batch.pack.planner import ENOUGH_MEMBERS, Limits, PackWithin

POOR = 0.25
ENOUGH_TO_TELL = 3

_WIDER = {
    PackWithin.FOLDER: (PackWithin.TOP, PackWithin.BUCKET),
    PackWithin.TOP: (PackWithin.BUCKET,),
    PackWithin.BUCKET: (),
}


@dataclass(frozen=True, slots=True)
class Fill:
    """How full `archives` are on average; `share` is 0 to 1."""

    archives: int
    share: float

    @property
    def poor(self) -> bool:
        """Tell whether archives come out poorly filled, and there are enough of them to say so."""
        return self.archives >= ENOUGH_TO_TELL and self.share < POOR


def share(size_bytes: int, members: int, *, max_bytes: int, max_members: int) -> float:
    """Return how full an archive is, from 0 to 1."""
    return min(1.0, max(size_bytes / max_bytes, members / _full_members(max_members)))


def _full_members(max_members: int) -> int:
    """Return how many members make a full archive: more are taken only where one folder has more."""
    return min(max_members, ENOUGH_MEMBERS)


@dataclass(frozen=True, slots=True)
class Better:
    """A setting of `S3BATCH_PACK_WITHIN` and about how many archives it would make of the same files."""

    within: PackWithin
    archives: int


@dataclass(slots=True)
class _Group:
    """The group of a wider grouping that is being summed up."""

    name: tuple[str, bytes] | None = None
    bytes: int = 0
    members: int = 0
    archives: int = 0


@dataclass(slots=True)
class FillGauge:
    """Sums up batches as they are planned, in constant memory: groups stand together, so one of each grouping is open."""

    limits: Limits
    _archives: int = 0
    _shares: float = 0.0
    _wider: Mapping[PackWithin, _Group] = field(init=False)

    def __post_init__(self) -> None:
        self._wider = {within: _Group() for within in _WIDER[self.limits.within]}

    def add(self, batch: Batch) -> None:
        """Count one batch."""
        if batch.reason is Closed.OVERSIZE:
            return
        limits, members = self.limits, len(batch.candidates)
        self._archives += 1
        self._shares += share(batch.planned_bytes, members, max_bytes=limits.max_bytes, max_members=limits.max_members)
        for within, group in self._wider.items():
            name = (batch.bucket, _top(batch) if within is PackWithin.TOP else b"")
            if name != group.name:
                self._close(group)
                group.name = name
            group.bytes += batch.planned_bytes
            group.members += members

    @property
    def fill(self) -> Fill:
        """What was counted so far."""
        return Fill(self._archives, self._shares / self._archives if self._archives else 0.0)

    def better(self) -> Better | None:
        """Return the narrowest setting that would at least halve the number of archives; for the end."""
        for within, group in self._wider.items():
            self._close(group)
            if group.archives * 2 <= self._archives:
                return Better(within, group.archives)
        return None

    def _close(self, group: _Group) -> None:
        by_bytes = -(-group.bytes // self.limits.max_bytes)
        by_members = -(-group.members // _full_members(self.limits.max_members))
        group.archives += max(by_bytes, by_members)
        group.bytes = group.members = 0


def _top(batch: Batch) -> bytes:
    key = next(iter(batch.candidates)).key
    return key[: key.find(b"/") + 1]
