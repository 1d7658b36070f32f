"""`make demo`: the whole life of a file, on this machine alone. Exits non-zero if anything did not hold."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from s3batch.demo.files import BUCKETS, INVOICES, MAX_BATCH_BYTES, WANTED, Dropped, dropped
from s3batch.restore.cost import dollars, upkeep
from s3sync.output import Output, human_size, table
from s3sync.store.aws import connect
from s3sync.store.contract import StorageClass

QUIET_SECONDS = 1.0
say = Output().text


class DidNotHold(Exception):
    """A promise was not kept: the demo ends with this sentence and exit code 1."""


def hold(promise: str, *, kept: bool) -> None:
    """Say that `promise` was kept, or end the demo. Raises `DidNotHold`."""
    if not kept:
        raise DidNotHold(promise)
    say(f"   ok  {promise}")


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the S3 server and all folders, and say how to look around")
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # commands write to the same place in between
    base = Path(tempfile.mkdtemp(prefix="s3batch-demo-"))
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            if not args.keep:
                stack.callback(shutil.rmtree, base)
            _tell_story(_Stage(base, stack, keep=args.keep))
    except DidNotHold as promise:
        say(f"   NOT HELD: {promise}")
        return 1
    say()
    say(f"Everything held, in {time.monotonic() - began:.0f} s.")
    return 0


class _Stage:
    """Folders, server and environment of one run."""

    def __init__(self, base: Path, stack: ExitStack, *, keep: bool) -> None:
        self.zone, self.back = base / "dropzone", base / "back"
        self.zone.mkdir()
        self.server = subprocess.Popen(
            [sys.executable, "-m", "s3batch.demo.server"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=keep,
            text=True,
        )
        if not keep:
            stack.callback(_end, self.server)
        self.keep = keep
        self.variables = {
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._port()}",
            "S3BATCH_FOLDER": str(self.zone),
            "S3BATCH_STATE": str(base / "state"),
            "S3BATCH_QUIET_PERIOD": f"{QUIET_SECONDS:.0f}s",
            "S3BATCH_MAX_BATCH_SIZE": str(MAX_BATCH_BYTES),
            "S3BATCH_THAW_POLL": "1s",
            "S3BATCH_LOG_LEVEL": "warning",
        }
        self.environment = {**_plain(os.environ), **self.variables}
        os.environ.update(self.variables)
        self.client = connect(connections=1)
        for bucket in BUCKETS:
            self.client.create_bucket(Bucket=bucket)

    def s3batch(self, *words: str, show: bool = True) -> list[dict[str, object]]:
        """Run a command as a person would (`show`), or for its JSON records. Raises `DidNotHold` where it fails."""
        line = [sys.executable, "-m", "s3batch", *words, *(() if show else ("--json",))]
        if show:
            say()
            say(f"$ s3batch {shlex.join(words)}")
        ended = subprocess.run(line, env=self.environment, check=False, text=True, stdout=None if show else subprocess.PIPE)
        if ended.returncode:
            raise DidNotHold(f"`s3batch {shlex.join(words)}` exits with 0 (it was {ended.returncode})")
        return [] if show else [json.loads(record) for record in ended.stdout.splitlines()]

    def _port(self) -> str:
        if self.server.stdout is None:
            raise DidNotHold("the embedded S3 has an output")
        port = self.server.stdout.readline().strip()
        if not port:
            raise DidNotHold("the embedded S3 starts")
        return port


def _tell_story(stage: _Stage) -> None:
    with dropped(stage.zone) as drops:
        size = human_size(drops.finished_bytes)
        say(f"{len(drops.finished)} finished files ({size}) were dropped for {len(BUCKETS)} buckets,")
        say("and three things that must stay: an upload still open, a .filepart, a link to /etc/passwd.")
        time.sleep(QUIET_SECONDS + 0.2)
        _pack(stage, drops)
    _bring_back(stage, drops)
    if stage.keep:
        _say_how_to_look_around(stage)


def _pack(stage: _Stage, drops: Dropped) -> None:
    say()
    say("$ s3batch run --once")
    (summary,) = stage.s3batch("run", "--once", show=False)
    objects = [found for bucket in BUCKETS for found in _objects(stage, bucket)]
    archives = [found for found in objects if found["StorageClass"] == StorageClass.DEEP_ARCHIVE]
    _show_table(drops, archives, manifests=[found for found in objects if found not in archives])
    hold("every finished file is in an archive", kept=summary["files"] == len(drops.finished) == summary["released"])
    hold("its original is gone, and nothing else is", kept=_lying(stage.zone) == set(drops.stays))
    hold(f"what stayed has its reason: {', '.join(drops.stays.values())}", kept=summary["held"] == _counted(drops.stays))
    hold("every archive is in DEEP_ARCHIVE and has a manifest", kept=len(objects) == 2 * len(archives))


def _bring_back(stage: _Stage, drops: Dropped) -> None:
    stage.s3batch("find", "müller", "0042")
    (found,) = stage.s3batch("find", "müller", "0042", show=False)
    hold("a file is found by parts of its name", kept=found["key"] == WANTED)
    hold("its archive is frozen: S3 refuses to read it", kept=not _readable(stage, INVOICES, str(found["archive"])))
    wanted = f"s3://{INVOICES}/{WANTED}"
    stage.s3batch("restore", wanted, "--to", str(stage.back), "--dry-run")
    stage.s3batch("restore", wanted, "--to", str(stage.back), "--wait", "--yes")
    content = (stage.back / INVOICES / WANTED).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    say()
    say(f"   {digest}  {WANTED}")
    hold("it came back from DEEP_ARCHIVE byte for byte", kept=content == drops.finished[f"{INVOICES}/{WANTED}".encode()])
    hold("its SHA-256 is the one that was recorded", kept=digest == found["sha256"])


def _show_table(drops: Dropped, archives: list[Mapping[str, object]], *, manifests: list[Mapping[str, object]]) -> None:
    size, listed = (sum(int(str(found["Size"])) for found in objects) for objects in (archives, manifests))
    single = upkeep(drops.finished_bytes, len(drops.finished), StorageClass.DEEP_ARCHIVE)
    packed = upkeep(size, len(archives), StorageClass.DEEP_ARCHIVE)
    beside = upkeep(listed, len(manifests), StorageClass.STANDARD)
    files, count = len(drops.finished), len(archives) + len(manifests)
    once, monthly = dollars(packed.upload + beside.upload), dollars(packed.monthly + beside.monthly)
    single_row = (files, human_size(drops.finished_bytes), files, dollars(single.upload), dollars(single.monthly))
    rows = [("one object each", *single_row), ("s3batch", files, human_size(size + listed), count, once, monthly)]
    headers = ("", "files", "bytes", "objects", "$ once", "$ a month")
    for line in ("", *table(rows, headers), ""):
        say(line)


def _say_how_to_look_around(stage: _Stage) -> None:
    say()
    say("Everything is left running. To look around:")
    say()
    for name, value in stage.variables.items():
        say(f"  export {name}={shlex.quote(value)}")
    program = Path(sys.executable).parent / "s3batch"
    say()
    for words in ("status", "find invoice", f"ls s3://{INVOICES}/"):
        say(f"  {program} {words}")
    say()
    say(f"To end it: kill {stage.server.pid}; rm -r {stage.zone.parent}")


def _objects(stage: _Stage, bucket: str) -> Iterator[Mapping[str, object]]:
    yield from stage.client.list_objects_v2(Bucket=bucket).get("Contents", [])


def _readable(stage: _Stage, bucket: str, key: str) -> bool:
    try:
        stage.client.get_object(Bucket=bucket, Key=key)
    except stage.client.exceptions.InvalidObjectState:
        return False
    return True


def _lying(zone: Path) -> set[bytes]:
    """Return the paths of everything that is no folder below `zone`."""
    base = os.fsencode(zone)
    return {os.path.relpath(os.path.join(folder, name), base) for folder, _, names in os.walk(base) for name in names}


def _counted(stays: Mapping[bytes, str]) -> dict[str, int]:
    return {reason: list(stays.values()).count(reason) for reason in stays.values()}


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without anything that would reach a real account or another configuration."""
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "S3BATCH_", "S3SYNC_"))}


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    server.wait()


if __name__ == "__main__":
    sys.exit(main())
