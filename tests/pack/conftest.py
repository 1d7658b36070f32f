"""A packing agent over a strict simulator, built in line: what it does is one order of steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.pack.agent import Clocks, PackAgent
from s3batch.pack.journal import PackJournal
from s3batch.pack.names import Names
from s3batch.pack.planner import Limits
from s3batch.pack.spool import Spool
from s3batch.pack.steps import Steps
from s3batch.pack.tally import Tally
from s3batch.pack.unreleased import UnreleasedFiles
from s3batch.pack.workers import Builders, InLine
from s3batch.pack.yard import Yard
from s3sync.backoff import Backoff
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.release import ReleaseReport, release
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.slots import Original
from s3sync.dropzone.zone import DropZone
from s3sync.events import Event
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectStore, StorageClass
from s3sync.store.proof import Proof
from tests.doubles.clock import FakeClock
from tests.doubles.faulty import Faulty
from tests.doubles.memory_store import MemoryStore

T = TypeVar("T")
QUIET_NS = 60 * 10**9


@dataclass
class Bench:
    """A drop zone, an agent, a simulated S3, and everything that was told."""

    root: Path
    agent: PackAgent
    store: MemoryStore
    faulty: Faulty
    journal: PackJournal
    catalogue: SqliteCatalogue
    spool: Spool
    unreleased: UnreleasedFiles
    clock: FakeClock
    wall_ns: list[int]
    events: list[Event] = field(default_factory=list)
    stop: list[bool] = field(default_factory=lambda: [False])

    def drop(self, key: str, content: bytes = b"content", *, bucket: str = "bucket") -> Path:
        """Drop a finished file."""
        path = self.root / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def run(self, *, close_all: bool = True) -> Tally:
        """Do a pass, a day after the last."""
        self.wall_ns[0] += 86_400 * 10**9
        self.clock.advance(timedelta(days=1))
        return self.agent.run_pass(close_all=close_all)

    def told(self, name: str) -> list[Event]:
        """Return the events of one name."""
        return [event for event in self.events if event.name == name]

    def found(self) -> dict[bytes, int]:
        """Return every catalogued key and how many rows it has."""
        return {key: len(self.catalogue.versions(key)) for key in self._keys()}

    def _keys(self) -> Iterable[bytes]:
        for bucket in self.catalogue.buckets():
            yield from (entry.member.key for entry in self.catalogue.below(bucket, b""))


Make = Callable[..., Bench]


class InLineExecutor(Executor):
    """Runs what is submitted at once; a power cut rises to whoever submitted it."""

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> Future[T]:
        """Call now."""
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make benches on the same folders: a second one is the agent started again."""
    made: list[Callable[[], None]] = []
    clock, numbers = FakeClock(), itertools.count()
    memory = MemoryStore(clock, buckets=("bucket", "other"))
    root = tmp_path / "zone"
    for bucket in ("bucket", "other"):
        (root / bucket).mkdir(parents=True)
    wall_ns = [(root / "bucket").stat().st_ctime_ns]

    def build(
        *,
        spool_limit: int = 1 << 30,
        store: ObjectStore | None = None,
        limits: Limits | None = None,
        state: Path = tmp_path,
    ) -> Bench:
        db = StateDb.open(state / "journal.db")
        catalogue = SqliteCatalogue.open(state / "catalogue.db")
        zone = DropZone.open(root)
        made.extend((db.close, catalogue.close, zone.close))
        faulty = Faulty(memory)
        journal, spool = PackJournal(db, now=clock.now), Spool(tmp_path / "spool", spool_limit)
        unreleased = UnreleasedFiles(db, now=clock.now)
        events: list[Event] = []
        stop = [False]

        def releaser(batch: str, originals: Iterable[Original], proof: Proof) -> ReleaseReport:
            return release(zone, batch, originals, proof, sleep=lambda _: None)

        steps = Steps(
            store=store or faulty,
            journal=journal,
            spool=spool,
            catalogue=catalogue,
            enqueue=lambda _connection, _reservation: None,
            releaser=releaser,
            unreleased=unreleased,
        )
        names = Names(
            storage_class=StorageClass.DEEP_ARCHIVE,
            manifest_bucket=None,
            host="host",
            tool="s3batch test",
            new_suffix=lambda: f"{next(numbers):012x}",
        )
        yard = Yard(
            steps=steps,
            names=names,
            root=str(root),
            max_bytes=1 << 20,
            parked=Backoff(clock.monotonic),
            listener=events.append,
            stopping=lambda: stop[0],
            asked=lambda: stop[0],
            threads=lambda _: InLineExecutor(),
        )

        @contextmanager
        def in_line() -> Iterator[Builders]:
            yield InLine()

        agent = PackAgent(
            zone=zone,
            yard=yard,
            builders=in_line,
            standards=Standards(quiet=QuietClock(timedelta(seconds=60)), max_size=spool_limit),
            limits=limits or Limits(max_bytes=1 << 20, max_members=1000, max_age_ns=10**18, quiet_ns=QUIET_NS),
            unreleased=unreleased,
            clocks=Clocks(lambda: wall_ns[0], lambda: wall_ns[0]),
        )
        agent.start()
        return Bench(
            root=root,
            agent=agent,
            store=memory,
            faulty=faulty,
            journal=journal,
            catalogue=catalogue,
            spool=spool,
            unreleased=unreleased,
            clock=clock,
            wall_ns=wall_ns,
            events=events,
            stop=stop,
        )

    yield build
    for close in made:
        close()


@pytest.fixture
def bench(make: Make) -> Bench:
    """One bench."""
    return make()
