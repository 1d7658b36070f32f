"""The program as a person or systemd starts it: a process of its own against an S3 over HTTP."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3sync.errors import Exit
from tests.doubles.moto_server import MotoServer
from tests.support import assert_tree, files, tree

BUCKET = "bucket"
QUIET_SECONDS = 1.0


class Program:
    """`s3sync` with a drop zone and a state folder of its own."""

    def __init__(self, path: Path, moto: MotoServer) -> None:
        self.zone = path / "zone"
        self.zone.mkdir()
        self.client = moto.client()
        self.client.create_bucket(Bucket=BUCKET)
        self.environment = {
            **os.environ,
            "S3SYNC_FOLDER": str(self.zone),
            "S3SYNC_STATE": str(path / "state"),
            "S3SYNC_QUIET_PERIOD": "1s",
            "S3SYNC_SCAN_INTERVAL": "1s",
            "AWS_ENDPOINT_URL_S3": moto.endpoint,
        }

    def drop(self, contents: dict[str, bytes]) -> None:
        """Drop files, and wait until they are quiet: ctime is the kernel's and cannot be set."""
        for name, content in contents.items():
            tree(self.zone / BUCKET, {name: content})
        time.sleep(QUIET_SECONDS + 0.1)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of one call."""
        return [sys.executable, "-m", "s3sync", *arguments]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one call to its end."""
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def records(self, *arguments: str) -> list[dict[str, object]]:
        """Run one call with `--json` and return what it said."""
        return [json.loads(line) for line in self(*arguments, "--json").stdout.splitlines()]

    def objects(self) -> dict[str, bytes]:
        """Return what the bucket holds."""
        keys = [entry["Key"] for entry in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return {key: self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@pytest.fixture
def program(tmp_path: Path, moto: MotoServer) -> Iterator[Program]:
    """The program, and a bucket for it."""
    made = Program(tmp_path, moto)
    yield made
    made.client.close()


def test_once_stores_releases_and_sums_up(program: Program) -> None:
    """One line of JSON, the objects with mark and checksum, the originals gone, exit 0."""
    program.drop({"a.txt": b"hello", "d/empty": b""})
    done = program("run", "--once", "--json")
    head = program.client.head_object(Bucket=BUCKET, Key="a.txt", ChecksumMode="ENABLED")

    assert json.loads(done.stdout) == {"files": 2, "bytes": 5, "released": 2, "left": 0, "errors": 0}
    assert done.returncode == Exit.DONE
    assert program.objects() == {"a.txt": b"hello", "d/empty": b""}
    assert head["Metadata"].keys() == {"s3batch-id", "s3sync-sha256"}
    assert "ChecksumCRC64NVME" in head
    assert_tree(program.zone, {})


def test_an_object_stored_by_another_program_with_equal_bytes_releases_the_file(program: Program) -> None:
    """Other checksums than ours are no obstacle: the bytes are compared."""
    program.client.put_object(Bucket=BUCKET, Key="a.txt", Body=b"hello")
    program.drop({"a.txt": b"hello"})

    assert program("run", "--once").returncode == Exit.DONE
    assert_tree(program.zone, {})


def test_status_and_why_say_what_is_held(program: Program) -> None:
    """A key that is taken, a temporary name and a name that is no UTF-8: each with its reason."""
    program.client.put_object(Bucket=BUCKET, Key="a.txt", Body=b"older")
    tree(program.zone / BUCKET, {b"\xff": "x", "b.part": "x"})
    program.drop({"a.txt": b"newer"})
    program("run", "--once")
    (status,) = program.records("status")
    why = program.records("why", f"{BUCKET}/a.txt", f"{BUCKET}/b.part")

    assert status["held"] == {"exists": 1, "key_not_utf8": 1, "temporary_name": 1}
    assert status["backlog_files"] == 0
    assert [(line["path"], line["rule"]) for line in why if not line["eligible"]] == [
        (f"{BUCKET}/a.txt", "exists"),
        (f"{BUCKET}/b.part", "temporary_name"),
    ]
    assert program("status", "--exit-code").returncode == Exit.PARTIAL


def test_looking_changes_nothing(program: Program, tmp_path: Path) -> None:
    """`status` and `why` before the first pass make no folder and no file."""
    program.drop({"a.txt": b"hello"})
    before = sorted(tmp_path.rglob("*"))
    program("status")
    program("why", f"{BUCKET}/a.txt")

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("folder", ["S3SYNC_STATE", "S3SYNC_FOLDER"])
def test_a_second_agent_is_refused(program: Program, folder: str) -> None:
    """The state folder and the drop zone are locked, each by itself."""
    locked = Path(program.environment[folder])
    locked.mkdir(exist_ok=True)
    fd = os.open(locked, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        refused = program("run", "--once")
    finally:
        os.close(fd)

    assert refused.returncode == Exit.LOCKED
    assert "another agent" in refused.stderr


def test_a_drop_zone_that_is_not_there_is_refused(program: Program) -> None:
    """Preflight, with the setting to correct."""
    program.zone.rmdir()
    refused = program("run", "--once")

    assert refused.returncode == Exit.PREFLIGHT
    assert "S3SYNC_FOLDER" in refused.stderr


def test_the_daemon_stores_what_comes_and_ends_when_asked(program: Program) -> None:
    """It finds a file dropped while it runs, and SIGTERM ends it within the promised time."""
    with subprocess.Popen(program.command("run"), env=program.environment, stderr=subprocess.DEVNULL) as daemon:
        try:
            tree(program.zone / BUCKET, {"a.txt": "hello"})
            until(lambda: files(program.zone) == {})
            daemon.send_signal(signal.SIGTERM)

            assert daemon.wait(10) == Exit.DONE
        finally:
            daemon.kill()

    assert program.objects() == {"a.txt": b"hello"}


@pytest.mark.slow
def test_a_server_that_never_answers_cannot_keep_the_daemon(program: Program) -> None:
    """Asked to stop in the middle of a request that hangs, the program leaves within the promised time, and nothing is lost."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        program.environment["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        program.drop({"a.txt": b"hello"})
        with subprocess.Popen(program.command("run"), env=program.environment, stderr=subprocess.DEVNULL) as daemon:
            try:
                with deaf.accept()[0] as asking:
                    asking.recv(65536)
                    asking.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    asking.recv(65536)
                    until_at_rest(daemon.pid)
                    daemon.send_signal(signal.SIGTERM)

                    assert daemon.wait(10) == Exit.INTERRUPTED
            finally:
                daemon.kill()

    assert_tree(program.zone, {BUCKET: {"a.txt": "hello"}})


def until(holds: object) -> None:
    """Wait until `holds` does; the test's own timeout is the limit."""
    while not holds():  # type: ignore[operator]
        time.sleep(0.05)


def until_at_rest(pid: int) -> None:
    """Wait until no thread of a process has run for a while: it has seen the end of what it sends, and waits for the reply."""
    ran: list[str] = []
    while ran != (ran := [each.read_text() for each in sorted(Path(f"/proc/{pid}/task").glob("*/schedstat"))]):
        time.sleep(0.5)


SYSCALLS = {
    "unlinkat": (1, 2, 3, 4),
    "renameat": (1, 2),
    "renameat2": (1, 2),
    "fdatasync": (1, 3, 5, 6, 7, 8, 9, 10),
    "connect": (1, 2),
    "mkdirat": (1, 2),
}
"""At which calls the program is killed; strace counts them per thread."""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, an ordinary Debian package")
@pytest.mark.parametrize(("syscall", "nth"), [(name, nth) for name, each in SYSCALLS.items() for nth in each])
def test_a_killed_program_loses_nothing(program: Program, syscall: str, nth: int) -> None:
    """SIGKILL at the n-th call of its kind, a file dropped again, another start: every byte is there, once."""
    large = os.urandom(9 << 20)
    program.environment |= {"S3SYNC_UPLOAD_THREADS": "1", "S3SYNC_PART_SIZE": "5MiB"}
    program.client.put_object(Bucket=BUCKET, Key="taken", Body=b"older")
    program.drop({"a": b"aaa", "large": large, "taken": b"newer"})
    trace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={syscall}"]
    kill = ["-e", f"inject={syscall}:signal=KILL:when={nth}"]
    killed = subprocess.run(
        [*trace, *kill, *program.command("run", "--once")],
        env=program.environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert killed.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, f"there is no {syscall} number {nth}"
    held = set(files(program.zone).values()) | set(program.objects().values())

    assert {b"aaa", large, b"newer", b"older"} <= held

    program.drop({"a": b"aaa"})
    program("run", "--once")
    program("run", "--once")

    assert program.objects() == {"a": b"aaa", "large": large, "taken": b"older"}
    assert_tree(program.zone, {BUCKET: {"taken": b"newer"}})
