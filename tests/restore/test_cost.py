from __future__ import annotations

from decimal import Decimal

import pytest

from s3batch.restore.cost import US_EAST_1, ColdArchive, Standing, dollars, estimate, upkeep
from s3sync.store.contract import StorageClass, Tier

GIB = 1024**3
ARCHIVE = ColdArchive(StorageClass.DEEP_ARCHIVE, GIB)


def close(expected: str, actual: Decimal) -> bool:
    """Tell whether an amount is what was worked out, to a hundredth of it."""
    return abs(Decimal(expected) - actual) <= Decimal(expected) / 100


def test_restore_of_scattered_members_costs_their_archives() -> None:
    """One member costs its whole archive: fifty archives of 1 GiB for a hundred small files."""
    bulk = estimate([ARCHIVE] * 50, members=100, member_bytes=100 * 65536, tier=Tier.BULK, days=2)
    standard = estimate([ARCHIVE] * 50, members=100, member_bytes=100 * 65536, tier=Tier.STANDARD, days=2)

    assert close("0.125", bulk.retrieval)
    assert close("1.00", standard.retrieval)
    assert close("0.0767", bulk.copies)
    assert close("0.00055", bulk.egress)
    assert (48.0, 12.0) == (bulk.hours, standard.hours)
    assert bulk.total == bulk.requests + bulk.retrieval + bulk.copies


@pytest.mark.parametrize(("standing", "hours"), [(Standing.UNDER_WAY, 48.0), (Standing.THAWED, 0.0)])
def test_thaws_paid_for_cost_nothing_again(standing: Standing, hours: float) -> None:
    """An archive whose thaw is under way or done is not paid for twice; the one still takes its hours, the other none."""
    paid = ColdArchive(StorageClass.DEEP_ARCHIVE, GIB, standing)

    found = estimate([paid], members=1, member_bytes=10, tier=Tier.BULK, days=3)

    assert (0, Decimal(0), hours) == (found.thaws, found.retrieval, found.hours)
    assert found.total == US_EAST_1.get


def test_readable_classes_take_no_time() -> None:
    """What needs no thaw comes at once, for the price of a GET."""
    warm = ColdArchive(StorageClass.GLACIER_IR, GIB)

    found = estimate([warm], members=3, member_bytes=10, tier=Tier.BULK, days=3)

    assert (0, 0.0) == (found.thaws, found.hours)
    assert found.total == 3 * US_EAST_1.get


@pytest.mark.parametrize(
    ("objects", "parts", "upload", "monthly"),
    [(1_000_000, 0, "50.00", "0.266"), (62, 0, "0.0031", "0.0605"), (62, 62 * 17, "0.0084", "0.0605")],
)
def test_keeping_a_million_small_files(objects: int, parts: int, upload: str, monthly: str) -> None:
    """A million files of 64 KiB, as objects or as archives, cost what was worked out by hand."""
    found = upkeep(1_000_000 * 65536, objects, StorageClass.DEEP_ARCHIVE, parts=parts)

    assert close(upload, found.upload)
    assert close(monthly, found.monthly)


@pytest.mark.parametrize(
    ("amount", "shown"), [("0", "$0.00"), ("12.345", "$12.34"), ("0.0042", "$0.004200"), ("0.0000001", "less than $0.000001")]
)
def test_dollars_show_what_is_not_nothing(amount: str, shown: str) -> None:
    """Small amounts show that they are not nothing."""
    assert shown == dollars(Decimal(amount))
