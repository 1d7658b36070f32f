"""One program's turn at packing a folder: `python -m tests.bench.pack one|two|tarfile ROOT OUT`.

Ours scans, judges, plans and builds with the parts the agent uses. Flushing to the disk is left out on every side: it is the
disk's time, and GNU tar does not do it.
"""

from __future__ import annotations

import gc
import os
import sys
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from s3batch.model import Batch
from s3batch.pack.build import BuildJob, Built, build
from s3batch.pack.planner import Limits, plan
from s3batch.pack.workers import Builders, InLine, Workers
from s3sync.dropzone.candidate import Candidate
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import foresee_quarantine
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.scan import scan
from s3sync.dropzone.zone import DropZone

ARCHIVES = 2
"""Into so many equal archives, so that two workers have something to share."""


def batches(root: Path, files: int) -> Iterator[Batch]:
    """Scan and plan a drop zone of `files` files, all of them old enough."""
    quiet = QuietClock(timedelta(0))
    quiet.begin_pass(wall_ns=1 << 62, monotonic_ns=0)
    limits = Limits(max_bytes=1 << 40, max_members=-(-files // ARCHIVES), max_age_ns=0, quiet_ns=0, close_all=True)
    with DropZone.open(root) as zone:
        found = scan(zone, Ladder(Standards(quiet=quiet)), foresee_quarantine)
        for planned in plan((each for each in found if isinstance(each, Candidate)), limits, 1 << 62):
            assert isinstance(planned, Batch)
            yield planned


def by_us(builders: Builders, root: Path, out: Path, files: int) -> None:
    """Scan, judge, plan, lease, compare, hash and pack."""
    out.mkdir()
    futures = []
    for number, batch in enumerate(batches(root, files)):
        job = BuildJob(root=str(root), folder=str(out / str(number)), candidates=batch.candidates, max_bytes=1 << 40)
        futures.append(builders.submit(job))
    built = [future.result() for future in futures]
    assert files == sum(each.members for each in built), built


def unflushed(job: BuildJob) -> Built:
    """Build without waiting for the disk."""
    vars(os)["fsync"] = lambda _: None
    return build(job)


def by_tarfile(root: Path, out: Path) -> None:
    """Pack by Python's tarfile: no leases, no comparing, no hashes."""
    with tarfile.open(out, "w") as archive:
        archive.add(root, "")


def main(program: str, root: Path, out: Path, files: int) -> None:
    """Take one program's turn."""
    if program == "tarfile":
        by_tarfile(root, out)
    elif program == "one":
        gc.disable()  # as in a worker
        by_us(InLine(unflushed), root, out, files)
    else:
        with Workers(2, 1, unflushed) as pool:
            by_us(pool, root, out, files)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
