"""One small world for crash tests: a drop zone, an S3, the program killed and started, and a judge from outside.

The judge knows only what was dropped. It reads the drop zone, the bucket's objects and the manifests with nothing of ours but
the names they are found under, and asks the catalogue through the command line.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash import driver
from tests.doubles.moto_server import MotoServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "bucket"

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.crash.preloaded"])


class World:
    """Everything of one test."""

    def __init__(self, base: Path, moto: MotoServer) -> None:
        """Make an empty drop zone and an empty bucket."""
        self.base = base
        self.zone = base / "zone"
        (self.zone / BUCKET).mkdir(parents=True)
        self.s3 = _client(moto)
        self.s3.create_bucket(Bucket=BUCKET)
        self.ever: list[tuple[str, bytes]] = []
        """Every key and content that was ever whole in the drop zone."""
        self.drops: list[tuple[str, bytes]] = []
        """Those that must be somewhere: all but what a client itself wrote over before it was taken."""
        self.environment = {
            **os.environ,
            "S3BATCH_FOLDER": str(self.zone),
            "S3BATCH_STATE": str(base / "state"),
            "S3BATCH_QUIET_PERIOD": "1s",
            "S3BATCH_MAX_BATCH_SIZE": "64KiB",
            "S3BATCH_PART_SIZE": "5MiB",
            "CRASH_STEPS": str(base / "steps"),
        }

    def drop(self, key: str, content: bytes, *, mtime: float | None = None) -> None:
        """Write a file as an SFTP server does: opened by name, truncated, written, closed; perhaps its time set after."""
        path = self.zone / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.drops.remove((key, path.read_bytes()))
        path.write_bytes(content)
        if mtime is not None:
            os.utime(path, (mtime, mtime))
        self.drops.append((key, content))
        self.ever.append((key, content))

    def run(self, *words: str, die_at: int = 0, program: str = "s3batch") -> tuple[int, str]:
        """Run a program in a process of its own; return its exit code (negative: the signal it died of) and its output."""
        output = self.base / "output"
        target = (driver.run, [str(die_at), program, *words], self.environment, str(output))
        process = _CONTEXT.Process(target=_in_child, args=target)
        process.start()
        process.join()
        code = process.exitcode
        process.close()
        assert code is not None
        return code, output.read_text()

    def passes(self) -> None:
        """Run passes until one has nothing to do; fail if that does not come soon, or a pass fails."""
        summary = {}
        for _ in range(5):
            code, output = self.run("run", "--once", "--json")
            assert code == 0, output
            summary = json.loads(output.splitlines()[-1])
            if not (summary["files"] or summary["left"]):
                return
        raise AssertionError(f"still something to do after five passes: {summary}")

    def judge_bytes_only(self) -> None:
        """Hold only that every byte is somewhere: in the middle of things, uploads may be unfinished."""
        archived, lying = set(self.archived_members()), set(self._lying())
        for drop in self.drops:
            assert drop in archived | lying, f"lost: {drop[0]} {_digest(drop[1])}"

    def judge(self) -> None:
        """Hold the promise against what is there now."""
        archived = Counter(self.archived_members())
        lying = Counter(self._lying())
        for drop in self.drops:
            assert archived[drop] + lying[drop] > 0, f"lost: {drop[0]} {_digest(drop[1])}"
        assert not set(archived) - set(self.ever), "an archive holds bytes that nobody dropped whole"
        assert not self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads"), "an upload was left unfinished"

    def judge_at_rest(self) -> None:
        """Hold the promise when there is nothing left to do: all archived, each drop seen once, nothing lying about."""
        self.judge()
        assert not self._lying(), f"not archived: {[key for key, _ in self._lying()]}"
        left = sorted(path.name for path in (self.base / "state" / "spool").iterdir())
        assert not left, f"left in the spool: {left}"
        code, output = self.run("find", "--json", "--limit", "5000")
        assert code == 0, output
        rows = Counter((row["key"], row["sha256"]) for row in map(json.loads, output.splitlines()) if "key" in row)
        assert not rows - Counter(set(rows)), f"doubled: {rows - Counter(set(rows))}"
        assert Counter({(key, _digest(content)): 1 for key, content in self.archived_members()}) == rows

    def archived_members(self) -> list[tuple[str, bytes]]:
        """Return key and content of every member of every archive that has a manifest."""
        members = []
        for key in self.keys():
            if key.startswith("s3-batch/manifests/"):
                manifest = json.loads(gzip.decompress(self.object(key)))
                members += self._members(manifest)
        return members

    def _members(self, manifest: Mapping[str, Any]) -> list[tuple[str, bytes]]:
        archive = self.object(manifest["archive"]["key"])
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            contents = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]  # regular files
        for member in manifest["members"]:
            content = archive[member["offset"] : member["offset"] + member["size"]]
            assert contents[member["key"]] == content
            assert member["sha256"] == _digest(content)
        assert set(contents) == {member["key"] for member in manifest["members"]}
        return list(contents.items())

    def object(self, key: str) -> bytes:
        """Return what an object holds, thawed where it must be."""
        head: Mapping[str, object] = dict(self.s3.head_object(Bucket=BUCKET, Key=key))
        if head.get("StorageClass") == "DEEP_ARCHIVE" and "Restore" not in head:
            self.s3.restore_object(Bucket=BUCKET, Key=key, RestoreRequest={"Days": 1})
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def keys(self) -> list[str]:
        """Return the keys of all objects."""
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def _lying(self) -> list[tuple[str, bytes]]:
        """Return key and content of every dropped file in the drop zone or in quarantine, where slots bear no names."""
        found = []
        contents = {_digest(content): (key, content) for key, content in self.ever}
        for folder, _, names in os.walk(self.zone):
            for name in names:
                content = (Path(folder) / name).read_bytes()
                if _digest(content) in contents:
                    found.append(contents[_digest(content)])
        return found


@functools.cache
def _client(moto: MotoServer) -> S3Client:
    """Return one client for all worlds of a server: making one takes as long as a short run."""
    return moto.client()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _in_child(target: Any, arguments: list[str], environment: dict[str, str], output: str) -> None:  # noqa: ANN401 - a function
    os.environ.clear()
    os.environ.update(environment)
    fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    code = target(arguments)
    os._exit(code)
