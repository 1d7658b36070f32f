"""Several jobs at once from a stream that may be longer than memory, and their results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Result = TypeVar("Result")

AHEAD = 2
"""How many jobs are taken from the stream for each worker, so that none ever waits for the stream."""


def in_parallel(jobs: Iterable[Callable[[], Result]], *, workers: int, stopping: Callable[[], bool]) -> Iterator[Result]:
    """Yield the results of `jobs`, run by `workers` threads, in the order they are done.

    Once `stopping` says so no further job is taken; those under way are waited for. What a job raises is raised here when those
    under way have ended, and the rest of the stream is left alone: a job must not raise what concerns nobody but itself.
    """
    stream = iter(jobs)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="drop") as pool:
        running: set[Future[Result]] = set()
        try:
            while True:
                room = 0 if stopping() else workers * AHEAD - len(running)
                running |= {pool.submit(job) for job in islice(stream, room)}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()
