"""The program in this process, wired as it is wired for people, over the cold front: one batch's life, and one restore's.

Only what would make a test wait is different: retries do not pause, time-outs are short where a fault needs one, files
dropped a moment ago are quiet already, archives are built in line. The judge at the end looks past the front at what the
server behind it holds, and into the drop zone; of ours it asks only the catalogue.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from s3batch.app import App
from s3batch.catalogue.contract import Entry
from s3batch.pack.agent import PackAgent
from s3batch.pack.tally import Tally
from s3batch.restore.destination import Destination
from s3batch.restore.engine import RestoreEngine
from s3batch.restore.filing import Order
from s3batch.restore.requests import Request, Requester
from s3batch.settings import Settings
from s3sync.events import Event
from s3sync.output import Output
from s3sync.store.contract import Tier
from tests.doubles.billing import What
from tests.doubles.clock import FakeClock
from tests.doubles.cold_front import ColdFront
from tests.doubles.s3_calls import call_of
from tests.doubles.workers import InLineWorkers
from tests.faults.requests import BACK, BUCKET, kinds_of

if TYPE_CHECKING:
    import pytest

REQUEST = "r1"
LARGE = bytes(range(256)) * (20 * 1024 + 4)
"""Just over five MiB: travels in two parts."""
SMALL = {"a/one": b"one" * 500, "a/two": b"two" * 500, "a/empty": b""}
STALLED_READ_SECONDS = 0.4
STALLED_ATTEMPTS = 3
PARKED = timedelta(hours=2)
"""Longer than any bucket is left alone."""


class FrontApp(App):
    """The program on the clock of the front, its events kept."""

    def __init__(self, settings: Settings, clock: FakeClock) -> None:
        """Open nothing yet."""
        super().__init__(settings, Output())
        self._clock = clock
        self.events: list[Event] = []

    def now(self) -> datetime:
        """Return the front's time."""
        return self._clock.now()

    @cached_property
    def agents_engine(self) -> RestoreEngine:
        """The restore engine of the agent, made once."""
        return self.agents_restore_engine()

    @property
    def listener(self) -> Any:  # noqa: ANN401 - what list.append is
        """Keep events instead of logging them."""
        return self.events.append


