"""The agents as a service manager sees them: ready, alive, reloading, stopping, and nobody else speaks for them."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from s3sync.observe.pulse import SHARE
from tests.agent.test_process import Host
from tests.doubles.moto_server import MotoServer

PATIENCE_SECONDS = 30.0
WATCHDOG_SECONDS = 2


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

    def listen(self, seconds: float) -> list[str]:
        """Return what is said in the next seconds, and not what was said before."""
        with suppress(BlockingIOError):
            self._socket.setblocking(False)
            while self._socket.recv(4096):
                pass
        heard, until = list[str](), time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                break
        self._socket.settimeout(PATIENCE_SECONDS)
        return heard

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
    with _agent(host, ear, **away) as process:
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

    assert "1 archive on its way" in trouble
    assert restart.endswith("A restart is needed for S3BATCH_DUTIES.")
    assert ear.all.index("READY=1") < next(at for at, said in enumerate(ear.all) if "at work" in said.lower())


@pytest.mark.slow
def test_s3sync_says_the_same(tmp_path: Path, moto: MotoServer, ear: Ear) -> None:
    """Its sentence tells of files, and its reload of its own variables."""
    host = Host(tmp_path, moto)
    (host.zone / "bucket" / "file").write_bytes(b"content")
    words = {"S3SYNC_FOLDER": str(host.zone), "S3SYNC_STATE": str(tmp_path / "sync"), "S3SYNC_QUIET_PERIOD": "1h"}
    with _agent(host, ear, program="s3sync", **words) as process:
        ear.until("READY=1".__eq__)
        resting = ear.until(lambda said: said.startswith("STATUS=Resting"))
        ear.until("WATCHDOG=1".__eq__)
        process.send_signal(signal.SIGTERM)
        ear.until("STOPPING=1".__eq__)

        assert 0 == process.wait(PATIENCE_SECONDS)

    assert "STATUS=Resting; 1 file left where it is; nothing archived yet. All is well." == resting


class _Silent(socketserver.BaseRequestHandler):
    """Takes requests, and never answers."""

    asked: threading.Event

    def handle(self) -> None:
        self.asked.set()
        while self.request.recv(65_536):
            pass


@pytest.mark.slow
def test_a_pass_that_hangs_starves_the_watchdog(tmp_path: Path, moto: MotoServer, ear: Ear) -> None:
    """An S3 that takes requests and never answers: the agent lives, its other duties get on, and the watchdog is not fed."""
    host = Host(tmp_path, moto)
    _Silent.asked = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Silent) as silent:
        silent.daemon_threads = True
        threading.Thread(target=silent.serve_forever, daemon=True).start()
        with _agent(host, ear, AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{silent.server_address[1]}"):
            ear.until("READY=1".__eq__)
            ear.until("WATCHDOG=1".__eq__)
            (host.zone / "bucket" / "file").write_bytes(b"content")
            assert _Silent.asked.wait(PATIENCE_SECONDS)
            fed = ear.listen(4 * WATCHDOG_SECONDS).count("WATCHDOG=1")
            silent.shutdown()

    assert fed < 2 * SHARE, "it was fed as often as by an agent that gets on"


@pytest.mark.slow
def test_a_worker_that_hangs_starves_the_watchdog_and_one_that_works_does_not(
    tmp_path: Path, moto: MotoServer, ear: Ear
) -> None:
    """The agent waits for a worker process; only what that writes counts. The worker knows nothing of the manager."""
    host = Host(tmp_path, moto)
    for number in range(3_000):
        (host.zone / "bucket" / f"{number}").write_bytes(b"content")
    with _agent(host, ear) as process:
        ear.until("READY=1".__eq__)
        worker = _worker_of(process.pid)
        os.kill(worker, signal.SIGSTOP)
        environment = Path(f"/proc/{worker}/environ").read_bytes()
        hanging = ear.listen(4 * WATCHDOG_SECONDS).count("WATCHDOG=1")
        os.kill(worker, signal.SIGCONT)
        ear.until("WATCHDOG=1".__eq__)
        ear.until(lambda said: said.startswith("STATUS=Resting"))

    assert hanging < 2 * SHARE, "it was fed as often as by an agent that gets on"
    assert (b"NOTIFY_SOCKET" in environment, b"WATCHDOG" in environment) == (False, False)
    assert host.archived()


def _worker_of(agent: int) -> int:
    """Return the process of an agent that builds an archive, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for child in psutil.Process(agent).children():
            if any("spawn_main" in word for word in child.cmdline()):
                return child.pid
        time.sleep(0.005)
    raise AssertionError("no worker was started")


@contextmanager
def _agent(host: Host, ear: Ear, *, program: str = "s3batch", **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    watched = {"NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000)}
    process = subprocess.Popen(
        [sys.executable, "-m", program, "run"],
        env={**host.environment, **changes, **watched},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
