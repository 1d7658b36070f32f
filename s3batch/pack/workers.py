"""Worker processes that build archives and remove originals, and die with the agent.

Spawned, not forked: a forked child would inherit the agent's locks and hold them after the agent was killed. Each imports what
it is handed and no more (`s3batch.pack.settling`). Asked to terminate, a worker goes at once, and what it was doing is done
again. Building and removing have processes of their own, so that neither waits for the other. Both last one
pass, so an idle agent keeps no idle processes.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from s3batch.pack.build import BuildJob, Built, build
from s3batch.pack.settling import settle_in
from s3sync.dropzone.chunks import Chunk, remove_elsewhere
from s3sync.dropzone.removal import Outcome

REMOVE = partial(remove_elsewhere, sleep=time.sleep)
"""What a remover is handed: named by where it lies, since whatever the file of its name imports the remover imports too."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class Builders(Protocol):
    """Something that builds archives out of line; tests build in line."""

    def submit(self, job: BuildJob, /) -> Future[Built]:
        """Begin to build; the future raises `OSError` where the spool failed, or `BrokenExecutor` where a worker died.

        Raises `OSError` where no worker can be started.
        """


class Workers:
    """Both kinds of processes, each kind started when its first job comes. As a context: one pass."""

    def __init__(self, builders: int, removers: int, builder: Callable[[BuildJob], Built] = build) -> None:
        """Use up to so many processes of each kind at a time, each building by `builder`."""
        self.at_once = removers
        """How many chunks are removed at the same time."""
        self._builder = builder
        self._builders = _Pool(builders)
        self._removers = _Pool(removers)

    def submit(self, job: BuildJob) -> Future[Built]:
        """Begin to build; see `Builders`."""
        return self._builders.submit(self._builder, job)

    def remove(self, chunk: Chunk) -> Future[Outcome]:
        """Begin to remove; see `s3sync.dropzone.chunks.Removers`. Raises `OSError` where no worker can be started."""
        return self._removers.submit(REMOVE, chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._builders.end()
        self._removers.end()


class _Pool:
    """Processes of one kind. Any thread may hand in work."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._turn = threading.Lock()
        self._starter: ThreadPoolExecutor | None = None
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, work: Callable[[Job], Result], job: Job) -> Future[Result]:
        """Begin with `job`.

        Where a worker died, what it and its fellows had before them is lost to them; this job and later ones get new ones.
        Raises `OSError` where none can be started.
        """
        with self._turn:
            if self._starter is None:
                # A worker dies with the thread that started it, so that is one that lasts as long as they do.
                self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
            return self._starter.submit(self._begin, work, job).result()

    def end(self) -> None:
        """Wait for what was begun, drop what was not, and end the processes."""
        with self._turn:
            self._end()
            if self._starter is not None:
                self._starter.shutdown()
                self._starter = None

    def _begin(self, work: Callable[[Job], Result], job: Job) -> Future[Result]:
        try:
            return self._pool_now().submit(work, job)
        except BrokenExecutor:
            self._end()
            return self._pool_now().submit(work, job)
        except OSError:
            # No process, or no descriptor for one. The executor keeps the job all the same and would do it later for nobody.
            self._end()
            raise

    def _pool_now(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=settle_in,
                initargs=(os.getpid(),),
            )
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            _kill_overlooked(self._pool)
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


class InLine:
    """Does everything in the calling thread: one process, one order, for tests that count steps."""

    at_once = 0

    def __init__(self, builder: Callable[[BuildJob], Built] = build) -> None:
        """Build by `builder`."""
        self._builder = builder

    def submit(self, job: BuildJob) -> Future[Built]:
        """Build now."""
        return _now(self._builder, job)

    def remove(self, chunk: Chunk) -> Future[Outcome]:
        """Remove now."""
        return _now(REMOVE, chunk)


def _kill_overlooked(pool: ProcessPoolExecutor) -> None:
    """Kill what is left of a pool one of whose processes died.

    The executor terminates them itself, without a lock: one that was being started at that moment is overlooked, waits for
    work, and is waited for, for ever (seen with CPython 3.11.7).
    """
    if pool._broken:  # noqa: SLF001 - nothing public tells, short of handing in work
        for process in list((pool._processes or {}).values()):  # noqa: SLF001 - nor which processes are whose
            process.kill()


def _now(work: Callable[[Job], Result], job: Job) -> Future[Result]:
    future: Future[Result] = Future()
    try:
        future.set_result(work(job))
    except Exception as error:  # noqa: BLE001 - handed to whoever asks the future, as an executor would
        future.set_exception(error)
    return future
