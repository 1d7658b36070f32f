"""A host, an S3 with cold storage, and a shell in which an operator types; what is typed and said is the page's transcript."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.doubles.clock import FakeClock
from tests.doubles.cold_front import ColdFront, S3Server, running
from tests.test_readme import Shell

BUCKET, MANIFESTS = "customer-uploads", "our-manifests"
FILES = {"acme/2026/invoice-0042.pdf": b"invoice" * 300, "acme/2026/plan.dwg": b"plan" * 700, "beta/scan.tif": b"scan" * 900}
KEY = "acme/2026/invoice-0042.pdf"
QUIET_SECONDS = 1.2


@dataclass
class Walk:
    """One recovery on its way."""

    base: Path
    front: ColdFront
    more: Mapping[str, str] = field(default_factory=dict)
    """Settings beside the usual."""
    lines: list[str] = field(default_factory=list)
    """The transcript."""

    def __post_init__(self) -> None:
        """Make a drop zone, and the shell of its host."""
        self.drop, self.state, self.back = (self.base / name for name in ("drop", "state", "back"))
        (self.drop / BUCKET).mkdir(parents=True)
        programs = Path(sys.executable).parent
        environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.base),
            "AWS_ENDPOINT_URL_S3": self.front.endpoint,
            "S3BATCH_FOLDER": str(self.drop),
            "S3BATCH_STATE": str(self.state),
            "S3BATCH_BUCKETS": BUCKET,
            "S3BATCH_QUIET_PERIOD": "1s",
            "S3BATCH_MAX_BATCH_AGE": "1s",
            "S3BATCH_THAW_POLL": "1s",
            "S3BATCH_LOG_LEVEL": "error",
            **self.more,
        }
        self.shell = Shell(environment, self.base)

    def put(self, files: Mapping[str, bytes] = FILES) -> None:
        """Drop files, and let the quiet period pass."""
        for key, content in files.items():
            path = self.drop / BUCKET / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        time.sleep(QUIET_SECONDS)

    def before(self, command: str) -> list[str]:
        """Do what was done before the page begins; nothing of it is shown. Raises `AssertionError` where it fails."""
        code, said = self.shell.run(command)
        assert 0 == code, (command, said)
        return said

    def do(self, command: str, code: int = 0) -> list[str]:
        """Do what the operator types, and take down what is said. Raises `AssertionError` where it ends otherwise."""
        ended, said = self.shell.run(command)
        assert code == ended, (command, ended, said)
        shown = [*(f"> {line}" if at else f"$ {line}" for at, line in enumerate(command.splitlines())), *said]
        if code:
            shown.append(f"(exit code {code})")
        self.lines += [self._shown(line) for line in shown]
        return said

    def aside(self, words: str) -> None:
        """Say what happened outside the shell."""
        self.lines.append(f"# {words}")

    def later(self, hours: int) -> None:
        """Let S3's time pass."""
        self.front.clock.advance(timedelta(hours=hours))
        self.aside(f"{hours} hours later")

    def is_back(self, key: str = KEY) -> bool:
        """Tell whether a file was delivered as it was dropped."""
        return (self.back / BUCKET / key).read_bytes() == FILES[key]

    def waiting(self) -> list[str]:
        """Return what is left in the drop zone, but for the quarantine."""
        bucket = self.drop / BUCKET
        return sorted(str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())

    def burn(self) -> None:
        """Lose the host's disk."""
        for folder in (self.drop, self.state):
            shutil.rmtree(folder, ignore_errors=True)
        (self.drop / BUCKET).mkdir(parents=True)

    def _shown(self, line: str) -> str:
        for path, name in ((self.drop, "/srv/drop"), (self.state, "/var/lib/s3batch"), (self.base, "/home/operator")):
            line = line.replace(str(path), name)
        return line.replace(self.front.endpoint.removeprefix("http://"), "s3.example.org")


@contextmanager
def walking(base: Path, server: S3Server, **more: str) -> Iterator[Walk]:
    """Yield a host whose buckets are made, beside an S3 with cold storage."""
    for bucket in (BUCKET, MANIFESTS):
        server.client().create_bucket(Bucket=bucket)
    with running(server, FakeClock(datetime.now(UTC))) as front:
        walk = Walk(base, front, more)
        with walk.shell:
            yield walk
