"""Many clients at once, slow ones, odd ones: no upload is taken before it is finished, none is missed, each arrives once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.doubles.moto_server import MotoServer
from tests.live.clients import Curl, Ftps, Lftp, Sftp, done
from tests.live.drop_host import USERS
from tests.live.drop_world import DropWorld
from tests.live.parts import LiveParts
from tests.live.sftp_library import Slow
from tests.live.sshd import Sshd
from tests.live.vsftpd import Vsftpd

CROWD = [
    pytest.param(25, marks=[pytest.mark.slow, pytest.mark.timeout(300)], id="25"),
    pytest.param(200, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)], id="200"),
]
QUIET_SECONDS = 1.0
AGENT = {"quiet_period": "1s", "scan_interval": "1s", "max_batch_age": "1s"}
"""So short that only what the kernel says of writers protects a slow upload."""
LONG_AGO = 1_000_000_000


def _slow(count: int, seed: int) -> Slow:
    names = [f"{number % 7}-{number}.bin" for number in range(count)]
    return Slow(names=names, pieces=5, piece_bytes=1500, pause_seconds=2 * QUIET_SECONDS, seed=seed)


def _arrived(world: DropWorld, slow: Slow, prefix: str) -> None:
    """Hold that everything is archived as it was sent, each file once: none was taken in pieces."""
    world.passes()
    world.judge_at_rest()
    assert {prefix + name: slow.content(name) for name in slow.names} == world.archived()


@pytest.mark.parametrize("count", CROWD)
def test_slow_sftp_uploads_by_the_hundred(tmp_path: Path, moto: MotoServer, sshd: Sshd, asyncssh: Path, count: int) -> None:
    """Each pauses for longer than the quiet period, again and again, while the agent takes what is finished."""
    world, user, slow = DropWorld(tmp_path, moto, sshd.host, sshd.log), USERS[0], _slow(count, 1)
    words = [sys.executable, "-m", "tests.live.sftp_library", "127.0.0.1", str(sshd.port), user.name, str(sshd.key)]
    with world.agent(**AGENT):
        client = subprocess.run(
            words,
            input=slow.line(),
            env={**os.environ, "PYTHONPATH": str(asyncssh)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (0, sorted(slow.names)) == (client.returncode, sorted(client.stdout.split())), client.stderr[-2000:]
    for name in slow.names:
        world.acknowledged(user, name, slow.content(name))

    _arrived(world, slow, user.key_prefix)


@pytest.mark.parametrize("count", CROWD)
def test_slow_ftps_uploads_by_the_hundred(tmp_path: Path, moto: MotoServer, vsftpd: Vsftpd, count: int) -> None:
    """The same over FTPS."""
    world, user, slow = DropWorld(tmp_path, moto, vsftpd.host, vsftpd.log), USERS[1], _slow(count, 2)

    def upload(name: str) -> bool:
        client = Ftps(vsftpd, user)
        try:
            return client.put(name, slow.content(name), piece_bytes=slow.piece_bytes, pause_seconds=slow.pause_seconds)
        finally:
            client.close()

    with world.agent(**AGENT), ThreadPoolExecutor(count) as pool:
        assert all(pool.map(upload, slow.names))
    for name in slow.names:
        world.acknowledged(user, name, slow.content(name))

    _arrived(world, slow, user.key_prefix)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_clients_of_every_kind_at_the_same_time(
    tmp_path: Path, moto: MotoServer, sshd: Sshd, vsftpd: Vsftpd, live_parts: LiveParts
) -> None:
    """In parallel, under temporary names, renamed afterwards, with old times, into new folders: all of it arrives once."""
    world = DropWorld(tmp_path, moto, sshd.host, sshd.log, vsftpd.log)
    first, second = USERS
    sent: dict[tuple[str, str], bytes] = {}

    def source(user: str, name: str) -> Path:
        content = os.urandom(40_000)
        sent[user, name] = content
        path = tmp_path / f"source-{len(sent)}"
        path.write_bytes(content)
        os.utime(path, (LONG_AGO, LONG_AGO))
        return path

    with world.agent(**AGENT):
        running = []
        for number in range(6):
            running += [
                Sftp(sshd, first).put(source(first.name, f"plain {number}"), f"plain {number}", rate=20_000),
                Sftp(sshd, second).put(source(second.name, f"old {number}"), f"old {number}", preserve=True),
                Curl(vsftpd, first).put(source(first.name, f"curl {number}"), f"curl {number}", rate=20_000),
                Lftp(sshd, second).put(source(second.name, f"lftp {number}"), f"lftp {number}", rate=20_000),
                Sftp(sshd, first).script(
                    f'put -p "{source(first.name, f"renamed {number}")}" "/bucket/renamed {number}.filepart"\n'
                    f'rename "/bucket/renamed {number}.filepart" "/bucket/renamed {number}"'
                ),
                Lftp(vsftpd, second).script(
                    f"set xfer:use-temp-file yes; mkdir -p '/bucket/made-{number}'; cd '/bucket/made-{number}'; "
                    f"put '{source(second.name, f'made-{number}/by temporary name')}' -o 'by temporary name'",
                    rate=20_000,
                ),
            ]
        assert all(done(each) for each in running)
        time.sleep(2 * QUIET_SECONDS)
    for user in USERS:
        for (name, key), content in sent.items():
            if name == user.name:
                world.acknowledged(user, key, content)
    world.passes()
    world.judge_at_rest()

    assert {user.key_prefix + key: sent[user.name, key] for user in USERS for name, key in sent if name == user.name} == (
        world.archived()
    )
