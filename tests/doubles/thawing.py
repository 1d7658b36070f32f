"""When a thaw is done and when its copy lapses, by S3's rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from s3sync.store.contract import StorageClass, ThawState, ThawStatus, Tier

THAW_HOURS = {
    (StorageClass.GLACIER, Tier.STANDARD): 5,
    (StorageClass.GLACIER, Tier.BULK): 12,
    (StorageClass.DEEP_ARCHIVE, Tier.STANDARD): 12,
    (StorageClass.DEEP_ARCHIVE, Tier.BULK): 48,
}
"""The longest each may take (User Guide, archive retrieval options)."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """A copy that is readable from `ready` for `days` days, rounded up to the next midnight UTC."""

    ready: datetime
    days: int

    @classmethod
    def begun(cls, now: datetime, storage_class: StorageClass, tier: Tier, days: int) -> Thaw:
        """Return the thaw that a request at `now` begins."""
        return cls(now + timedelta(hours=THAW_HOURS[storage_class, tier]), days)

    @property
    def until(self) -> datetime:
        """The midnight at which the copy lapses."""
        end = self.ready + timedelta(days=self.days)
        midnight = datetime.combine(end.date(), time(), end.tzinfo)
        return midnight if midnight == end else midnight + timedelta(days=1)

    def is_faster_than(self, other: Thaw) -> bool:
        """Tell whether asking for this one while `other` runs is an upgrade: done sooner, with the same days."""
        return self.ready < other.ready and self.days == other.days


def thaw_status(storage_class: StorageClass, thaw: Thaw | None, now: datetime) -> ThawStatus:
    """Return what a HEAD at `now` says."""
    if not storage_class.needs_thaw:
        return ThawStatus(ThawState.READABLE)
    if thaw is None or now >= thaw.until:
        return ThawStatus(ThawState.FROZEN)
    return ThawStatus(ThawState.THAWED, thaw.until) if now >= thaw.ready else ThawStatus(ThawState.THAWING)
