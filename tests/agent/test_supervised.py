"""The agents as a service manager sees them: ready, alive, reloading, stopping, and nobody else speaks for them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.test_process import Host
from tests.doubles.moto_server import MotoServer

PATIENCE_SECONDS = 30.0


class Ear:
    """A socket as systemd has one."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.all: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(PATIENCE_SECONDS)

    def until(self, wanted: Callable[[str], bool]) -> str:
        """Listen until something wanted is said, and return it."""
        while True:
            said = self._socket.recv(4096).decode()
            self.all.append(said)
            if wanted(said):
                return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """Somebody who listens."""
    listening = Ear(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.mark.slow
def test_the_whole_word_of_an_agent(tmp_path: Path, moto: MotoServer, ear: Ear) -> None:
    """Ready though S3 is away, which it says; alive; reloading what a file says, and what waits; stopping at last."""
    host = Host(tmp_path, moto)
    (host.zone / "bucket" / "file").write_bytes(b"content")
    settings = tmp_path / "s3batch.toml"
    settings.write_text("")
    away = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1", "S3BATCH_CONFIG": str(settings)}
    host.environment["S3BATCH_SCAN_INTERVAL"] = "2s"
    process = subprocess.Popen(
        [sys.executable, "-m", "s3batch", "run"],
        env={**host.environment, **away, "NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "2000000"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ear.until("READY=1".__eq__)
        trouble = ear.until(lambda said: "Look at: bucket bucket" in said)
        ear.until("WATCHDOG=1".__eq__)
        settings.write_text('max_batch_age = "2h"\nstate = "/elsewhere"\nduties = ["pack"]\n')
        process.send_signal(signal.SIGHUP)
        ear.until(lambda said: said.startswith("RELOADING=1\nMONOTONIC_USEC="))
        ear.until("READY=1".__eq__)
        restart = ear.until(lambda said: "A restart is needed" in said)
        process.send_signal(signal.SIGTERM)
        ear.until("STOPPING=1".__eq__)

        assert 0 == process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()

    assert "1 archive on its way" in trouble
    assert restart.endswith("A restart is needed for S3BATCH_DUTIES.")
    assert ear.all.index("READY=1") < next(at for at, said in enumerate(ear.all) if "at work" in said.lower())


@pytest.mark.slow
def test_s3sync_says_the_same(tmp_path: Path, moto: MotoServer, ear: Ear) -> None:
    """Its sentence tells of files, and its reload of its own variables."""
    host = Host(tmp_path, moto)
    (host.zone / "bucket" / "file").write_bytes(b"content")
    words = {"S3SYNC_FOLDER": str(host.zone), "S3SYNC_STATE": str(tmp_path / "sync"), "S3SYNC_QUIET_PERIOD": "1h"}
    process = subprocess.Popen(
        [sys.executable, "-m", "s3sync", "run"],
        env={**host.environment, **words, "NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "2000000"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ear.until("READY=1".__eq__)
        resting = ear.until(lambda said: said.startswith("STATUS=Resting"))
        ear.until("WATCHDOG=1".__eq__)
        process.send_signal(signal.SIGTERM)
        ear.until("STOPPING=1".__eq__)

        assert 0 == process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()

    assert "STATUS=Resting; 1 file left where it is; nothing archived yet. All is well." == resting
