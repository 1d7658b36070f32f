"""The same name uploaded again exactly while the file before it is released: every acknowledged byte is somewhere.

A client uploads a name, and as soon as that is stored (which is when its release begins) uploads the name again, with as many
bytes and the same forged time, and so on. So each version but the first races with the release of the one before it, at a
moment that a small pause varies, and each of them must be stored or lie there in the end.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from s3sync.dropzone.release import release
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.dropzone.zone import DropZone
from tests.dropzone.test_release_races import Archive
from tests.dropzone.zones import PROOF
from tests.live.clients import Ftps, Talker
from tests.live.drop_host import USERS, DropHost
from tests.live.sshd import Sshd
from tests.live.vsftpd import Vsftpd
from tests.support import files

SAMPLES = [
    pytest.param(150, marks=[pytest.mark.slow, pytest.mark.timeout(300)], id="sample"),
    pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3600)], id="thousands"),
]
CLIENTS = 3
LATEST_SECONDS = 0.012
"""The release waits 5 ms between its rename and its look, and takes about as long for the rest."""
LONG_AGO = 1_000_000_000
PATIENCE_SECONDS = 30.0

Put = Callable[[str, bytes], bool]
"""Upload content under a name; tell whether that was acknowledged."""


@dataclass(slots=True)
class Race:
    """The agent's side, and what the clients were told."""

    archive: Archive
    acknowledged: set[str] = field(default_factory=set)
    failures: list[BaseException] = field(default_factory=list)

    def run_client(self, put: Put, name: str, versions: int) -> None:
        """Upload `versions` one after the other, each when the one before it is stored."""
        chance = random.Random(name)
        try:
            for number in range(versions):
                content = f"{name:>20} {number:>20}\n"
                while not put(name, content.encode()):
                    time.sleep(chance.uniform(0, LATEST_SECONDS))
                self.acknowledged.add(content)
                self._wait_for(content)
                time.sleep(chance.uniform(0, LATEST_SECONDS))
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            self.failures.append(error)

    def _wait_for(self, content: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while content not in self.archive.stored:
            assert time.monotonic() < deadline, f"never stored: {content!r}"
            time.sleep(0.0005)


def _race(host: DropHost, puts: list[Put], versions: int) -> tuple[int, int, set[str]]:
    """Return how many files were released and kept, and what was acknowledged and is nowhere."""
    race = Race(Archive(host.zone))
    threads = [threading.Thread(target=race.run_client, args=(put, f"name-{at}", versions)) for at, put in enumerate(puts)]
    released = kept = 0
    chance = random.Random(versions)
    with DropZone.open(host.zone) as zone:
        for thread in threads:
            thread.start()
        number = 0
        while any(thread.is_alive() for thread in threads):
            members = list(race.archive.members())
            time.sleep(chance.uniform(0, LATEST_SECONDS))
            report = release(zone, f"batch{number:06}", members, PROOF, sleep=time.sleep, chunk=10, flush=bool)
            released, kept, number = released + report.released, kept + len(report.kept), number + 1
    assert [] == race.failures
    there = {content.decode() for content in files(host.zone).values()}
    return released, kept, race.acknowledged - race.archive.stored - there


@pytest.fixture(autouse=True)
def _nobody_dies_of_a_lease() -> None:
    ignore_lease_signals()


@pytest.mark.parametrize("versions", SAMPLES)
def test_again_over_openssh_while_it_is_released(sshd: Sshd, tmp_path: Path, versions: int) -> None:
    """OpenSSH's client truncates and rewrites what lies there, and sets an old time."""
    with ExitStack() as stack:
        puts = []
        for at in range(CLIENTS):
            client = Talker(sshd, USERS[0])
            stack.callback(client.close)
            puts.append(_through_a_file(client, tmp_path / f"source-{at}"))
        released, kept, lost = _race(sshd.host, puts, versions)

    assert set() == lost
    assert released >= versions
    assert kept > 0, "nothing raced"


def _through_a_file(client: Talker, source: Path) -> Put:
    def put(name: str, content: bytes) -> bool:
        source.write_bytes(content)
        os.utime(source, (LONG_AGO, LONG_AGO))
        acknowledged = client.put(source, name, preserve=True)
        assert acknowledged, "the session ended"
        return acknowledged

    return put


@pytest.mark.parametrize("versions", SAMPLES)
def test_again_over_vsftpd_while_it_is_released(vsftpd: Vsftpd, versions: int) -> None:
    """This server does not wait where the agent is just looking: it refuses, and its client comes back."""
    with ExitStack() as stack:
        puts: list[Put] = []
        for _ in range(CLIENTS):
            client = Ftps(vsftpd, USERS[0])
            stack.callback(client.close)
            puts.append(client.put)
        released, kept, lost = _race(vsftpd.host, puts, versions)

    assert set() == lost
    assert released >= versions
    assert kept > 0, "nothing raced"
