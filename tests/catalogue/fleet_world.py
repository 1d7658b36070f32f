"""A host's outbox against a real node: archives with manifests on one side, the index on the other, and the full comparison."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.documents import index_of
from s3batch.catalogue.drain import Drain, DrainReport
from s3batch.catalogue.fleet import FleetIndex
from s3batch.catalogue.manifest_source import ManifestSource, fetch
from s3batch.catalogue.opensearch import OpenSearchCluster, Reach
from s3batch.catalogue.outbox import Outbox, enqueue
from s3batch.catalogue.template import ALIAS
from s3batch.model import ArchiveRecord
from s3sync.events import Event
from s3sync.statedb import StateDb
from tests.catalogue.examples import BEGIN, documents_of, members, reserved, stored
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore

PATIENCE_SECONDS = 60
Documents = dict[tuple[str, str], object]


@dataclass
class World:
    """One host, and the cluster it is told of; time goes on by itself from drain to drain."""

    db: StateDb
    store: MemoryStore
    spool: Path
    cluster: OpenSearchCluster
    told: list[Event] = field(default_factory=list)
    archives: list[ArchiveRecord] = field(default_factory=list)
    now: datetime = BEGIN + timedelta(days=30)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.db)
        self.restart()

    def restart(self) -> None:
        """Begin again, as a new process would."""
        self.sender = Drain(
            self.outbox,
            ManifestSource(self.store, self.spool),
            FleetIndex(self.cluster),
            archives_of=lambda index: [reserved(one) for one in self.archives if index_of(one.created) == index],
            listener=self.told.append,
            jitter=lambda _longest: 0.0,
        )

    def archive(self, batch: str, count: int = 3, *, day: float = 0) -> ArchiveRecord:
        """Store an archive with its manifest and put it into the outbox."""
        made = stored(self.store, batch, members(*(f"{batch}/{number:06}.bin" for number in range(count))), day=day)
        self.archives.append(made)
        with self.db.write() as connection:
            enqueue(connection, reserved(made))
        return made

    def drain(self, after: timedelta = timedelta(minutes=10)) -> DrainReport:
        """Drain once, so much later by our clock."""
        self.now += after
        return self.sender.drain(self.now)

    def settle(self) -> DrainReport:
        """Drain until nothing is behind. Raises `AssertionError` with why not."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (report := self.drain()).behind.archives:
            assert time.monotonic() < deadline, report
            time.sleep(0.2)
        return report

    def manifested(self) -> Documents:
        """Return the documents that the manifests in the store call for."""
        expected: Documents = {}
        for archive in self.archives:
            manifest = fetch(self.store, archive.manifest)
            for ordinal, member in enumerate(manifest.members()):
                made = documents_of(Entry(member, manifest.record), ordinal)
                expected[made.index, made.id] = json.loads(made.source)
        return expected

    def indexed(self) -> Documents:
        """Return every document that is found through the alias. Raises `AssertionError` where one is there twice."""
        self.cluster.refresh(ALIAS)
        found: Documents = {}
        with self.cluster.held(ALIAS) as pit:
            after: tuple[object, ...] = ()
            while True:
                # A stranger's index in the alias has no such fields, and shall spoil no comparison.
                sort = [{name: {"unmapped_type": kind}} for name, kind in (("archive", "keyword"), ("offset", "long"))]
                body: dict[str, object] = {"size": 5_000, "sort": sort, "track_total_hits": False}
                page = self.cluster.search(ALIAS, body | ({"search_after": after} if after else {}), pit=pit)
                if not page.hits:
                    return found
                for hit in page.hits:
                    assert (hit.index, hit.id) not in found
                    found[hit.index, hit.id] = hit.source
                after = page.hits[-1].sort

    def whole(self) -> bool:
        """Compare everything: nothing missing, nothing doubled, nothing different."""
        return self.manifested() == self.indexed()


@contextmanager
def world(folder: Path, endpoint: str, *, timeout_seconds: float = 20, ca: Path | None = None) -> Iterator[World]:
    """Yield a host with an empty outbox and a store."""
    cluster = OpenSearchCluster(Reach(urls=(endpoint,), timeout_seconds=timeout_seconds, ca=ca))
    with StateDb.open(folder / "journal.db") as db:
        yield World(db, MemoryStore(FakeClock(BEGIN)), folder / "spool", cluster)
    cluster.close()
