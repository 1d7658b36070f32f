"""What measurements share: files to measure with, one program's turn, and the table of all."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s3sync.output import Output, table

FOLDERS, SIZE = 1_000, 4096


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of one program."""

    wall_seconds: float
    cpu_seconds: float


def make_files(root: Path, count: int, *, bucket: str = "bucket") -> Path:
    """Make `count` files of `SIZE` bytes in folders below one first-level folder of one bucket; return `root`."""
    content = os.urandom(SIZE)
    for number in range(count):
        folder = root / bucket / "top" / f"{number * FOLDERS // count:04}"
        if number * FOLDERS % count < FOLDERS:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{number:06}.bin").write_bytes(content)
    return root


def take_turn(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Turn:
    """Run a program once, with all the processes it starts. Raises `CalledProcessError` where it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Turn(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def report(headline: str, turns: Mapping[str, Sequence[Turn]]) -> None:
    """Print medians, and the ratio of the first program's time to every other's, pair by pair."""
    ours = next(iter(turns.values()))
    rows = []
    for name, others in turns.items():
        ratio = statistics.median(our.wall_seconds / other.wall_seconds for our, other in zip(ours, others, strict=True))
        wall, cpu = (
            statistics.median(values) for values in zip(*((t.wall_seconds, t.cpu_seconds) for t in others), strict=True)
        )
        rows.append((name, f"{wall:.2f}", f"{cpu:.2f}", f"{ratio:.2f}"))
    say = Output().text
    say(headline)
    build = f"{platform.python_implementation()} {platform.python_version()}"
    say(f"{build}, {os.cpu_count()} processors; medians of {len(ours)}, ratios pair by pair.")
    for line in table(rows, ("program", "wall s", "cpu s", "s3batch takes x")):
        say(line)
