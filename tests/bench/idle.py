"""What an agent costs that has nothing to do: a pass over files that are too young, the time to be ready, and standing by."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

from s3batch.model import Batch, Closed
from s3batch.pack.journal import PackJournal
from s3batch.pack.names import Names
from s3sync.dropzone.candidate import Candidates
from s3sync.statedb import StateDb
from s3sync.store.contract import StorageClass
from tests.bench.sets import make
from tests.bench.turns import Turn, take_turn
from tests.bench.whole import BUCKET, Place

WATCHED_SECONDS = 30.0
UNFINISHED = 10_000
"""Batches that an earlier run left behind, more than any host ever has."""


def passes(base: Path, scale: float, url: str) -> dict[str, Callable[[], Turn]]:
    """Return a pass over 1,000,000 x `scale` files younger than the quiet period, and `find` over the same tree."""
    make("small", base / "zone" / BUCKET, scale * 10)
    (base / "state").mkdir()
    place = Place(base / "zone", base / "state", url)
    environment = {**place.environment, "S3BATCH_QUIET_PERIOD": "1d"}
    ours = [sys.executable, "-m", "s3batch", "run", "--once"]
    find = ["find", str(place.zone), "-newerct", "1 day ago", "-size", "-1"]
    return {
        "s3batch run --once": lambda: take_turn(ours, environment=environment),
        "find -newerct": lambda: take_turn(find),
    }


def standing_by(base: Path, url: str) -> list[tuple[str, str]]:
    """Return what an agent with an empty drop zone takes: seconds until it says READY, memory, and share of a processor."""
    (base / "zone" / BUCKET).mkdir(parents=True)
    (base / "state").mkdir()
    place = Place(base / "zone", base / "state", url)
    with _agent(place, base) as (agent, ready_seconds):
        watched = psutil.Process(agent.pid)
        time.sleep(2)
        before, began = watched.cpu_times(), time.monotonic()
        time.sleep(WATCHED_SECONDS)
        after = watched.cpu_times()
        spent = max(0.0, after.user + after.system - before.user - before.system)
        memory = watched.memory_info().rss
    _leave_unfinished(place.state / "s3batch" / "journal.db")
    with _agent(place, base) as (_, ready_late_seconds):
        pass
    return [
        ("start to READY", f"{ready_seconds:.2f} s"),
        (f"start to READY, {UNFINISHED:,} unfinished batches", f"{ready_late_seconds:.2f} s"),
        ("memory of an idle agent", f"{memory / (1 << 20):.0f} MiB"),
        ("processor of an idle agent", f"{100 * spent / (time.monotonic() - began):.3f} %"),
    ]


def _leave_unfinished(path: Path) -> None:
    """Reserve batches that nobody goes on with."""
    names = Names(
        storage_class=StorageClass.DEEP_ARCHIVE,
        manifest_bucket=None,
        host="host",
        tool="bench",
        new_suffix=lambda: uuid.uuid4().hex[:12],
    )
    batch = Batch(bucket=BUCKET, folder="", candidates=Candidates(BUCKET), planned_bytes=0, reason=Closed.ONCE)
    with StateDb.open(path) as db:
        journal = PackJournal(db, now=lambda: datetime.now(UTC))
        for _ in range(UNFINISHED):
            journal.reserve(batch, names)


@contextmanager
def _agent(place: Place, base: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        (base / "notify").unlink(missing_ok=True)
        told.bind(os.fspath(base / "notify"))
        told.settimeout(60)
        environment = {**place.environment, "NOTIFY_SOCKET": os.fspath(base / "notify")}
        began = time.monotonic()
        with subprocess.Popen([sys.executable, "-m", "s3batch", "run"], env=environment) as agent:
            try:
                while b"READY=1" not in told.recv(4096):
                    pass
                yield agent, time.monotonic() - began
            finally:
                agent.send_signal(signal.SIGTERM)
                agent.wait()
