"""`make bench`: how long building an archive takes beside GNU tar and Python's tarfile.

Programs run in turn, a warm-up first; quoted are medians of the whole processes, and the ratios between them pair by pair.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from s3sync.output import Output, table

FILES, FOLDERS, SIZE = 100_000, 1_000, 4096


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of one program."""

    wall_seconds: float
    cpu_seconds: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each program (default: 5)")
    parser.add_argument("--files", type=int, default=FILES, help=f"how many files of {SIZE} bytes (default: {FILES})")
    args = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="s3batch-bench-"))
    try:
        root = make_files(base / "zone", args.files)
        programs = commands(root, base / "out", args.files)
        turns: dict[str, list[Turn]] = {name: [] for name in programs}
        for run in range(args.runs + 1):
            for name, command in programs.items():
                turn = take_turn(command, base / "out")
                if run:
                    turns[name].append(turn)
    finally:
        shutil.rmtree(base)
    report(args.files, turns)


def make_files(root: Path, count: int) -> Path:
    """Make `count` files in folders below one first-level folder of one bucket."""
    content = os.urandom(SIZE)
    for number in range(count):
        folder = root / "bucket" / "top" / f"{number * FOLDERS // count:04}"
        if number * FOLDERS % count < FOLDERS:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{number:06}.bin").write_bytes(content)
    return root


def commands(root: Path, out: Path, files: int) -> dict[str, list[str]]:
    """Return what is run."""
    pack = [sys.executable, "-m", "tests.bench.pack"]
    return {
        "s3batch": [*pack, "two", str(root), str(out), str(files)],
        "s3batch, one worker": [*pack, "one", str(root), str(out), str(files)],
        "GNU tar": ["tar", "-cf", str(out), "-C", str(root), "."],
        "tarfile": [*pack, "tarfile", str(root), str(out), str(files)],
    }


def take_turn(command: list[str], out: Path) -> Turn:
    """Run a program once and remove what it made."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    return Turn(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def report(files: int, turns: dict[str, list[Turn]]) -> None:
    """Print medians, and the ratio of ours to every other, pair by pair."""
    ours = turns["s3batch"]
    rows = []
    for name, others in turns.items():
        ratio = statistics.median(our.wall_seconds / other.wall_seconds for our, other in zip(ours, others, strict=True))
        wall, cpu = (
            statistics.median(values) for values in zip(*((t.wall_seconds, t.cpu_seconds) for t in others), strict=True)
        )
        rows.append((name, f"{wall:.2f}", f"{cpu:.2f}", f"{ratio:.2f}"))
    say = Output().text
    say(f"{files} files of {SIZE} bytes into one archive; {platform.python_implementation()} {platform.python_version()},")
    say(f"{os.cpu_count()} processors; medians of {len(ours)}. s3batch also leases, compares twice, and hashes every member.")
    for line in table(rows, ("program", "wall s", "cpu s", "s3batch takes x")):
        say(line)


if __name__ == "__main__":
    main()
