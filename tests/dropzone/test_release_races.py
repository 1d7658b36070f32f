"""Clients that rewrite the very files that are being released: whatever they were told is safe is somewhere afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from s3batch.pack.workers import Workers
from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.chunks import Removers
from s3sync.dropzone.folders import READ
from s3sync.dropzone.release import release
from s3sync.dropzone.slots import Original
from s3sync.dropzone.writers import ignore_lease_signals, lease_broken, take_lease
from s3sync.dropzone.zone import DropZone
from tests.dropzone import racing_writer
from tests.dropzone.zones import PROOF
from tests.support import files, tree

NAMES = 40
CLIENTS = 2


class Archive:
    """What an agent would have stored: a member for each file nobody was writing, and every content ever stored."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.stored: set[str] = set()

    def members(self) -> Iterator[Original]:
        ordinal = 0
        for name in sorted(os.listdir(self._root / "bucket")):
            member = None if name.endswith(".filepart") else self._member(ordinal, b"bucket/" + os.fsencode(name))
            if member is not None:
                ordinal += 1
                yield member

    def _member(self, ordinal: int, path: bytes) -> Original | None:
        try:
            fd = os.open(os.path.join(os.fsencode(self._root), path), READ)
        except FileNotFoundError:
            return None
        try:
            if take_lease(fd) is not None:
                return None
            before = Identity.of(os.fstat(fd))
            content = os.read(fd, 1 << 20)
            if lease_broken(fd) or not content:
                return None
        finally:
            os.close(fd)
        self.stored.add(content.decode())
        return Original(ordinal, path, before, hashlib.sha256(content).hexdigest())


def _client(folder: Path, way: str, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, racing_writer.__file__, str(folder), way, str(number * NAMES), str(NAMES)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    client.stdout.readline()
    return client


def _race(root: Path, way: str, rounds: int, team: Removers) -> tuple[int, int, set[str]]:
    """Return how many files were released and kept, and what was lost."""
    tree(root, {"bucket": None})
    archive = Archive(root)
    released = kept = 0
    told: dict[str, set[str]] = {"acknowledged": set(), "overwritten": set()}
    with ExitStack() as stack:
        clients = [stack.enter_context(_client(root / "bucket", way, number)) for number in range(CLIENTS)]
        zone = stack.enter_context(DropZone.open(root))
        for number in range(rounds):
            members = list(archive.members())
            report = release(zone, f"batch{number:06}", members, PROOF, sleep=time.sleep, removers=team, chunk=10, flush=bool)
            released += report.released
            kept += len(report.kept)
        for client in clients:
            out, _ = client.communicate("")
            for what, contents in json.loads(out).items():
                told[what].update(contents)
    there = {content.decode() for content in files(root).values()}
    return released, kept, told["acknowledged"] - told["overwritten"] - archive.stored - there


@pytest.fixture(autouse=True)
def _nobody_dies_of_a_lease() -> None:
    ignore_lease_signals()


@pytest.mark.parametrize("way", ["truncate", "forge", "rename"])
def test_nothing_a_client_was_told_is_safe_is_lost(tmp_path: Path, workers: Workers, way: str) -> None:
    """Many releases against clients that never wait: every content is stored, on disk, or was overwritten by themselves."""
    released, kept, lost = _race(tmp_path, way, 25, workers)

    assert set() == lost
    assert released > 0
    assert kept > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["truncate", "forge", "rename"])
def test_nothing_is_lost_in_a_long_race_either(tmp_path: Path, workers: Workers, way: str) -> None:
    """The same for longer."""
    _, _, lost = _race(tmp_path, way, 400, workers)

    assert set() == lost
