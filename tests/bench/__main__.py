"""`make bench`: how long building an archive takes beside GNU tar and Python's tarfile; with `--whole`, the whole job.

Programs run in turn, a warm-up first; quoted are medians of the whole processes, and the ratios between them pair by pair.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from s3sync.output import Output
from tests.bench.turns import SIZE, Turn, make_files, report, take_turn
from tests.bench.whole import measure

FILES = 100_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each program (default: 5)")
    parser.add_argument("--files", type=int, default=FILES, help=f"how many files of {SIZE} bytes (default: {FILES})")
    parser.add_argument("--whole", action="store_true", help="from a full drop zone to an empty one, beside other programs")
    args = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="s3batch-bench-"))
    try:
        if args.whole:
            _whole(base, args.files, args.runs)
        else:
            _packing(base, args.files, args.runs)
    finally:
        shutil.rmtree(base)


def _packing(base: Path, files: int, runs: int) -> None:
    root, out = make_files(base / "zone", files), base / "out"
    programs = commands(root, out, files)
    turns: dict[str, list[Turn]] = {name: [] for name in programs}
    for run in range(runs + 1):
        for name, command in programs.items():
            turn = take_turn(command)
            shutil.rmtree(out) if out.is_dir() else out.unlink()
            if run:
                turns[name].append(turn)
    report(f"Packing {files} files of {SIZE} bytes; s3batch also judges, leases, compares twice and hashes every one.", turns)


def _whole(base: Path, files: int, runs: int) -> None:
    measured = measure(base, files, runs)
    report(f"{files} files of {SIZE} bytes from the drop zone into an S3 that forgets them.", measured.turns)
    for name in measured.missing:
        Output().text(f"missing here: {name}")


def commands(root: Path, out: Path, files: int) -> dict[str, list[str]]:
    """Return what is run to measure packing."""
    pack = [sys.executable, "-m", "tests.bench.pack"]
    return {
        "s3batch": [*pack, "two", str(root), str(out), str(files)],
        "s3batch, one worker": [*pack, "one", str(root), str(out), str(files)],
        "GNU tar": ["tar", "-cf", str(out), "-C", str(root), "."],
        "tarfile": [*pack, "tarfile", str(root), str(out), str(files)],
    }


if __name__ == "__main__":
    main()
