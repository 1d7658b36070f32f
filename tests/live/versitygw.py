"""versitygw, a real S3 server (Apache-2.0): verifies signatures, checksums, sizes and conditions; forgets storage classes.

One process serves a whole test session from two folders; between tests the folders are emptied.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psutil
import pytest

from tests.live.fetch import Part, kept, run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.live.parts import LiveParts

VERSION = "v1.8.0"
"""v1.0.14 takes If-None-Match and If-Match and pays no heed to them."""
KEY = SECRET = "testing"
START_SECONDS = 20


def _get(cache: Path) -> Path:
    folder = kept(cache, f"versitygw-{VERSION}", _install)
    return folder / "versitygw"


def _install(into: Path) -> None:
    run(["go", "install", f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"], environment={"GOBIN": str(into)})


PART = Part(name="versitygw", role="s3", get=_get)


class VersityGw:
    """A running server; what it holds goes at `reset`."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        """Serve at `endpoint` what lies in `folder`."""
        self.endpoint = endpoint
        self._folder = folder

    def reset(self) -> None:
        """Forget every bucket."""
        for part in ("data", "versions"):
            for entry in (self._folder / part).iterdir():
                shutil.rmtree(entry)

    def client(self) -> S3Client:
        """Return a plain client, to arrange and look at what a test needs."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


@contextmanager
def running(program: Path, folder: Path) -> Iterator[VersityGw]:
    """Serve out of `folder` (on a filesystem with extended attributes) as long as the block. Raises `RuntimeError`."""
    data, versions = folder / "data", folder / "versions"
    data.mkdir()
    versions.mkdir()
    log = folder / "log"
    server_words = ["--quiet", "--port", "127.0.0.1:0", "--region", "us-east-1"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(program), *server_words, "posix", "--versioning-dir", str(versions), str(data)],
            env={**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield VersityGw(f"http://127.0.0.1:{_port(server, log)}", folder)
    finally:
        server.terminate()
        server.wait()


def _port(server: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port the server chose, once it listens."""
    watched = psutil.Process(server.pid)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        for connection in watched.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
        time.sleep(0.01)
    raise RuntimeError(f"versitygw does not start: {log.read_text().strip()[-500:]}")


@pytest.fixture(scope="session")
def _versitygw_running(live_parts: LiveParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersityGw]:
    with running(live_parts.path("versitygw"), tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture
def versitygw(_versitygw_running: VersityGw, monkeypatch: pytest.MonkeyPatch) -> VersityGw:
    """An empty versitygw, to which AWS's own variable points."""
    _versitygw_running.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", _versitygw_running.endpoint)
    return _versitygw_running
