"""Worker processes that build archives, and die with the agent.

Spawned, not forked: a forked child would inherit the agent's locks and hold them after the agent was killed. Each asks the
kernel to be killed when its parent dies, and asks again whether the parent is still the one it knew, for the parent may
have died in between. Signals meant for the agent are the agent's: a worker ends with its job or with its parent. The pool
lasts one pass, so an idle agent keeps no idle processes.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from types import TracebackType
from typing import Protocol, Self

from s3batch.pack.build import BuildJob, Built, build

_PR_SET_PDEATHSIG = 1
"""prctl(2), from linux/prctl.h."""


class Builders(Protocol):
    """Something that builds archives out of line; tests build in line."""

    def submit(self, job: BuildJob, /) -> Future[Built]:
        """Begin to build; the future raises `OSError` where the spool failed, or `BrokenExecutor` where a worker died.

        Raises `OSError` where no worker can be started.
        """


class WorkerPool:
    """A pool of spawned workers, started when the first job comes."""

    def __init__(self, workers: int, builder: Callable[[BuildJob], Built] = build) -> None:
        """Use up to `workers` processes at a time, each building by `builder`."""
        self._workers = workers
        self._builder = builder
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, job: BuildJob) -> Future[Built]:
        """Begin to build `job`. Called from one long-lived thread only: a worker dies with the *thread* that started it.

        Where a worker died, what it and its fellows had before them is lost to them; this job and later ones get new ones.
        Raises `OSError` where none can be started.
        """
        try:
            return self._pool_now().submit(self._builder, job)
        except BrokenExecutor:
            self._end()
            return self._pool_now().submit(self._builder, job)
        except OSError:
            # No process, or no descriptor for one. The executor keeps the job all the same and would build it later for nobody.
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _pool_now(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_die_with_parent,
                initargs=(os.getpid(),),
            )
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


class InLine:
    """Builds in the calling thread: one process, one order, for tests that count steps."""

    def __init__(self, builder: Callable[[BuildJob], Built] = build) -> None:
        """Build by `builder`."""
        self._builder = builder

    def submit(self, job: BuildJob) -> Future[Built]:
        """Build now."""
        future: Future[Built] = Future()
        try:
            future.set_result(self._builder(job))
        except Exception as error:  # noqa: BLE001 - handed to whoever asks the future, as an executor would
            future.set_exception(error)
        return future


def _die_with_parent(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
