"""A small world for restores: a clock, cold storage, archives laid out like tars, a journal, and engines that come and go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from s3batch.catalogue.contract import Entry
from s3batch.model import ArchiveRecord, Member
from s3batch.restore.destination import Destination, Folder
from s3batch.restore.engine import RestoreEngine, Setup
from s3batch.restore.filing import Order
from s3batch.restore.requests import Request, Requester, State
from s3batch.restore.thaw import Pace
from s3sync.events import Event
from s3sync.statedb import StateDb
from s3sync.store.checksum import crc64nvme_base64
from s3sync.store.contract import ObjectRef, ObjectStore, StorageClass, Tier
from s3sync.store.proof import BATCH_MARK
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore

ME = 1000
BLOCK = 512
MTIME_NS = 1_700_000_000_123_456_789


def tar_like(members: Mapping[bytes, bytes]) -> tuple[bytes, list[Member]]:
    """Return bytes with a header's room before each member and padding after it, and where the members lie."""
    data = b""
    found = []
    for key, content in members.items():
        data += b"H" * BLOCK
        digest = hashlib.sha256(content).hexdigest()
        found.append(
            Member(
                key=key,
                offset=len(data),
                size=len(content),
                sha256=digest,
                mtime_ns=MTIME_NS,
                mode=0o4755,
                uid=1,
                gid=1,
                user="ann",
                group="staff",
            )
        )
        data += content + b"\0" * (-len(content) % BLOCK)
    return data + b"\0" * 2 * BLOCK, found


@dataclass(slots=True)
class House:
    """Everything one test needs; `engine` may be closed and made anew at any time, as a restart does."""

    root: Path
    clock: FakeClock = field(default_factory=FakeClock)
    events: list[Event] = field(default_factory=list)
    engines: list[RestoreEngine] = field(default_factory=list)
    store: MemoryStore = field(init=False)
    db: StateDb = field(init=False)
    asked: int = 0

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock, buckets=("invoices", "back"))
        self.db = StateDb.open(self.root / "journal.db")

    def close(self) -> None:
        for engine in self.engines:
            engine.close()
        self.db.close()

    def archive(
        self,
        members: Mapping[bytes, bytes],
        *,
        batch: str = "20260301T000000-aaaa",
        bucket: str = "invoices",
        storage_class: StorageClass = StorageClass.DEEP_ARCHIVE,
    ) -> list[Entry]:
        """Put an archive into the store and return its members as the catalogue would."""
        data, found = tar_like(members)
        info = self.store.seed(
            ObjectRef(bucket, f"{batch}.tar"), data, storage_class=storage_class, metadata={BATCH_MARK: batch}
        )
        record = ArchiveRecord(
            ref=info.ref,
            size=info.size,
            crc64nvme=crc64nvme_base64(data),
            storage_class=storage_class,
            batch=batch,
            created=self.clock.now() - timedelta(days=9),
            host="drop1",
            tool="s3batch 0.1.0",
            manifest=ObjectRef(bucket, f"s3-batch/manifests/{batch}.json.gz"),
            members=len(found),
        )
        return [Entry(member, record) for member in found]

    def engine(
        self,
        *,
        store: ObjectStore | None = None,
        restore_dir: Path | None = None,
        pace: Pace | None = None,
        keep_lock: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> RestoreEngine:
        """Return a new engine on the same journal."""
        setup = Setup(
            state_folder=self.root,
            spool=self.root / "spool",
            restore_dir=restore_dir,
            pace=pace or Pace(),
            umask=0o022,
            keep_lock=keep_lock,
        )
        engine = RestoreEngine(
            self.db, store or self.store, self.clock.now, setup, listener=self.events.append, stopping=stopping
        )
        self.engines.append(engine)
        return engine

    def order(
        self,
        destination: Destination | None = None,
        *,
        tier: Tier = Tier.BULK,
        days: int = 3,
        overwrite: bool = False,
        versions: bool = False,
        uid: int = ME,
    ) -> Order:
        return Order(
            destination=destination or self.folder,
            tier=tier,
            days=days,
            requester=Requester("ann", uid),
            overwrite=overwrite,
            versions=versions,
        )

    @property
    def folder(self) -> Folder:
        return Folder(str(self.root.resolve() / "out").encode())

    def ask(self, engine: RestoreEngine, entries: list[Entry], order: Order | None = None) -> Request:
        """File a request under the next id."""
        self.asked += 1
        return engine.request(f"r{self.asked}", entries, order or self.order())

    def work(self, engine: RestoreEngine, request: Request, *, hours: int = 0) -> Request:
        """Let `hours` pass, do one round as the requester, and return how the request is then."""
        self.clock.advance(timedelta(hours=hours))
        engine.attend(request.id)
        engine.advance()
        engine.deliver_local(request.id, ME)
        return engine.requests.get(request.id)

    def states(self, engine: RestoreEngine, request: Request) -> dict[bytes, State]:
        return {part.key: part.state for part in engine.requests.parts(request.id)}

    def errors(self, engine: RestoreEngine, request: Request) -> dict[bytes, str]:
        return {part.key: part.error for part in engine.requests.parts(request.id) if part.error is not None}

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]
