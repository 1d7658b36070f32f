"""Processes of a pass: one that dies at a bad moment takes the work with it, and not the pass."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor
from concurrent.futures import process as executor

import pytest

from s3batch.pack.workers import _Pool

SECONDS = 30
"""Longer than anything here takes."""


def _die(_: None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_starts_while_another_dies_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor overlooks it when it ends the others of a broken pool; a pass waited for it for ever."""
    join = executor._ExecutorManagerThread.join_executor_internals
    late = threading.Event()

    def joined_late(self: executor._ExecutorManagerThread) -> None:
        process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(2 * SECONDS,))
        process.start()
        assert process.pid is not None
        self.processes[process.pid] = process  # type: ignore[assignment]  # a spawned process is one in all but name
        late.set()
        join(self)

    monkeypatch.setattr(executor._ExecutorManagerThread, "join_executor_internals", joined_late)
    pool = _Pool(1)
    with pytest.raises(BrokenExecutor):
        pool.submit(_die, None).result(SECONDS)
    assert late.wait(SECONDS)

    ending = threading.Thread(target=pool.end, daemon=True)
    ending.start()
    ending.join(SECONDS)
    assert not ending.is_alive()
