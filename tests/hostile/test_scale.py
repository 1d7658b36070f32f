"""Memory is bounded whatever lies in the drop zone: a million waiting files, and one file of 8 GiB. `make test-long`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from s3sync.errors import Exit
from tests.doubles.moto_server import MotoServer
from tests.dropzone.zones import REPOSITORY
from tests.hostile.host import Host

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

MOST_BYTES = 200 << 20


class Weighed(NamedTuple):
    """How a run ended and the most memory one of its processes had."""

    code: int
    peak_bytes: int
    said: str


def weigh(host: Host, *words: str, **changes: str) -> Weighed:
    """Run the program under a parent of its own that tells what the largest of them took."""
    code = (
        "import resource, subprocess, sys\n"
        f"done = subprocess.run([sys.executable, '-B', '-m', 'tests.hostile.program', *{words!r}])\n"
        "print('PEAK', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(done.returncode)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **host.settings, **changes},
    )
    peak = int(done.stdout.rpartition("PEAK ")[2]) * 1024
    return Weighed(done.returncode, peak, done.stdout + done.stderr)


@pytest.fixture
def host(tmp_path: Path, moto: MotoServer) -> Host:
    """One host."""
    return Host(tmp_path, moto)


def _fill(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    fd = os.open(folder, os.O_RDONLY)
    for number in range(count):
        os.mknod(f"{number}", 0o644, dir_fd=fd)
    os.close(fd)


def test_a_million_waiting_files(host: Host) -> None:
    """Looking at a million files that are not quiet yet, or wait for their batch to close, takes no memory to speak of."""
    for folder in range(100):
        _fill(host.zone / f"bucket/{folder // 10}/{folder}", 10_000)
    looked = weigh(host, "run", "--once", "--json", S3BATCH_QUIET_PERIOD="30d")
    status = weigh(host, "status", "--json", S3BATCH_QUIET_PERIOD="30d")

    assert [Exit.DONE, Exit.DONE] == [looked.code, status.code], looked.said[-2000:] + status.said[-2000:]
    assert '"quiet": 1000000' in looked.said
    assert looked.peak_bytes < MOST_BYTES
    assert status.peak_bytes < MOST_BYTES


def test_a_hundred_thousand_files_on_their_way(host: Host) -> None:
    """Archiving 200,000 files of a few folders keeps no more of them in memory than are under way."""
    for folder in range(4):
        _fill(host.zone / f"bucket/{folder}/files", 50_000)
    done = weigh(host, "run", "--once", "--json", S3BATCH_MAX_BATCH_SIZE="1GiB", S3BATCH_LOG_LEVEL="warning")

    assert Exit.DONE == done.code, done.said[-2000:]
    assert '"files": 200000' in done.said
    assert done.peak_bytes < MOST_BYTES


def test_one_sparse_file_of_eight_gibibytes(host: Host) -> None:
    """A sparse file counts with its whole size, is held where the spool could not hold it, and is built in little memory."""
    place = host.drop("sparse")
    os.truncate(place, 8 << 30)
    small = weigh(host, "run", "--once", "--json", S3BATCH_SPOOL_LIMIT="4GiB")
    built = weigh(host, "run", "--once", "--json", S3BATCH_SPOOL_LIMIT="10GiB", AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")

    assert '"larger_than_spool": 1' in small.said
    assert small.peak_bytes < MOST_BYTES
    assert built.peak_bytes < MOST_BYTES, f"{resource.getpagesize()} {built.said[-2000:]}"
    assert 8 << 30 == place.stat().st_size
