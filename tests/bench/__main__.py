"""`make bench`: what the agent costs beside other programs, as ratios. `make bench ARGS="SUBJECT ..."` chooses.

Programs run in turn, a warm-up first; quoted are medians of whole processes, and the ratios between them pair by pair.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from s3batch.catalogue.arrange import arrange
from s3sync.output import Output, table
from tests.bench import catalogue, growth, idle, memory, page, rebuild, restore, search, whole
from tests.bench.null_s3 import null_s3
from tests.bench.sets import SETS, make
from tests.bench.sync import CONNECTIONS, LATENCY_SECONDS, SYNC_FILES, SYNC_PEERS
from tests.bench.turns import Turn, alternate, compared, compared_by_object, machine, take_turn

GROWTH = (10_000, 30_000, 100_000, 300_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: where, how much, how often."""

    base: Path
    scale: float
    runs: int
    for_page: bool

    @contextmanager
    def room(self) -> Iterator[Path]:
        """An empty folder, gone afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self.base))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def pack(bench: Bench) -> Iterator[str]:
    """Building archives alone, beside GNU tar and Python's tarfile."""
    with bench.room() as base:
        root, out = make("small", base / "zone" / whole.BUCKET, bench.scale).parent, base / "out"
        files = int(100_000 * bench.scale)
        ours = [sys.executable, "-m", "tests.bench.pack"]
        commands = {
            "s3batch, two workers": [*ours, "two", str(root), str(out), str(files)],
            "s3batch, one worker": [*ours, "one", str(root), str(out), str(files)],
            "the build alone": [*ours, "built", str(root), str(out), str(files)],
            "plain loop, no promise": [*ours, "plain", str(root), str(out), str(files)],
            "GNU tar": ["tar", "-cf", str(out), "-C", str(root), "."],
            "tarfile": [*ours, "tarfile", str(root), str(out), str(files)],
        }

        def turn(command: list[str]) -> Turn:
            taken = take_turn(command)
            shutil.rmtree(out) if out.is_dir() else out.unlink()
            return taken

        yield f"{files:,} files of 4 KiB into tars; s3batch also scans, judges, leases, compares twice and hashes every one."
        yield from compared(alternate({name: partial(turn, each) for name, each in commands.items()}, bench.runs))


def emptying(name: str, latency_seconds: float = 0.0) -> Callable[[Bench], Iterator[str]]:
    """Return the whole job on a set of files."""

    def measure(bench: Bench) -> Iterator[str]:
        here, missing = whole.available(whole.PEERS)
        if name in {"small", "flat", "mixed"} and bench.scale > SLOW_SCALE:
            here.pop("aws s3 mv", None)
            missing.append("aws s3 mv (minutes a turn: see the run with fewer files)")
        yield f"{SETS[name][0]}, scale {bench.scale:g}, from the drop zone into an S3 that forgets them."
        yield f"It answers after {latency_seconds:g} s."
        with bench.room() as base, null_s3(latency_seconds) as url:
            yield from compared(alternate(whole.programs(base, name, bench.scale, url, here), bench.runs))
        yield from (f"missing: {each}" for each in missing)

    return measure


SLOW_SCALE = 0.02


def sync(bench: Bench) -> Iterator[str]:
    """One file, one object."""
    here, missing = whole.available(SYNC_PEERS)
    files = int(SYNC_FILES * bench.scale)
    yield f"{files:,} files of 4 KiB, an object each, {CONNECTIONS} connections, an S3 that answers after {LATENCY_SECONDS} s."
    with bench.room() as base, null_s3(LATENCY_SECONDS) as url:
        turns = alternate(whole.programs(base, "small", files / 100_000, url, here), bench.runs)
        yield from compared_by_object(turns, files)
    yield from (f"missing: {each}" for each in missing)


def idle_pass(bench: Bench) -> Iterator[str]:
    """A pass over young files, and standing by."""
    with bench.room() as base, null_s3() as url:
        yield f"A pass over {int(1_000_000 * bench.scale):,} files younger than the quiet period."
        yield from compared(alternate(idle.passes(base, bench.scale, url), bench.runs))
    with bench.room() as base, null_s3() as url:
        yield from table(idle.standing_by(base, url), ("an agent with nothing to do", ""))


def remembering(bench: Bench) -> Iterator[str]:
    """The highest memory of a pass."""
    with bench.room() as base, null_s3() as url:
        yield from table(memory.measure(base, bench.scale, url), ("MiB at most", "agent", "largest worker"))


def members(bench: Bench) -> Iterator[str]:
    """The catalogue."""
    with bench.room() as base:
        yield from table(catalogue.measure(base, int(1_000_000 * bench.scale)), ("catalogue", ""))


def restoring(bench: Bench) -> Iterator[str]:
    """Members of one archive."""
    with bench.room() as base, restore.archived(base, bench.scale) as (place, archive):
        files = int(100_000 * bench.scale)
        for few in (True, False):
            yield f"{files // (restore.FEW if few else 1):,} of {files:,} members of one archive, from versitygw."
            yield from compared(alternate(restore.programs(place, archive, bench.scale, few=few), bench.runs))


def growing(bench: Bench) -> Iterator[str]:
    """Time a file from 10,000 to 1,000,000 files; one turn each."""
    ours = {name: peer for name, peer in whole.PEERS.items() if name.startswith("s3batch")}
    seconds = {}
    for files in (int(each * bench.scale) for each in GROWTH):
        with bench.room() as base, null_s3() as url:
            (turn,) = (run() for run in whole.programs(base, "small", files / 100_000, url, ours).values())
            seconds[files] = turn.wall_seconds
    if bench.for_page:
        growth.draw(seconds)
    yield from table(growth.rows(seconds), ("files", "seconds", "microseconds a file", "x"))


def indexing(way: str) -> Callable[[Bench], Iterator[str]]:
    """Return the fleet's index, made anew or filled from an outbox."""

    def measure(bench: Bench) -> Iterator[str]:
        with bench.room() as base, search.long_node(base) as node:
            cluster = node.cluster()
            arrange(cluster)
            cluster.close()
            yield from rebuild.measure(node, way, int(200_000 * bench.scale), bench.runs)

    return measure


SUBJECTS: Mapping[str, Callable[[Bench], Iterator[str]]] = {
    "pack": pack,
    **{name: emptying(name) for name in SETS},
    "latency": emptying("small", LATENCY_SECONDS),
    "sync": sync,
    "idle": idle_pass,
    "memory": remembering,
    "catalogue": members,
    "restore": restoring,
    "rebuild": indexing("rebuild"),
    "drain": indexing("drain"),
    "growth": growing,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[[], *SUBJECTS], default=["pack"], metavar="SUBJECT")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each program (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of each set of files (default: 1)")
    parser.add_argument("--page", action="store_true", help="write what comes out into docs/performance.md")
    parser.epilog = f"subjects: {', '.join(SUBJECTS)} (default: pack)"
    args = parser.parse_args()
    say = Output().text
    base = Path(tempfile.mkdtemp(prefix="s3batch-bench-"))
    try:
        for subject in args.subjects:
            lines = [*SUBJECTS[subject](Bench(base, args.scale, args.runs, args.page)), machine(args.runs, base)]
            for line in lines:
                say(line)
            if args.page:
                page.write(subject, lines)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
