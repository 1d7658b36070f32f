"""What the agent and its processes hold in memory at most, while a backlog goes through and while one archive is large."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from s3sync.output import human_size
from tests.bench.sets import MIB, make
from tests.bench.whole import BUCKET, QUIET_SECONDS, Place

LOOK_SECONDS = 0.02
FILES = 1_000_000
LARGE_GIB = 10


@dataclass(slots=True)
class Peak:
    """Bytes of resident memory at most: of the agent, and of the largest process it started."""

    agent: int = 0
    worker: int = 0

    def look(self, agent: psutil.Process) -> None:
        """Take notice of every process there is now; the kernel keeps each one's highest."""
        self.agent = max(self.agent, _highest(agent.pid))
        for each in agent.children(recursive=True):
            self.worker = max(self.worker, _highest(each.pid))


def measure(base: Path, scale: float, url: str) -> list[tuple[str, str, str]]:
    """Return a row for a backlog of 1,000,000 x `scale` small files, and one for a file of 10 GiB x `scale`."""
    files, size = int(FILES * scale), int(LARGE_GIB * 1024 * scale) * MIB
    zone, state = base / "zone", base / "state"
    make("small", zone / BUCKET, files / 100_000)
    backlog = _pass(Place(zone, state, url), {})
    with (zone / BUCKET / "one.bin").open("wb") as file:
        file.truncate(size)
    room = {"S3BATCH_MAX_BATCH_SIZE": f"{size // MIB + 1}MiB", "S3BATCH_SPOOL_LIMIT": f"{2 * size // MIB}MiB"}
    large = _pass(Place(zone, state, url), room)
    return [(f"{files:,} files of 4 KiB", *backlog), (f"one file of {human_size(size)}, one archive", *large)]


def _pass(place: Place, more: dict[str, str]) -> tuple[str, str]:
    """Empty the drop zone; return the peaks of agent and workers in MiB."""
    place.state.mkdir(exist_ok=True)
    time.sleep(QUIET_SECONDS + 0.2)
    peak = Peak()
    ours, environment = [sys.executable, "-m", "s3batch", "run", "--once"], {**place.environment, **more}
    with subprocess.Popen(ours, env=environment, stdout=subprocess.DEVNULL) as agent:
        watched = psutil.Process(agent.pid)
        while agent.poll() is None:
            with suppress(psutil.NoSuchProcess):
                peak.look(watched)
            time.sleep(LOOK_SECONDS)
    left = sum(len(names) for _, _, names in os.walk(place.zone / BUCKET))
    assert (agent.returncode, left) == (0, 0), f"the pass ended with {agent.returncode} and left {left} files"
    return f"{peak.agent / MIB:.0f}", f"{peak.worker / MIB:.0f}"


def _highest(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0
