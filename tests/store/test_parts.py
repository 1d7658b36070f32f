from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync.errors import Permanent
from s3sync.store.parts import GIB, MAX_PART_BYTES, MAX_PARTS, MIB, MIN_PART_BYTES, Part, cut, part_size_for

LARGEST = MAX_PARTS * MAX_PART_BYTES


@given(st.integers(0, LARGEST), st.integers(1, 8 * GIB))
def test_ten_thousand_parts_always_suffice(object_size: int, wanted: int) -> None:
    """Whatever is wanted, the parts are whole MiB, within S3's limits, and few enough."""
    part_size = part_size_for(object_size, wanted)

    assert 0 == part_size % MIB
    assert MIN_PART_BYTES <= part_size <= MAX_PART_BYTES
    assert part_size * MAX_PARTS >= object_size


@pytest.mark.parametrize(
    ("object_size", "wanted", "expected"),
    [
        (GIB, 64 * MIB, 64 * MIB),
        (GIB, 1, 5 * MIB),
        (GIB, 8 * MIB + 1, 9 * MIB),
        (10_000 * 64 * MIB, 64 * MIB, 64 * MIB),
        (10_000 * 64 * MIB + 1, 64 * MIB, 65 * MIB),
        (LARGEST, 64 * MIB, 5 * GIB),
    ],
)
def test_the_wanted_size_is_kept_where_it_can_be(object_size: int, wanted: int, expected: int) -> None:
    """Only S3's limits change it."""
    assert expected == part_size_for(object_size, wanted)


def test_an_object_no_parts_can_hold_is_refused() -> None:
    """One byte more than 10,000 of the largest parts."""
    with pytest.raises(Permanent):
        part_size_for(LARGEST + 1, 64 * MIB)


@given(st.integers(1, 10_000), st.integers(1, 500))
def test_parts_together_are_every_byte_once(object_size: int, part_size: int) -> None:
    """In order, without gaps, numbered from 1, only the last smaller."""
    parts = cut(object_size, part_size)

    assert list(range(1, len(parts) + 1)) == [part.number for part in parts]
    assert [0, *accumulate(part.size for part in parts[:-1])] == [part.offset for part in parts]
    assert object_size == sum(part.size for part in parts)
    assert all(part_size == part.size for part in parts[:-1])


def test_an_empty_object_is_one_empty_part() -> None:
    """S3 joins no fewer than one part."""
    assert [Part(1, 0, 0)] == cut(0, 5 * MIB)
