"""The agent as a process: signals, locks, wake-ups, and a long upload that is resumed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3

from tests.doubles.moto_server import MotoServer
from tests.doubles.opensearch_server import opensearch

PATIENCE_SECONDS = 30.0


class Host:
    """A host with a drop zone and a state folder, and programs running on it."""

    def __init__(self, base: Path, moto: MotoServer) -> None:
        """Make a bucket folder and its bucket."""
        self.zone, self.state = base / "zone", base / "state"
        (self.zone / "bucket").mkdir(parents=True)
        self.s3 = moto.client()
        self.s3.create_bucket(Bucket="bucket")
        self.environment = {
            **os.environ,
            "S3BATCH_FOLDER": str(self.zone),
            "S3BATCH_STATE": str(self.state),
            "S3BATCH_QUIET_PERIOD": "1s",
            "S3BATCH_MAX_BATCH_AGE": "1s",
            "S3BATCH_PART_SIZE": "5MiB",
            "S3BATCH_THAW_POLL": "1s",
        }

    def start(self, *words: str, **changes: str) -> subprocess.Popen[str]:
        """Start `s3batch`."""
        return subprocess.Popen(
            [sys.executable, "-m", "s3batch", *words],
            env={**self.environment, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def agent(self, **changes: str) -> Iterator[subprocess.Popen[str]]:
        """Run the agent for the length of a block."""
        process = self.start("run", **changes)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def objects(self) -> list[str]:
        """Return the object keys in the bucket."""
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket="bucket").get("Contents", [])]

    def archived(self) -> bool:
        """Tell whether there is an archive with its manifest."""
        return len(self.objects()) == 2


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds; fail naming `what` if it does not in a long time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


@pytest.fixture
def host(tmp_path: Path, moto: MotoServer) -> Host:
    """A host."""
    return Host(tmp_path, moto)


def test_agent_takes_what_is_dropped_while_it_runs_and_leaves_when_asked(host: Host) -> None:
    """A file dropped into a new folder is archived and removed; SIGTERM ends the agent with exit code 0."""
    with host.agent() as agent:
        folder = host.zone / "bucket" / "new"
        folder.mkdir()
        (folder / "file").write_bytes(b"content")
        eventually(host.archived, "the archive")
        eventually(lambda: not (folder / "file").exists(), "the release")
        agent.send_signal(signal.SIGTERM)

        assert 0 == agent.wait(PATIENCE_SECONDS)


def test_second_agent_is_refused_and_told_who_works(host: Host) -> None:
    """Same state, or another state on the same drop zone: exit code 11, naming the first one's pid, and its host."""
    with host.agent() as first:
        eventually((host.state / "agent.json").exists, "the first agent's lock")
        same_state = host.start("run", "--once")
        _, told = same_state.communicate(timeout=PATIENCE_SECONDS)
        same_zone = host.start("run", "--once", S3BATCH_STATE=str(host.state.parent / "other"))
        _, told_too = same_zone.communicate(timeout=PATIENCE_SECONDS)

    assert (11, 11) == (same_state.returncode, same_zone.returncode)
    assert f"{first.pid}" in told
    assert f"{first.pid}" in told_too
    assert socket.gethostname() in told


@pytest.mark.parametrize("shared", ["S3BATCH_QUARANTINE", "S3BATCH_SPOOL"])
def test_two_agents_never_share_a_folder(host: Host, shared: str) -> None:
    """With another state and drop zone, the second's start would disturb what the first does.

    It would give back what is being removed, into its own drop zone and so into another bucket; or sweep away what is being
    built, and the only list of what is stored.
    """
    folder = host.state.parent / "shared"
    other = {"S3BATCH_STATE": str(host.state.parent / "other"), "S3BATCH_FOLDER": str(host.state.parent / "elsewhere")}
    (host.state.parent / "elsewhere/bucket").mkdir(parents=True)
    with host.agent(**{shared: str(folder)}) as first:
        eventually(folder.exists, "the first agent's folder")
        eventually((host.state / "agent.json").exists, "the first agent's lock")
        second = host.start("run", "--once", **{shared: str(folder)}, **other)
        _, told = second.communicate(timeout=PATIENCE_SECONDS)

    assert 11 == second.returncode, told
    assert (str(folder) in told, f"{first.pid}" in told) == (True, True)


