"""Work done ahead of its use by other threads: in order, and never more of it than said.

It is what lets one bulk be made while the one before is on its way, in memory that does not grow with how much there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from s3sync.errors import Failure

BULKS_AHEAD = 3
"""Bulks that are made and not yet settled, the one on its way among them."""

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Made], items: Iterable[Item], most: Callable[[], int]
) -> Generator[tuple[Item, Made], None, None]:
    """Yield each item with what `work` makes of it in `pool`, in the order of `items`, of which up to `most()` are taken ahead.

    A `Failure` of `items` or of `work` is raised once, after everything before it was yielded. Close it where you leave it
    early: what has not begun is not done then, and what has is waited for.
    """
    begun: deque[tuple[Item, Future[Made]]] = deque()
    failures: list[Failure] = []
    try:
        for item in _until_failure(items, failures):
            begun.append((item, pool.submit(work, item)))
            while len(begun) >= most():
                yield _first(begun)
        while begun:
            yield _first(begun)
    finally:
        for _, future in begun:
            future.cancel()
        wait([future for _, future in begun])
    if failures:
        raise failures[0]


def _until_failure(items: Iterable[Item], failures: list[Failure]) -> Iterator[Item]:
    try:
        yield from items
    except Failure as failure:
        failures.append(failure)


def _first(begun: deque[tuple[Item, Future[Made]]]) -> tuple[Item, Made]:
    item, future = begun[0]
    made = future.result()
    begun.popleft()
    return item, made
