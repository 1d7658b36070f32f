"""Drop zones to try things on: real files, a quiet clock that calls everything old, and ways to be somebody else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypedDict, Unpack

import pytest

from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.facts import BrokenOff
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import Find, foresee_quarantine
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.scan import Held, scan
from s3sync.dropzone.slots import Original
from s3sync.dropzone.zone import DropZone
from s3sync.store.contract import ObjectRef
from s3sync.store.proof import Proof

NOBODY = 65534
REPOSITORY = Path(__file__).parents[2]

PROOF = Proof(ref=ObjectRef("bucket", "batch.tar"), size=1, crc64nvme="AAAAAAAAAAA=", etag='"etag"')

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def everything_old(period: timedelta = timedelta(0)) -> QuietClock:
    """Return a clock for which every file on this machine has long been quiet."""
    clock = QuietClock(period)
    clock.begin_pass(wall_ns=1 << 62, monotonic_ns=0)
    return clock


class Demands(TypedDict, total=False):
    """What a test may demand besides."""

    quiet: QuietClock
    buckets: frozenset[str] | None
    temporary: tuple[str, ...]
    utf8_only: bool
    max_size: int | None
    in_flight: Container[bytes]
    unreleasable: Mapping[bytes, Identity]
    exists: Mapping[bytes, Identity]
    partial: BrokenOff | None


def ladder(**standards: Unpack[Demands]) -> Ladder:
    """Return a ladder that demands little besides `standards`."""
    return Ladder(replace(Standards(quiet=everything_old()), **standards))


def scanned(zone: DropZone, with_ladder: Ladder | None = None, find: Find = foresee_quarantine) -> list[Candidate | Held]:
    """Return all a scan yields."""
    return list(scan(zone, with_ladder or ladder(), find))


def candidates(zone: DropZone, with_ladder: Ladder | None = None, find: Find = foresee_quarantine) -> list[bytes]:
    """Return the paths of a scan's candidates, in order."""
    return [found.path for found in scanned(zone, with_ladder, find) if isinstance(found, Candidate)]


def held(zone: DropZone, with_ladder: Ladder | None = None, find: Find = foresee_quarantine) -> dict[bytes, str]:
    """Return the paths a scan holds, and why."""
    return {found.path: found.reason.value for found in scanned(zone, with_ladder, find) if isinstance(found, Held)}


def original(root: Path | bytes, path: bytes, ordinal: int = 0) -> Original:
    """Return the file at `path` as a batch would remember it."""
    place = os.path.join(os.fsencode(root), path)
    with open(place, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return Original(ordinal, path, Identity.of(os.lstat(place)), digest)


def originals(root: Path | bytes, *paths: bytes) -> list[Original]:
    """Return several files as one batch would remember them."""
    return [original(root, path, ordinal) for ordinal, path in enumerate(paths)]


def no_sleep(seconds: float) -> None:
    """Let no time pass."""


@contextmanager
def open_place() -> Iterator[Path]:
    """Make a folder that every user may pass through; pytest's own are root's alone."""
    place = Path(tempfile.mkdtemp(prefix="dropzone-"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def run_as_nobody(code: str, *arguments: str | Path, imports: str = "") -> Any:  # noqa: ANN401 - JSON is anything
    """Run `code`, after `imports`, as a user without rights; return what it assigned to `result`, which has to be JSON."""
    # Everything is imported first: the interpreter may lie where nobody may look.
    modules = "quarantine, recover, release, scan, why, writers"
    become = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
    return _run(f"import psutil\nfrom s3sync.dropzone import {modules}\n{imports}\n{become}\n{code}", arguments, [])


def run_with_mounts(code: str, *arguments: str | Path) -> Any:  # noqa: ANN401 - JSON is anything
    """Run `code` where it may mount what it likes without anybody noticing; returns its `result`."""
    return _run(code, arguments, ["unshare", "--mount", "--propagation", "private"])


@cache
def may_mount() -> bool:
    """Tell whether this machine lets us have mounts of our own."""
    tried = "mount --bind /tmp /tmp"
    return os.geteuid() == 0 and _succeeds(["unshare", "--mount", "--propagation", "private", "sh", "-c", tried])


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _run(code: str, arguments: tuple[str | Path, ...], before: list[str]) -> Any:  # noqa: ANN401 - JSON is anything
    script = f"import json, os, sys\nresult = None\n{code}\nprint(json.dumps(result))\n"
    command = [*before, sys.executable, "-B", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