def test_killed_agent_leaves_no_lock_and_no_worker(host: Host) -> None:
    """After kill -9 the next agent starts at once."""
    with host.agent() as agent:
        eventually((host.state / "agent.json").exists, "the lock")
        agent.kill()
        agent.wait()
    (host.zone / "bucket" / "file").write_bytes(b"content")
    time.sleep(1.1)

    after = host.start("run", "--once", "--json")
    out, err = after.communicate(timeout=PATIENCE_SECONDS)

    assert 0 == after.returncode, err
    assert 1 == json.loads(out)["files"]


class _SlowParts(BaseHTTPRequestHandler):
    """Hands everything on to another server, the bodies of parts very slowly."""

    protocol_version = "HTTP/1.1"
    upstream: str
    parts: threading.Event
    slow: threading.Event

    def _forward(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = bytearray()
        slow = self.slow.is_set() and "partNumber" in self.path and "partNumber=1&" not in self.path + "&"
        while len(body) < length:
            body += self.rfile.read(min(65_536, length - len(body)))
            if slow:
                self.parts.set()
                time.sleep(0.25)
        reply = urllib3.request(
            self.command, self.upstream + self.path, body=bytes(body), headers=dict(self.headers), redirect=False
        )
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", reply.headers.get("Content-Length", str(len(reply.data))))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else reply.data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def test_long_upload_is_left_within_ten_seconds_and_resumed(host: Host, moto: MotoServer) -> None:
    """SIGTERM in the middle of a part: the agent leaves in time, and the next one sends only what is missing."""

    class Handler(_SlowParts):
        upstream = moto.endpoint
        parts, slow = threading.Event(), threading.Event()

    Handler.slow.set()
    content = os.urandom(12 << 20)
    (host.zone / "bucket" / "long").write_bytes(content)
    time.sleep(1.1)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as slow_line:
        slow_line.daemon_threads = True
        threading.Thread(target=slow_line.serve_forever, daemon=True).start()
        endpoint = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{slow_line.server_address[1]}", "S3BATCH_UPLOAD_THREADS": "1"}
        with host.agent(**endpoint) as agent:
            assert Handler.parts.wait(PATIENCE_SECONDS)
            asked = time.monotonic()
            agent.send_signal(signal.SIGTERM)
            agent.wait(PATIENCE_SECONDS)
            took = time.monotonic() - asked
        (upload,) = host.s3.list_multipart_uploads(Bucket="bucket")["Uploads"]
        Handler.slow.clear()
        resumed = host.start("run", "--once", **endpoint)
        _, err = resumed.communicate(timeout=PATIENCE_SECONDS)
        slow_line.shutdown()

    assert took < 10  # the promise itself, not a measurement
    assert 0 == resumed.returncode, err
    assert upload["Key"] in host.objects()
    assert not host.s3.list_multipart_uploads(Bucket="bucket").get("Uploads")
    assert not (host.zone / "bucket" / "long").exists()


def test_index_that_is_away_delays_nothing_but_the_search(host: Host) -> None:
    """The pass does all its work, says that the index is behind by its exit code, and catches up when the index is there."""
    (host.zone / "bucket" / "file").write_bytes(b"content")
    time.sleep(1.1)

    away = host.start("run", "--once", "--json", S3BATCH_OPENSEARCH_URL="http://127.0.0.1:1")
    out, err = away.communicate(timeout=PATIENCE_SECONDS)

    assert (5, 1) == (away.returncode, json.loads(out)["released"]), err
    with opensearch() as index:
        back = host.start("run", "--once", S3BATCH_OPENSEARCH_URL=index.endpoint)
        _, err = back.communicate(timeout=PATIENCE_SECONDS)
        assert 0 == back.returncode, err
        assert 1 == len(index.documents)
