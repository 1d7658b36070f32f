"""What measurements share: one program's turn, and the table of all programs' turns."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s3sync.mounts import filesystem_of
from s3sync.output import table


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of one program, with all the processes it waited for."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    """Of the largest of its processes."""


_LAUNCHER = """
import os, sys, time
began = time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
wall = time.monotonic() - began
with open(sys.argv[1], "w") as told:
    print(wall, used.ru_utime + used.ru_stime, used.ru_maxrss << 10, file=told)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts and times a program from a small process: what a process takes at its most is counted from before its own start."""


def take_turn(command: Sequence[str], *, environment: Mapping[str, str] | None = None, cwd: str | None = None) -> Turn:
    """Run a program once. Raises `CalledProcessError` where it fails, with what it said."""
    with tempfile.NamedTemporaryFile("r") as told:
        launched = [sys.executable, "-I", "-S", "-c", _LAUNCHER, told.name, *command]
        ended = subprocess.run(launched, env=environment, cwd=cwd, check=False, capture_output=True, text=True)
        if ended.returncode:
            sys.stderr.write(f"{ended.stdout[-2_000:]}{ended.stderr[-2_000:]}")
            ended.check_returncode()
        wall, cpu, peak = told.read().split()
    return Turn(float(wall), float(cpu), int(peak))


def alternate(programs: Mapping[str, Callable[[], Turn]], runs: int) -> dict[str, list[Turn]]:
    """Let every program take a turn to warm up, and then `runs` turns each, one after another."""
    turns: dict[str, list[Turn]] = {name: [] for name in programs}
    for run in range(runs + 1):
        for name, program in programs.items():
            turn = program()
            if run:
                turns[name].append(turn)
    return turns


def compared(turns: Mapping[str, Sequence[Turn]]) -> list[str]:
    """Return a table of medians, with the ratio of the first program's time to every other's, pair by pair."""
    ours = next(iter(turns.values()))
    rows = []
    for name, others in turns.items():
        ratio = statistics.median(our.wall_seconds / other.wall_seconds for our, other in zip(ours, others, strict=True))
        wall = statistics.median(turn.wall_seconds for turn in others)
        cpu = statistics.median(turn.cpu_seconds for turn in others)
        peak = max(turn.peak_bytes for turn in others)
        rows.append((name, f"{wall:.2f}", f"{cpu:.2f}", f"{peak / (1 << 20):.0f}", f"{ratio:.2f}"))
    return table(rows, ("program", "wall s", "cpu s", "peak MiB", "s3batch takes x"))


def compared_by_object(turns: Mapping[str, Sequence[Turn]], objects: int) -> list[str]:
    """Return a table of medians for so many objects, with the ratios of the first program's time and processor to others'."""
    ours = next(iter(turns.values()))
    rows = []
    for name, others in turns.items():
        pairs = list(zip(ours, others, strict=True))
        wall = statistics.median(turn.wall_seconds for turn in others)
        cpu = statistics.median(turn.cpu_seconds for turn in others) / objects * 1000
        peak = max(turn.peak_bytes for turn in others)
        slower = statistics.median(our.wall_seconds / other.wall_seconds for our, other in pairs)
        dearer = statistics.median(our.cpu_seconds / other.cpu_seconds for our, other in pairs)
        rows.append((name, f"{wall:.2f}", f"{cpu:.2f}", f"{peak / (1 << 20):.0f}", f"{slower:.2f}", f"{dearer:.2f}"))
    return table(rows, ("program", "wall s", "cpu s per 1,000", "peak MiB", "s3sync takes x", "its cpu x"))


def machine(runs: int, base: Path) -> str:
    """Say what was measured on, and on which filesystem the files lay."""
    made = platform.python_implementation(), platform.python_version(), ", ".join(platform.python_build())
    load = os.getloadavg()[0]
    python = f"{made[0]} {made[1]} ({made[2]})"
    return f"{python}, {os.cpu_count()} processors, load {load:.1f}, files on {filesystem_of(base).kind}; medians of {runs}."
