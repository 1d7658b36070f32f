"""An agent of `s3sync` on a folder and a store in memory, started and stopped as often as a test likes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

from s3sync.backoff import Backoff
from s3sync.dropzone.quarantine import ProvenQuarantines
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.release import ReleaseReport, release_each
from s3sync.dropzone.slots import Original
from s3sync.dropzone.zone import S3SYNC_QUARANTINE, DropZone
from s3sync.events import Event
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectStore, StorageClass
from s3sync.store.proof import Proof
from s3sync.transfer.agent import Agent, Judging, PassSummary
from s3sync.transfer.carry import Transfer
from s3sync.transfer.guard import Guard
from s3sync.transfer.journal import Journal
from s3sync.transfer.originals import Originals
from s3sync.transfer.outcome import Files
from s3sync.transfer.storing import Storing, Wanted
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore

_IDS = count()

JOURNAL_STEPS = ("begin", "note_upload", "proved", "occupied", "free", "kept", "lost", "released", "forgotten")
STORE_STEPS = ("put", "head", "abort", "versioned")


class Mortal:
    """Counts steps and dies at the one it is told to: from then on nothing it wraps does anything any more."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.steps = 0

    def step(self, *_: object) -> None:
        """Take one step, or die."""
        self.steps += 1
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise SystemExit(self.steps)

    def wrap(self, thing: object, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - it stands where `thing` would
        """Return `thing` with a step before and after each call of `names`."""
        return _Wrapped(self, thing, names)


class _Wrapped:
    def __init__(self, mortal: Mortal, thing: object, names: tuple[str, ...]) -> None:
        self._mortal = mortal
        self._thing = thing
        self._names = names

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the wrapped thing has
        found = getattr(self._thing, name)
        if name not in self._names:
            return found

        def stepping(*args: object, **keywords: object) -> Any:  # noqa: ANN401 - what the call returns
            self._mortal.step()
            result = found(*args, **keywords)
            self._mortal.step()
            return result

        return stepping


@dataclass
class House:
    """One drop zone and one state folder; `running` is one life of the program on them."""

    path: Path
    store: ObjectStore
    clock: FakeClock = field(default_factory=FakeClock)
    heard: list[Event] = field(default_factory=list)
    workers: int = 1
    stopping: Callable[[], bool] = lambda: False
    moment: Callable[[], object] = lambda: None
    """What others do while an original lies in quarantine."""
    releasing: Callable[[Callable[[], ReleaseReport]], ReleaseReport] = lambda act: act()

    @property
    def zone_path(self) -> Path:
        """The drop zone."""
        return self.path / "zone"

    @contextmanager
    def running(self, mortal: Mortal | None = None) -> Iterator[tuple[Agent, Journal]]:
        """Start the program and end it again."""
        mortal = mortal or Mortal()
        self.zone_path.mkdir(exist_ok=True)
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            with (
                StateDb.open(self.path / "journal.db") as db,
                DropZone.open(self.zone_path, quarantine_name=S3SYNC_QUARANTINE) as zone,
            ):
                journal = cast(Journal, mortal.wrap(Journal(db, self.clock.now), JOURNAL_STEPS))
                yield self._agent(zone, journal, mortal), journal
        finally:
            signal.signal(signal.SIGIO, before)

    def once(self, mortal: Mortal | None = None) -> PassSummary:
        """Run `--once`: a program of one pass, long after everything was dropped."""
        with self.running(mortal) as (agent, _):
            return agent.run_once(self.later())

    def later(self) -> datetime:
        """Return a moment at which everything dropped until now is quiet."""
        return datetime.now(UTC) + timedelta(hours=1)

    def _agent(self, zone: DropZone, journal: Journal, mortal: Mortal) -> Agent:
        store = cast(ObjectStore, mortal.wrap(self.store, STORE_STEPS))
        buckets, files = Backoff(self.clock.monotonic), Backoff(self.clock.monotonic, forgiven=1)
        guard = Guard(journal, buckets, self.heard.append)
        wanted = Wanted(storage_class=StorageClass.STANDARD, new_id=lambda: f"drop-{next(_IDS)}", stopping=self.stopping)

        def moment(_seconds: float) -> None:
            mortal.step()
            self.moment()

        def releasing(folder: str, proved: Sequence[tuple[Original, Proof]]) -> ReleaseReport:
            mortal.step()
            report = self.releasing(
                lambda: release_each(zone, folder, proved, sleep=moment, prune=False, flush=lambda _fd: None)
            )
            mortal.step()
            return report

        told = Files(files, self.heard.append)
        transfer = Transfer(
            zone,
            Storing(store, journal, guard, wanted),
            journal,
            guard,
            files=told,
            originals=Originals(journal, told, releasing),
            stopping=self.stopping,
        )
        return Agent(
            zone,
            Judging(quiet=QuietClock(timedelta(seconds=60)), buckets=None, temporary=(".*",)),
            ProvenQuarantines(),
            transfer,
            journal,
            backoffs=(buckets, files),
            workers=self.workers,
            stopping=self.stopping,
            monotonic_ns=lambda: int(self.clock.monotonic() * 1e9),
            listener=self.heard.append,
            degraded={},
        )


def house_at(
    path: Path, *, versioned: bool = False, buckets: tuple[str, ...] = ("bucket",), threshold: int = 8 << 20
) -> tuple[House, MemoryStore]:
    """Return a house at `path` with a store in memory, which takes files of `threshold` bytes and more in parts."""
    store = MemoryStore(FakeClock(), buckets=(), threshold=threshold)
    for bucket in buckets:
        store.make_bucket(bucket, versioned=versioned)
    return House(path, store), store
