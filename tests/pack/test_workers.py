"""Processes of a pass: one that dies at a bad moment takes the work with it, and not the pass."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor
from concurrent.futures import process as executor

import pytest

from s3batch.pack.settling import settle_in
from s3batch.pack.workers import REMOVE, _Pool

SECONDS = 30
"""Longer than anything here takes."""


def _die(_: None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_starts_while_another_dies_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor overlooks it when it ends the others of a broken pool; a pass waited for it for ever."""
    manager = executor._ExecutorManagerThread
    # Named so since 3.12, where the lock is held from before the processes are ended, and nothing is overlooked.
    name = "_join_executor_internals" if hasattr(manager, "_join_executor_internals") else "join_executor_internals"
    join = getattr(manager, name)
    late = threading.Event()

    def joined_late(self: executor._ExecutorManagerThread, **said: bool) -> None:
        process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(2 * SECONDS,))
        process.start()
        assert process.pid is not None
        self.processes[process.pid] = process  # type: ignore[assignment]  # a spawned process is one in all but name
        late.set()
        join(self, **said)

    monkeypatch.setattr(manager, name, joined_late)
    pool = _Pool(1)
    with pytest.raises(BrokenExecutor):
        pool.submit(_die, None).result(SECONDS)
    assert late.wait(SECONDS)

    ending = threading.Thread(target=pool.end, daemon=True)
    ending.start()
    ending.join(SECONDS)
    assert not ending.is_alive()


def test_a_remover_starts_with_what_removing_needs() -> None:
    """Not with what builds archives, which takes as long again to import."""
    handed = pickle.dumps((settle_in, REMOVE))
    started = "import pickle, sys; pickle.load(sys.stdin.buffer); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", started], input=handed, capture_output=True, check=True)
    loaded = set(said.stdout.decode().split())

    assert {"s3sync.dropzone.chunks", "s3batch.pack.settling"} <= loaded
    assert set() == {"awscrt", "s3batch.pack.build", "s3batch.model"} & loaded
