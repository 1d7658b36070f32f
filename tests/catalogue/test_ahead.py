from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from s3batch.catalogue.ahead import in_order
from s3sync.errors import Transient


@pytest.fixture(params=[1, 3])
def pool(request: pytest.FixtureRequest) -> Iterator[ThreadPoolExecutor]:
    """Return a pool of one thread, and of several."""
    with ThreadPoolExecutor(request.param) as made:
        yield made


@pytest.mark.parametrize("most", [1, 2, 50])
def test_in_order_and_never_too_far_ahead(pool: ThreadPoolExecutor, most: int) -> None:
    """Results come with their items, in the order of these, of which no more are taken than said."""
    taken: list[int] = []
    seen: list[tuple[int, int]] = []

    for item, made in in_order(pool, lambda number: number * number, _counted(taken, 20), lambda: most):
        seen.append((item, made))
        assert len(taken) - len(seen) < most

    assert [(number, number * number) for number in range(20)] == seen


def test_how_far_ahead_may_change(pool: ThreadPoolExecutor) -> None:
    """Where less may be taken, what is too much is yielded before anything more is."""
    taken: list[int] = []
    limits = {0: 6, 3: 2, 12: 4}
    seen: list[int] = []
    most = 1

    def limit() -> int:
        return most

    for item, _ in in_order(pool, lambda number: number, _counted(taken, 20), limit):
        seen.append(item)
        most = limits.get(item, most)
        assert len(taken) - len(seen) < 6
        if 8 < item < 12:
            assert len(taken) - len(seen) < 2

    assert list(range(20)) == seen


def test_failure_of_the_work_is_raised_in_its_turn(pool: ThreadPoolExecutor) -> None:
    """What was made before is yielded; what failed is raised once, and nothing after it is yielded."""
    seen = []

    def work(number: int) -> int:
        if number >= 3:
            raise Transient(str(number), "fails")
        return number

    with pytest.raises(Transient, match="3"):
        for item, _ in in_order(pool, work, range(10), lambda: 4):
            seen.append(item)

    assert [0, 1, 2] == seen


def test_failure_of_the_items_is_raised_after_what_was_taken(pool: ThreadPoolExecutor) -> None:
    """Where no more items can be had, those that were are yielded with their results first."""
    seen = []

    def failing() -> Iterator[int]:
        yield from range(3)
        raise Transient("items", "are gone")

    with pytest.raises(Transient, match="are gone"):
        for item, _ in in_order(pool, lambda number: number, failing(), lambda: 5):
            seen.append(item)

    assert [0, 1, 2] == seen


def test_left_early() -> None:
    """What is being done is waited for, and what has not begun is never done."""
    begun = threading.Event()
    let_go = threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        if number == 1:
            begun.set()
            let_go.wait(10)
        done.append(number)

    with ThreadPoolExecutor(1) as one:
        with closing(in_order(one, work, range(10), lambda: 4)) as results:
            next(results)
            begun.wait(10)
            threading.Timer(0.05, let_go.set).start()

        assert [0, 1] == done


def _counted(taken: list[int], most: int) -> Iterator[int]:
    for number in range(most):
        taken.append(number)
        yield number
