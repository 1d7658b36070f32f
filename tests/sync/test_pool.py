"""Jobs run at once, in bounded numbers, and one that raises ends the stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from s3sync.transfer.pool import AHEAD, in_parallel


def test_every_result_comes_once() -> None:
    """Whatever the order, all jobs of the stream are done."""
    results = in_parallel((partial(pow, number, 2) for number in range(50)), workers=4, stopping=lambda: False)

    assert sorted(results) == [n * n for n in range(50)]


def test_the_stream_is_read_no_further_than_needed() -> None:
    """A stream longer than memory is taken in as its jobs are done."""
    taken: list[int] = []

    def stream() -> Iterator[Callable[[], int]]:
        for number in range(1000):
            taken.append(number)
            yield lambda: 0

    results = in_parallel(stream(), workers=2, stopping=lambda: False)
    next(results)
    taken_first = len(taken)
    results.close()  # type: ignore[attr-defined]

    assert taken_first <= 2 * AHEAD + 2


def test_jobs_run_at_the_same_time() -> None:
    """Two jobs that wait for each other both end."""
    both = threading.Barrier(2, timeout=10)

    assert len(list(in_parallel([both.wait, both.wait], workers=2, stopping=lambda: False))) == 2


def test_when_asked_to_stop_no_further_job_is_taken() -> None:
    """What is under way is finished, the rest is left."""
    stop = threading.Event()

    def job() -> int:
        stop.set()
        return 1

    assert sum(in_parallel((job for _ in range(1000)), workers=1, stopping=stop.is_set)) <= AHEAD


def test_what_a_job_raises_ends_the_stream() -> None:
    """The crash of one is seen, and those not begun are not begun."""
    begun: list[int] = []

    def job(number: int) -> None:
        begun.append(number)
        raise SystemExit(number)

    with pytest.raises(SystemExit):
        list(in_parallel((partial(job, number) for number in range(100)), workers=1, stopping=lambda: False))

    assert len(begun) <= AHEAD
