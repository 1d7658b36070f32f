"""Lots: what is taken together, and that nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest

from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.transfer.lots import LOT_BYTES, LOT_FILES, OPEN_FILES, in_lots


def candidates(sizes: list[int], bucket: str = "bucket") -> list[Candidate]:
    """Return a candidate of each size."""
    return [Candidate(bucket, b"%d" % n, b"b/%d" % n, Identity(1, n, size, 0, 0)) for n, size in enumerate(sizes)]


def test_all_come_in_their_order() -> None:
    """Cut, and nothing else."""
    made = candidates([4096] * 1000)

    lots = list(in_lots(made, workers=4))

    assert made == list(chain.from_iterable(lots))
    assert max(map(len, lots)) == LOT_FILES


@pytest.mark.parametrize(
    ("files", "workers", "sizes"), [(1, 16, [1]), (16, 16, [1] * 16), (40, 4, [10, 8, 6, 4, 3, 3, 2, 1, 1, 1, 1])]
)
def test_towards_the_end_they_become_smaller(files: int, workers: int, sizes: list[int]) -> None:
    """Few files are spread over all workers."""
    assert sizes == [len(lot) for lot in in_lots(candidates([1] * files), workers=workers)]


def test_a_lot_is_of_one_bucket() -> None:
    """So that a bucket that refuses is known before the next lot."""
    mixed = [*candidates([1] * 3, "a"), *candidates([1] * 3, "b")]

    assert [["a"] * 3, ["b"] * 3] == [[each.bucket for each in lot] for lot in in_lots(mixed, workers=1)]


def test_what_is_large_goes_alone() -> None:
    """Its neighbours need not wait for it."""
    lots = list(in_lots(candidates([10, LOT_BYTES * 5, 10, LOT_BYTES // 2, LOT_BYTES // 2]), workers=1))

    assert [[10], [LOT_BYTES * 5], [10, LOT_BYTES // 2], [LOT_BYTES // 2]] == [
        [each.identity.size for each in lot] for lot in lots
    ]


def test_many_workers_do_not_hold_many_files_open() -> None:
    """A process has only so many descriptors."""
    lots = in_lots(candidates([1] * 10_000), workers=100)

    assert len(next(lots)) * 100 <= OPEN_FILES
    assert 1 == len(next(in_lots(candidates([1] * 10_000), workers=1000)))


def test_the_stream_is_read_no_further_than_needed() -> None:
    """It may be longer than memory."""
    taken: list[int] = []

    def stream() -> Iterator[Candidate]:
        for number, candidate in enumerate(candidates([1] * 1000)):
            taken.append(number)
            yield candidate

    next(in_lots(stream(), workers=2))

    assert 2 * LOT_FILES == len(taken)