class Life:
    """A drop zone and the program on it, started and started again."""

    def __init__(self, base: Path, front: ColdFront) -> None:
        """Begin with an empty drop zone, an empty state, and two empty buckets."""
        self.base = base
        self.front = front
        self.s3 = front.behind.client()
        self.zone = base / "zone"
        (self.zone / BUCKET).mkdir(parents=True)
        for bucket in (BUCKET, BACK):
            self.s3.create_bucket(Bucket=bucket)
        self.dropped: dict[str, bytes] = {}
        self._due: datetime | None = None
        self._settings = Settings.read(
            environment={
                "HOME": str(base),
                "S3BATCH_FOLDER": str(self.zone),
                "S3BATCH_STATE": str(base / "state"),
                "S3BATCH_RESTORE_DIR": str(base / "restored"),
                "S3BATCH_QUIET_PERIOD": "1s",
                "S3BATCH_PART_SIZE": "5MiB",
                "S3BATCH_UPLOAD_THREADS": "1",
            }
        )
        self.app = self._started()

    def close(self) -> None:
        """End the program."""
        self.app.__exit__(None, None, None)
        self.s3.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def restart(self) -> None:
        """End the program and start it again."""
        self.app.__exit__(None, None, None)
        self.app = self._started()

    def drop(self, files: Mapping[str, bytes]) -> None:
        """Drop finished files."""
        for key, content in files.items():
            path = self.zone / BUCKET / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.dropped.update(files)

    def run_pass(self) -> Tally:
        """Do one pass."""
        self.front.clock.advance(PARKED)
        return self.agent.run_pass(close_all=True)

    def ask_back(self, destination: Destination) -> None:
        """File a request for everything in the catalogue."""
        order = Order(destination=destination, tier=Tier.BULK, days=3, requester=Requester("ann", 1000))
        self.engine.request(REQUEST, self.entries(), order)

    def advance(self) -> Request:
        """Let the restore engine do what is due, or, where nothing is due yet, what will be next."""
        now, due = self.front.clock.now(), self._due
        if due is not None and due > now:
            self.front.clock.advance(due - now)
        self._due = self.engine.advance().next_due
        return self.engine.requests.get(REQUEST)

    @property
    def engine(self) -> RestoreEngine:
        """The restore engine of the program as it runs now."""
        return self.app.agents_engine

    def _started(self) -> FrontApp:
        app = FrontApp(self._settings, self.front.clock).__enter__()
        self.agent: PackAgent = app.pack_agent()
        self.agent.start()
        return app

    def kinds_asked(self) -> list[str]:
        """Return what the front was asked since its record was cleared, in the words of the table."""
        return kinds_of([call_of(asked) for asked in self.front.http.asked])

    # The judge.

    def assert_nothing_lost(self) -> None:
        """Hold that everything dropped is in the drop zone, or in an archive that has a manifest."""
        there = self.archived() + Counter({(key, _digest(content)): 1 for key, content in self.lying()})
        for key, content in self.dropped.items():
            assert there[key, _digest(content)], f"lost: {key}"

    def assert_at_rest(self) -> None:
        """Hold that every drop is archived and catalogued exactly once, and nothing lies about anywhere."""
        once = Counter({(key, _digest(content)): 1 for key, content in self.dropped.items()})

        assert once == self.archived()
        assert once == self.catalogued()
        assert [] == self.lying()
        assert [] == os.listdir(self.base / "state" / "spool")
        self.assert_tidy()

    def assert_tidy(self) -> None:
        """Hold that no object was ever replaced and no upload left behind."""
        assert [] == [name for name, times in self.front.stored.items() if times > 1]
        for bucket in (BUCKET, BACK):
            assert [] == self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    def spare_archives(self) -> int:
        """Return how many archives were stored and paid for beyond those that have a manifest."""
        keys = self.keys(BUCKET)
        manifests = [key for key in keys if key.startswith("s3-batch/manifests/")]
        return len(keys) - 2 * len(manifests)

    def archived(self) -> Counter[tuple[str, str]]:
        """Return key and SHA-256 of every member of every archive that has a manifest, as any tar reader sees them."""
        seen: Counter[tuple[str, str]] = Counter()
        for key in self.keys(BUCKET):
            if key.startswith("s3-batch/manifests/"):
                manifest = json.loads(gzip.decompress(self.object(BUCKET, key)))
                archive = self.object(BUCKET, manifest["archive"]["key"])
                with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                    contents = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]  # files
                for member in manifest["members"]:
                    assert member["sha256"] == _digest(contents[member["key"]])
                    seen[member["key"], member["sha256"]] += 1
        return seen

    def catalogued(self) -> Counter[tuple[str, str]]:
        """Return key and SHA-256 of every row of the catalogue."""
        below = self.app.catalogue.below(BUCKET, b"")
        every = [entry for one in below for entry in self.app.catalogue.versions(one.member.key)]
        return Counter((entry.member.key.decode(), entry.member.sha256) for entry in every)

    def thaws_begun(self) -> int:
        """Return how many thaws were paid for."""
        return sum(charge.what is What.RETRIEVAL for charge in self.front.ledger.charges)

    def entries(self) -> list[Entry]:
        """Return what the catalogue has."""
        return list(self.app.catalogue.below(BUCKET, b""))

    def keys(self, bucket: str) -> list[str]:
        """Return the keys of a bucket."""
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def object(self, bucket: str, key: str) -> bytes:
        """Return an object's bytes, cold or not, from the server behind."""
        kept_in = self.s3.head_object(Bucket=bucket, Key=key).get("StorageClass", "STANDARD")
        if kept_in == "DEEP_ARCHIVE":
            self.s3.restore_object(Bucket=bucket, Key=key, RestoreRequest={"Days": 1})
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def lying(self) -> list[tuple[str, bytes]]:
        """Return key and content of every file in the drop zone or in quarantine, where slots bear no names."""
        by_digest = {_digest(content): key for key, content in self.dropped.items()}
        paths = [Path(folder) / name for folder, _, names in os.walk(self.zone) for name in names]
        return [(by_digest.get(_digest(path.read_bytes()), path.name), path.read_bytes()) for path in paths]


class QuickTime:
    """Stands for the module `time` in the program: nobody sleeps, and what was dropped a moment ago has been quiet."""

    def __init__(self, clock: FakeClock) -> None:
        """Take the monotonic time from `clock`."""
        self.monotonic = clock.monotonic

    def time_ns(self) -> int:
        """Return a time at which everything dropped until now is quiet."""
        return time.time_ns() + 2 * 10**9

    def monotonic_ns(self) -> int:
        """Return the clock's, in step with `time_ns`."""
        return time.monotonic_ns() + 2 * 10**9

    def sleep(self, _seconds: float) -> None:
        """Do not."""


@contextmanager
def quick(monkeypatch: pytest.MonkeyPatch, front: ColdFront, *, stalled: bool) -> Iterator[None]:
    """Let the program find the front, and never wait; with `stalled`, give up on a silent server soon."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", front.endpoint)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))
    monkeypatch.setattr("s3batch.app.time", QuickTime(front.clock))
    monkeypatch.setattr("s3batch.app.Workers", InLineWorkers)
    if stalled:
        monkeypatch.setattr("s3sync.store.aws.READ_TIMEOUT_SECONDS", STALLED_READ_SECONDS)
        monkeypatch.setattr("s3sync.store.aws.ATTEMPTS", STALLED_ATTEMPTS)
        front.stall_seconds = STALLED_READ_SECONDS * 1.5
    before = signal.getsignal(signal.SIGIO)
    try:
        yield
    finally:
        signal.signal(signal.SIGIO, before)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
