"""What a restore costs and takes, and what keeping archives costs compared with one object each. Pure, and dated.

Prices are AWS's list prices of one region on one day: good for deciding *yes or no* and for comparing, not for bookkeeping.
Money is `Decimal` US dollars, gigabytes are GiB as AWS bills them. S3 thaws whole objects, so one member costs its archive;
an archive that is thawed already, or under way, costs nothing again (S3 bills nothing for it, and neither do we ask).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from s3batch.restore.thaw import window
from s3sync.store.contract import StorageClass, Tier

GIB = Decimal(1024**3)
DAYS_A_MONTH = Decimal(30)
CLASS_OVERHEAD_BYTES = 32 * 1024
"""Billed with every GLACIER and DEEP_ARCHIVE object at its class's rate (S3 User Guide, storage classes)."""
STANDARD_OVERHEAD_BYTES = 8 * 1024
"""Billed with every such object at the STANDARD rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """The price of thawing in one class and tier."""

    per_request: Decimal
    per_gib: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A price list: which region, as of when."""

    region: str
    as_of: date
    put: Mapping[StorageClass, Decimal]
    """One PUT (or Complete) into the class."""
    get: Decimal
    """One GET from STANDARD or from a thawed copy."""
    gib_month: Mapping[StorageClass, Decimal]
    retrieval: Mapping[tuple[StorageClass, Tier], Retrieval]
    egress_gib: Decimal
    """Bytes that leave AWS for the Internet."""


def _per_thousand(dollars: str) -> Decimal:
    return Decimal(dollars) / 1000


US_EAST_1 = Prices(
    region="us-east-1",
    as_of=date(2026, 11, 1),
    put=MappingProxyType(
        {
            StorageClass.STANDARD: _per_thousand("0.005"),
            StorageClass.INTELLIGENT_TIERING: _per_thousand("0.005"),
            StorageClass.STANDARD_IA: _per_thousand("0.01"),
            StorageClass.ONEZONE_IA: _per_thousand("0.01"),
            StorageClass.GLACIER_IR: _per_thousand("0.02"),
            StorageClass.GLACIER: _per_thousand("0.03"),
            StorageClass.DEEP_ARCHIVE: _per_thousand("0.05"),
        }
    ),
    get=_per_thousand("0.0004"),
    gib_month=MappingProxyType(
        {
            StorageClass.STANDARD: Decimal("0.023"),
            StorageClass.INTELLIGENT_TIERING: Decimal("0.023"),
            StorageClass.STANDARD_IA: Decimal("0.0125"),
            StorageClass.ONEZONE_IA: Decimal("0.01"),
            StorageClass.GLACIER_IR: Decimal("0.004"),
            StorageClass.GLACIER: Decimal("0.0036"),
            StorageClass.DEEP_ARCHIVE: Decimal("0.00099"),
        }
    ),
    retrieval=MappingProxyType(
        {
            (StorageClass.GLACIER, Tier.STANDARD): Retrieval(per_request=_per_thousand("0.05"), per_gib=Decimal("0.01")),
            (StorageClass.GLACIER, Tier.BULK): Retrieval(per_request=Decimal(0), per_gib=Decimal(0)),
            (StorageClass.DEEP_ARCHIVE, Tier.STANDARD): Retrieval(per_request=_per_thousand("0.10"), per_gib=Decimal("0.02")),
            (StorageClass.DEEP_ARCHIVE, Tier.BULK): Retrieval(per_request=_per_thousand("0.025"), per_gib=Decimal("0.0025")),
        }
    ),
    egress_gib=Decimal("0.09"),
)


class Standing(StrEnum):
    """How far the thaw of an archive is, as far as money and hours are concerned."""

    FROZEN = "frozen"
    UNDER_WAY = "under way"
    """Paid for, and not readable yet."""
    THAWED = "thawed"


@dataclass(frozen=True, slots=True)
class ColdArchive:
    """An archive as far as money and hours are concerned."""

    storage_class: StorageClass
    size: int
    standing: Standing = Standing.FROZEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a restore would cost (dollars) and take (hours). `egress` is extra, and only outside AWS."""

    archives: int
    archive_bytes: int
    thaws: int
    """How many of the archives have to be thawed for it."""
    members: int
    member_bytes: int
    tier: Tier
    days: int
    requests: Decimal
    retrieval: Decimal
    copies: Decimal
    """The readable copies, billed at STANDARD for `days`."""
    egress: Decimal
    hours: float
    """Within this typically; 0 where everything can be read at once."""
    prices: Prices

    @property
    def total(self) -> Decimal:
        """Everything but egress."""
        return self.requests + self.retrieval + self.copies


def estimate(
    archives: Iterable[ColdArchive],
    *,
    members: int,
    member_bytes: int,
    tier: Tier,
    days: int,
    prices: Prices = US_EAST_1,
) -> Estimate:
    """Return what it costs and takes to bring `members` back from `archives`, one GET each at most."""
    every = list(archives)
    cold = [archive for archive in every if archive.storage_class.needs_thaw]
    unpaid = [archive for archive in cold if archive.standing is Standing.FROZEN]
    awaited = [archive for archive in cold if archive.standing is not Standing.THAWED]
    asked = [(prices.retrieval[archive.storage_class, tier], _gib(archive.size)) for archive in unpaid]
    month = prices.gib_month[StorageClass.STANDARD]
    return Estimate(
        archives=len(every),
        archive_bytes=sum(archive.size for archive in every),
        thaws=len(unpaid),
        members=members,
        member_bytes=member_bytes,
        tier=tier,
        days=days,
        requests=sum((price.per_request for price, _ in asked), Decimal(0)) + members * prices.get,
        retrieval=sum((price.per_gib * gib for price, gib in asked), Decimal(0)),
        copies=sum((gib * month * days / DAYS_A_MONTH for _, gib in asked), Decimal(0)),
        egress=_gib(member_bytes) * prices.egress_gib,
        hours=max((_hours(archive.storage_class, tier) for archive in awaited), default=0.0),
        prices=prices,
    )


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What storing objects costs once (`upload`) and `monthly`, in dollars."""

    objects: int
    upload: Decimal
    monthly: Decimal


def upkeep(
    sizes_bytes: int,
    objects: int,
    storage_class: StorageClass,
    *,
    parts: int = 0,
    prices: Prices = US_EAST_1,
) -> Upkeep:
    """Return what `objects` of `sizes_bytes` altogether cost in `storage_class`; `parts` are billed at STANDARD."""
    monthly = _gib(sizes_bytes) * prices.gib_month[storage_class]
    if storage_class.needs_thaw:
        monthly += _gib(objects * CLASS_OVERHEAD_BYTES) * prices.gib_month[storage_class]
        monthly += _gib(objects * STANDARD_OVERHEAD_BYTES) * prices.gib_month[StorageClass.STANDARD]
    upload = objects * prices.put[storage_class] + parts * prices.put[StorageClass.STANDARD]
    return Upkeep(objects, upload, monthly)


def dollars(amount: Decimal) -> str:
    """Return `amount` for people: cents, or as many digits as it takes to show that it is not nothing."""
    if amount == 0 or amount >= Decimal("0.01"):
        return f"${amount:,.2f}"
    return f"${amount:.6f}" if amount >= Decimal("0.000001") else "less than $0.000001"


def _gib(count: int) -> Decimal:
    return Decimal(count) / GIB


def _hours(storage_class: StorageClass, tier: Tier) -> float:
    return window(storage_class, tier).within.total_seconds() / 3600
