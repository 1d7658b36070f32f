"""A host with a drop zone, a state folder, and the program run on it as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.doubles.moto_server import MotoServer
from tests.dropzone.zones import REPOSITORY


class Done(NamedTuple):
    """How a run ended, and everything it said."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The last line of standard output, which is one JSON object."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found

    @property
    def said(self) -> str:
        """All of it."""
        return self.out + self.err


class Host:
    """One drop zone with two buckets, and settings."""

    def __init__(self, base: Path, moto: MotoServer) -> None:
        """Make the folders and the buckets."""
        self.zone, self.state = base / "zone", base / "state"
        self.s3 = moto.client()
        for bucket in ("bucket", "other"):
            (self.zone / bucket).mkdir(parents=True)
            self.s3.create_bucket(Bucket=bucket)
        self.settings = {
            "S3BATCH_FOLDER": str(self.zone),
            "S3BATCH_STATE": str(self.state),
            "S3BATCH_QUIET_PERIOD": "1s",
            "S3BATCH_MAX_BATCH_SIZE": "64KiB",
        }

    def drop(self, key: str, content: bytes = b"content", *, bucket: str = "bucket") -> Path:
        """Drop a finished file."""
        path = self.zone / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def run(self, *words: str, **changes: str) -> Done:
        """Run the program to its end; `changes` are settings."""
        done = subprocess.run(
            [sys.executable, "-B", "-m", "tests.hostile.program", *words],
            check=False,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, **self.settings, **changes},
            timeout=100,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def one_pass(self, **changes: str) -> Done:
        """Run one pass."""
        return self.run("run", "--once", "--json", **changes)

    def archives(self) -> list[str]:
        """Return the keys of every archive in both buckets."""
        found = [self.s3.list_objects_v2(Bucket=bucket).get("Contents", []) for bucket in ("bucket", "other")]
        return [each["Key"] for contents in found for each in contents if each["Key"].endswith(".tar")]
