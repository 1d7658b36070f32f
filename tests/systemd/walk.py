"""A drop host from nothing: a booted Debian, what an operator types on it, customers who upload to it, an S3 with cold storage.

The machine has a network of its own, in which sshd and vsftpd have their usual ports; S3, and who is told of failures, answer
on its loopback. Customers use this machine's clients.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.doubles import cold_front, moto_server
from tests.doubles.clock import FakeClock
from tests.doubles.cold_front import ColdFront
from tests.doubles.http_server import Asked, HttpServer, Reply
from tests.doubles.moto_server import MotoServer
from tests.doubles.network_faults import EVERY, Fault
from tests.live.machine import Machine, eventually, layered
from tests.live.network import Network, own_network

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SSH_OPTIONS = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
LFTP_OPTIONS = (
    "cmd:fail-exit yes",
    "net:max-retries 1",
    "ssl:verify-certificate no",
    "ftp:ssl-force yes",
    "ftp:ssl-protect-data yes",
)
LONGEST_SECONDS = 180.0
"""S3 that was away is tried again after a minute, then after two."""


class Walk:
    """One walk on its way."""

    def __init__(self, machine: Machine, network: Network, front: ColdFront, s3: S3Client, base: Path) -> None:
        """Walk on `machine`; `s3` is a client for looking at what is stored, past the front."""
        self.machine, self.network, self.front, self.s3 = machine, network, front, s3
        self.told: list[str] = []
        """Every unit of which somebody was told that it failed."""
        self.lines: list[str] = []
        """The transcript."""
        self.dropped: dict[str, str] = {}
        """SHA-256 of everything uploaded, by bucket and key."""
        self.pager = ""
        """Where a POST takes something down as told."""
        self._base = base

    # What the operator types.

    def do(self, command: str, code: int = 0) -> str:
        """Type a command, take down what is said and return it. Raises `AssertionError` where it ends otherwise."""
        said = self.quietly(command, code)
        self.lines += [*(f"> {line}" if at else f"$ {line}" for at, line in enumerate(command.splitlines()))]
        shown = re.sub(r"(?<=\d-)[0-9a-f]{8}\b", "DIGEST", said.replace(self.front.endpoint, "https://s3.example.org"))
        self.lines += shown.splitlines()
        return said

    def quietly(self, command: str, code: int = 0) -> str:
        """The same, taking nothing down."""
        ended = self.machine.run("sh", "-c", f"cd /root && {{ {command}\n}} 2>&1")
        assert code == ended.returncode, (command, ended.returncode, ended.stdout, ended.stderr)
        return ended.stdout.rstrip()

    def aside(self, words: str) -> None:
        """Say what happened meanwhile."""
        self.lines.append(f"# {words}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the machine's."""
        place = self.machine.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something; what the agents said last goes with the failure."""
        try:
            eventually(condition, what, LONGEST_SECONDS)
        except AssertionError as late:
            late.add_note(self.machine.ask("journalctl", "--no-pager", "-n", "60", "-o", "cat"))
            raise

    def status(self, unit: str = "s3batch") -> str:
        """Return what an agent says of itself."""
        return self.machine.unit(f"{unit}.service", "StatusText")

    def said(self, unit: str = "s3batch") -> str:
        """Return the journal of a unit."""
        return self.machine.ask("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def state(self, unit: str = "s3batch") -> tuple[str, str]:
        """Return whether a unit is active, and with which result it ended last."""
        return self.machine.unit(f"{unit}.service", "ActiveState"), self.machine.unit(f"{unit}.service", "Result")

    def page(self, path: str) -> str:
        """Return what the agent's listener answers; it has to be well."""
        return self._outside("curl", "-sf", f"http://127.0.0.1:9477/{path}").stdout

    def records(self, command: str) -> list[dict[str, Any]]:
        """Return what a command says with --json."""
        return [json.loads(line) for line in self.machine.do("sh", "-c", f"{command} --json 2>/dev/null").splitlines()]

    # What customers do.

    def key(self) -> str:
        """Make the key that customers have, and return its public half."""
        self._outside("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self._base}/key")
        return (self._base / "key.pub").read_text()

    def sftp(self, user: str, content: bytes, bucket: str, key: str) -> None:
        """Upload with OpenSSH's sftp."""
        options = [word for option in SSH_OPTIONS for word in ("-o", option)]
        batch = self._base / "batch"
        batch.write_text(f'put "{self._file(content)}" "{bucket}/{key}"\n')
        self._outside("sftp", "-q", "-b", str(batch), "-i", f"{self._base}/key", *options, f"{user}@127.0.0.1")
        self.dropped[f"{bucket}/{key}"] = hashlib.sha256(content).hexdigest()

    def ftps(self, user: str, content: bytes, bucket: str, key: str) -> None:
        """Upload with lftp over TLS, passwords and data encrypted."""
        put = f'put "{self._file(content)}" -o "{bucket}/{key}"'
        words = "; ".join([*(f"set {option}" for option in LFTP_OPTIONS), put, "bye"])
        self._outside("lftp", "-u", f"{user},secret-of-{user}", "-e", words, "ftp://127.0.0.1")
        self.dropped[f"{bucket}/{key}"] = hashlib.sha256(content).hexdigest()

    def curl(self, user: str, password: str) -> int:
        """Try to upload over FTPS, and return curl's exit code: 67 where the login is refused."""
        address = f"ftp://{user}:{password}@127.0.0.1/nothing"
        words = ["curl", "-sk", "--ssl-reqd", "-T", str(self._file(b"x")), address]
        return subprocess.run([*self.network.enter, *words], check=False, capture_output=True).returncode

    def _file(self, content: bytes) -> Path:
        (self._base / "upload").write_bytes(content)
        return self._base / "upload"

    def _outside(self, *words: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [*self.network.enter, *words], stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True, timeout=120
        )
        assert 0 == ended.returncode, (words, ended.stdout, ended.stderr)
        return ended

    # What is seen from outside.

    def waiting(self, zone: str = "drop") -> list[str]:
        """Return the files in a drop zone."""
        # os.walk takes folders that go away meanwhile for empty, which pathlib does not.
        return sorted(os.path.join(folder, name) for folder, _, names in os.walk(self._base / "srv" / zone) for name in names)

    def settle(self) -> None:
        """Wait until nothing is left in the drop zone of s3batch."""
        self.until(lambda: not self.waiting(), "the archive of everything dropped")

    def stored(self, bucket: str) -> dict[str, str]:
        """Return the SHA-256 of every file that S3 has, by bucket and key, those in archives among them. Each is there once."""
        found: list[tuple[str, bytes]] = []
        for listed in self.s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
            if listed["StorageClass"] == "DEEP_ARCHIVE":
                self.s3.restore_object(Bucket=bucket, Key=listed["Key"], RestoreRequest={"Days": 1})
            body = self.s3.get_object(Bucket=bucket, Key=listed["Key"])["Body"].read()
            if listed["Key"].endswith(".tar"):
                with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                    found += [(entry.name, tar.extractfile(entry).read()) for entry in tar]  # type: ignore[union-attr]
            elif not listed["Key"].startswith("s3-batch/"):
                found.append((listed["Key"], body))
        digests = {f"{bucket}/{key}": hashlib.sha256(content).hexdigest() for key, content in found}
        assert len(found) == len(digests), sorted(key for key, _ in found)
        return digests

    def lost_in(self, bucket: str) -> dict[str, str]:
        """Return what was uploaded and is not in S3 byte for byte."""
        there = self.stored(bucket)
        return {
            key: digest for key, digest in self.dropped.items() if key.startswith(f"{bucket}/") and there.get(key) != digest
        }

    def cut_off(self) -> None:
        """Take S3 away, on connections that are open too."""
        for operation in ("PutObject", "HeadObject"):
            self.front.faults.on(operation).strike(Fault.RESET, times=EVERY)
        self.network.within(self.front.http.refuse)

    def connect(self) -> None:
        """Bring it back."""
        self.network.within(self.front.heal)

    def later(self, hours: int) -> None:
        """Let S3's time pass."""
        self.front.clock.advance(timedelta(hours=hours))
        self.aside(f"{hours} hours later")


@contextmanager
def walking(lower: Path, built: Path, base: Path, moto: MotoServer) -> Iterator[Walk]:
    """Boot a fresh Debian with what was built at /mnt, beside an S3 that has what `moto` has."""
    (base / "srv").mkdir(mode=0o755)
    with ExitStack() as stack:
        network = stack.enter_context(own_network())
        # Servers of moto in one process have the same buckets.
        behind = network.within(lambda: stack.enter_context(moto_server.running()))
        front = network.within(lambda: stack.enter_context(cold_front.running(behind, FakeClock(datetime.now(UTC)))))
        root = stack.enter_context(layered(lower, base))
        machine = Machine(root, base, {"/srv": base / "srv", "/mnt": built}, network)
        stack.callback(machine.power_off)
        walk = Walk(machine, network, front, moto.client(), base)
        pager = network.within(lambda: HttpServer(_taken_down(walk)))
        stack.callback(pager.close)
        walk.pager = pager.endpoint
        machine.boot()
        yield walk


def _taken_down(walk: Walk) -> Callable[[Asked], Reply]:
    def answer(asked: Asked) -> Reply:
        walk.told.append(os.fsdecode(asked.body))
        return Reply()

    return answer
