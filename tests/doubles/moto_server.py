"""moto's S3 over HTTP on a free loopback port, in this process.

What moto keeps and what it does not is written down in the conformance suite. Its thaws move by a setting that is shared by all
objects: `hold_thaw` keeps one under way, `finish_thaws` makes all readable; neither waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import pytest
import urllib3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_api import state_manager
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_THAW = "s3::keyrestore"


class MotoServer:
    """A running server. What it holds goes at `reset`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def reset(self) -> None:
        """Forget every bucket, and let thaws be done at once."""
        urllib3.request("POST", f"{self.endpoint}/moto-api/reset")
        self.finish_thaws()

    def client(self) -> S3Client:
        """Return a plain client, to arrange and look at what a test needs."""
        return boto3.client("s3", endpoint_url=self.endpoint)

    def hold_thaw(self, bucket: str, key: str) -> None:
        """Keep an object that was asked for under way."""
        state_manager.set_transition(_THAW, {"progression": "time", "seconds": 10**9})
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_bucket(bucket).keys[key].status = "IN_PROGRESS"

    def finish_thaws(self) -> None:
        """Let every thaw be done."""
        state_manager.set_transition(_THAW, {"progression": "immediate"})


@contextmanager
def running() -> Iterator[MotoServer]:
    """Run a server as long as the block."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield MotoServer(f"http://{host}:{port}")
    finally:
        server.stop()
        assert server._server is not None
        server._server.server_close()


@pytest.fixture(scope="session")
def _moto_running() -> Iterator[MotoServer]:
    with running() as server:
        yield server


@pytest.fixture
def moto(_moto_running: MotoServer, monkeypatch: pytest.MonkeyPatch) -> MotoServer:
    """An empty moto, to which AWS's own variable points."""
    _moto_running.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", _moto_running.endpoint)
    return _moto_running
