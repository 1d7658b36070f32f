"""What was archived in a month: how much, how full, with how many requests, and for how much money. Pure.

A month is that of an archive's creation, in UTC. Requests are the writes that S3 bills: one for a small archive; for one in
parts its beginning, each part and its completion; and one for each manifest. Money is by the list in `s3batch.restore.cost`:
what the uploads cost once, and what keeping these archives costs a month, manifests left out (they are a thousandth).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from s3batch.model import Filed
from s3batch.operate.fill import share
from s3batch.operate.plan import parts_of
from s3batch.restore.cost import US_EAST_1, Prices, upkeep
from s3sync.store.contract import StorageClass

BEGIN_AND_COMPLETE = 2
"""Requests of an upload in parts besides its parts."""


class By(StrEnum):
    """What a line of the report is of."""

    BUCKET = "bucket"
    TOP = "top"
    """A first-level folder of a bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """What counts as a full archive, and in which parts it is uploaded (bytes)."""

    max_bytes: int
    max_members: int
    part_size: int


@dataclass(slots=True)
class Line:
    """What one bucket, or one folder of it, took in. `top` ends in a slash; empty: archives above any folder, or of all."""

    bucket: str
    top: str
    files: int = 0
    bytes: int = 0
    archives: int = 0
    archive_bytes: int = 0
    requests: int = 0
    upload_usd: Decimal = Decimal(0)
    month_usd: Decimal = Decimal(0)
    _shares: float = 0.0

    @property
    def fill(self) -> float:
        """How full the archives are on average, 0 to 1."""
        return self._shares / self.archives

    def add(self, archive: Filed, full: Full, prices: Prices) -> None:
        """Count one archive."""
        record = archive.record
        parts = parts_of(record.size, full.part_size)
        at_standard = parts + 1 if parts else 0  # the beginning of an upload in parts is billed as they are
        cost = upkeep(record.size, 1, record.storage_class, parts=at_standard, prices=prices)
        self.files += record.members
        self.bytes += archive.content_bytes
        self.archives += 1
        self.archive_bytes += record.size
        self.requests += 1 + (parts + BEGIN_AND_COMPLETE if parts else 1)
        self.upload_usd += cost.upload + prices.put[StorageClass.STANDARD]
        self.month_usd += cost.monthly
        self._shares += share(record.size, record.members, max_bytes=full.max_bytes, max_members=full.max_members)


def report(archives: Iterable[Filed], by: By, full: Full, prices: Prices = US_EAST_1) -> list[Line]:
    """Return a line for each bucket or folder, in that order."""
    lines: dict[tuple[str, str], Line] = {}
    for archive in archives:
        bucket, key = archive.record.ref.bucket, archive.record.ref.key
        top = key[: key.find("/") + 1] if by is By.TOP else ""
        lines.setdefault((bucket, top), Line(bucket, top)).add(archive, full, prices)
    return [line for _, line in sorted(lines.items())]


def month_of(text: str) -> tuple[datetime, datetime]:
    """Return when the month `text` (`2026-11`) begins and when the next one does, UTC. Raises `ValueError`."""
    first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    following = (first.year, first.month + 1) if first.month < 12 else (first.year + 1, 1)  # noqa: PLR2004  # December
    return first, datetime(*following, 1, tzinfo=UTC)
