"""Run a real program and end it by SIGKILL at its n-th step that matters: `python -m tests.crash.driver N PROGRAM ARGS...`.

A step is what outlives the process: a committed transaction, a call to the store, a rename or removal of an original, a
spool file flushed. The process dies just before the n-th such act, so that n = 1, 2, 3... walks through the whole life of a
batch; n = 0 only counts. What the steps were is written to the file named by CRASH_STEPS, a line each, before the act.

Everything runs in one thread, so that the acts have one order and the n-th is the same in every run. CRASH_CLOCK_SECONDS sets
the wall clock forward, CRASH_VERSION makes it another version of the program, CRASH_NO_FLUSH one that forgets to flush.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta
from typing import Any

from s3batch import __version__, app
from s3batch.catalogue import rebuild
from s3batch.restore import flushing
from s3sync import wiring
from s3sync.dropzone import slots, syscalls
from s3sync.statedb import StateDb
from s3sync.store import multipart
from s3sync.store.s3 import S3Store
from tests.doubles.workers import InLineWorkers


class Steps:
    """Counts acts and dies before the chosen one."""

    def __init__(self, die_at: int, log: int) -> None:
        self._die_at = die_at
        self._log = log
        self._count = 0
        self._lock = threading.Lock()

    def before(self, name: str) -> None:
        """Note that `name` is about to happen, or never happens."""
        with self._lock:
            self._count += 1
            os.write(self._log, f"{self._count} {name}\n".encode())
            if self._count == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, owner: Any, attribute: str, name: str) -> None:  # noqa: ANN401 - a module or class
        """Let `owner.attribute` be counted whenever it is called."""
        act: Callable[..., object] = getattr(owner, attribute)

        def counted(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - whatever the act takes
            self.before(name)
            return act(*args, **kwargs)

        setattr(owner, attribute, counted)


def install(steps: Steps) -> None:
    """Put the counter before every act that outlives the process."""
    one_thread()
    steps.wrap(StateDb, "write", "transaction")
    for call in ("put", "abort", "head", "thaw"):
        steps.wrap(S3Store, call, call)
    steps.wrap(slots.Slots, "move_in", "move into quarantine")
    steps.wrap(slots.Slots, "give_back", "give back")
    steps.wrap(os, "unlink", "unlink")
    steps.wrap(os, "fsync", "fsync")
    steps.wrap(syscalls, "flush_filesystem", "syncfs")


def one_thread() -> None:
    """Let everything happen in the calling thread, in one order, at the time and in the version the environment says."""
    set_ahead()
    vars(app)["__version__"] = os.environ.get("CRASH_VERSION", __version__)
    vars(app)["Workers"] = InLineWorkers
    for module in (app, rebuild, multipart, flushing):
        vars(module)["ThreadPoolExecutor"] = InLineExecutor
    if "CRASH_NO_FLUSH" in os.environ:
        vars(os)["fsync"] = vars(syscalls)["flush_filesystem"] = lambda _fd: None


def set_ahead() -> None:
    """Set the wall clock forward by what the environment says, and by two seconds."""
    ahead = int(os.environ.get("CRASH_CLOCK_SECONDS", "0"))
    real_time_ns = time.time_ns
    # What was dropped a moment ago has been quiet long enough: nobody has to wait for that.
    time.time_ns = lambda: real_time_ns() + (2 + ahead) * 10**9
    vars(wiring)["datetime"] = _Ahead
    _Ahead.by = timedelta(seconds=ahead)


class _Ahead(datetime):
    """A clock that is ahead."""

    by = timedelta()

    @classmethod
    def now(cls, tz: Any = UTC) -> Any:  # noqa: ANN401 - stands where datetime stands
        return datetime.now(tz) + cls.by


class InLineExecutor(Executor):
    """Does what it is given at once, in the calling thread."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take what a pool of threads takes."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - as Executor says
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - handed to whoever asks the future, as an executor would
            future.set_exception(error)
        return future


def run(words: list[str]) -> int:
    """Run a program under the counter; `words` are as on the command line."""
    die_at, program, *arguments = words
    log = os.open(os.environ["CRASH_STEPS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    install(Steps(int(die_at), log))
    if program == "s3sync":
        from s3sync.cli import main
    else:
        from s3batch.cli import main
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
