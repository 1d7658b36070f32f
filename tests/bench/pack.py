"""One program's turn at packing a folder: `python -m tests.bench.pack one|two|tarfile ROOT OUT`.

Flushing to the disk is left out on every side: it is the disk's time, and GNU tar does not do it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from s3batch.pack.build import BuildJob, build
from s3sync.dropzone.candidate import Candidate, Identity


def candidates(root: Path) -> list[Candidate]:
    """Return every file below `root` (a drop zone with one bucket) in path order, as a scan does."""
    found: list[Candidate] = []
    bucket = next(os.scandir(root)).name
    _collect(os.fsencode(root), os.fsencode(bucket), bucket, found)
    return found


def _collect(root: bytes, path: bytes, bucket: str, found: list[Candidate]) -> None:
    with os.scandir(os.path.join(root, path)) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        below = path + b"/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            _collect(root, below, bucket, found)
        else:
            identity = Identity.of(entry.stat(follow_symlinks=False))
            found.append(Candidate(bucket, below[len(bucket) + 1 :], below, identity))


def one_worker(root: Path, out: Path) -> None:
    """Scan, lease, compare, hash and pack into one archive."""
    out.mkdir()
    _build_unflushed(_job(root, out / "only", candidates(root)))


def two_workers(root: Path, out: Path) -> None:
    """Do the same with two archives in two processes, as the agent does where nothing else is set."""
    out.mkdir()
    found = candidates(root)
    half = len(found) // 2
    jobs = [_job(root, out / "first", found[:half]), _job(root, out / "second", found[half:])]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_build_unflushed, jobs))


def _job(root: Path, folder: Path, found: list[Candidate]) -> BuildJob:
    return BuildJob(root=str(root), folder=str(folder), candidates=tuple(found), max_bytes=1 << 40)


def _build_unflushed(job: BuildJob) -> None:
    vars(os)["fsync"] = lambda _: None
    build(job)


def by_tarfile(root: Path, out: Path) -> None:
    """Pack by Python's tarfile: no leases, no comparing, no hashes."""
    with tarfile.open(out, "w") as archive:
        archive.add(root, "")


if __name__ == "__main__":
    program, root, out = sys.argv[1:]
    {"one": one_worker, "two": two_workers, "tarfile": by_tarfile}[program](Path(root), Path(out))
