"""What a pass would do now, without doing it: the scan, the ladder and the planner of the agent, fed with foresight.

Differs from the pass itself in two things. Whether a file can be moved into quarantine is concluded, not tried; and whether
anybody writes a file is asked only of files that are opened, which happens when their batch is built. Yields what it finds as
it finds it, one batch in memory at a time; sums come last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from s3batch.model import Batch, Closed
from s3batch.operate.fill import Better, Fill, FillGauge
from s3batch.operate.records import Records
from s3batch.pack.planner import Limits, Waiting, plan
from s3batch.restore.cost import US_EAST_1, Prices, Upkeep, upkeep
from s3sync.dropzone.candidate import Candidate
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import foresee_quarantine
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.scan import Held, scan
from s3sync.dropzone.zone import DropZone
from s3sync.store.contract import StorageClass
from s3sync.store.parts import part_size_for


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedArchive:
    """One archive that a pass would make."""

    bucket: str
    folder: str
    """The folder it would lie in, without a trailing slash; empty for the bucket itself."""
    members: int
    bytes: int
    """Of the files."""
    archive_bytes: int
    """Of the tar."""
    reason: Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingGroup:
    """Files that do not yet fill an archive."""

    bucket: str
    folder: str
    members: int
    archive_bytes: int
    closes_ns: int
    """When their archive is made even if nothing joins them; wall-clock time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The sums, when everything has been seen."""

    archives: int
    members: int
    bytes: int
    archive_bytes: int
    waiting_groups: int
    waiting_members: int
    waiting_bytes: int
    """Of the archives they would make."""
    held: MappingProxyType[str, int]
    """By reason; a folder that is not entered counts once, whatever is in it."""
    fill: Fill
    better: Better | None
    """A setting that would fill archives better, where they come out poorly filled."""
    as_archives: Upkeep
    as_objects: Upkeep
    """What the same files would cost as one object each."""
    prices: Prices


class Shipping(NamedTuple):
    """What costs depend on."""

    storage_class: StorageClass
    part_size: int
    prices: Prices = US_EAST_1


def rehearse(
    zone: DropZone, standards: Standards, records: Records, limits: Limits, shipping: Shipping, *, now_ns: int
) -> Iterator[PlannedArchive | WaitingGroup | Outlook]:
    """Yield every archive a pass would make, every group that stays waiting, and at last the outlook.

    `standards` lacks what is in flight and what could not be released; both come from `records`. The quiet clock has begun its
    pass. Raises `OSError` where the drop zone cannot be listed.
    """
    sums = _Sums(limits, shipping)
    ladder = Ladder(replace(standards, in_flight=records.in_flight(), unreleasable=records.unreleasable()))
    for item in plan(_candidates(zone, ladder, sums.held), limits, now_ns):
        yield sums.waiting(item) if isinstance(item, Waiting) else sums.planned(item)
    yield sums.outlook()


def _candidates(zone: DropZone, ladder: Ladder, held: Counter[str]) -> Iterator[Candidate]:
    for found in scan(zone, ladder, foresee_quarantine):
        if isinstance(found, Held):
            held[found.reason.value] += found.files
        else:
            yield found


@dataclass(slots=True)
class _Sums:
    limits: Limits
    shipping: Shipping
    held: Counter[str] = field(default_factory=Counter)
    archives: int = 0
    members: int = 0
    bytes: int = 0
    archive_bytes: int = 0
    parts: int = 0
    waiting_groups: int = 0
    waiting_members: int = 0
    waiting_bytes: int = 0
    gauge: FillGauge = field(init=False)

    def __post_init__(self) -> None:
        self.gauge = FillGauge(self.limits)

    def planned(self, batch: Batch) -> PlannedArchive:
        content = sum(candidate.identity.size for candidate in batch.candidates)
        members = len(batch.candidates)
        self.archives += 1
        self.members += members
        self.bytes += content
        self.archive_bytes += batch.planned_bytes
        self.parts += parts_of(batch.planned_bytes, self.shipping.part_size)
        self.gauge.add(batch)
        return PlannedArchive(
            bucket=batch.bucket,
            folder=batch.folder,
            members=members,
            bytes=content,
            archive_bytes=batch.planned_bytes,
            reason=batch.reason,
        )

    def waiting(self, group: Waiting) -> WaitingGroup:
        self.waiting_groups += 1
        self.waiting_members += group.members
        self.waiting_bytes += group.planned_bytes
        return WaitingGroup(
            bucket=group.bucket,
            folder=group.folder,
            members=group.members,
            archive_bytes=group.planned_bytes,
            closes_ns=group.oldest_ns + self.limits.quiet_ns + self.limits.max_age_ns,
        )

    def outlook(self) -> Outlook:
        kind, _, prices = self.shipping
        fill = self.gauge.fill
        return Outlook(
            archives=self.archives,
            members=self.members,
            bytes=self.bytes,
            archive_bytes=self.archive_bytes,
            waiting_groups=self.waiting_groups,
            waiting_members=self.waiting_members,
            waiting_bytes=self.waiting_bytes,
            held=MappingProxyType(dict(self.held.most_common())),
            fill=fill,
            better=self.gauge.better() if fill.poor else None,
            as_archives=upkeep(self.archive_bytes, self.archives, kind, parts=self.parts, prices=prices),
            as_objects=upkeep(self.bytes, self.members, kind, prices=prices),
            prices=prices,
        )


def parts_of(size: int, part_size: int) -> int:
    """Return how many parts an archive is uploaded in; 0 for a single request."""
    return 0 if size < part_size else -(-size // part_size_for(size, part_size))
