"""The only place that wires parts together: settings in, the rooms' engines out, each made when it is first asked for."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC
from functools import cached_property, partial
from sqlite3 import Connection

from s3batch import __version__
from s3batch.catalogue.board import Board
from s3batch.catalogue.documents import month_of
from s3batch.catalogue.drain import Drain
from s3batch.catalogue.fleet import FleetIndex
from s3batch.catalogue.fleet_catalogue import FleetCatalogue
from s3batch.catalogue.manifest_source import ManifestSource
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.outbox import Outbox, enqueue
from s3batch.catalogue.reach import reach_of
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.legacy.former import Former
from s3batch.model import Reservation
from s3batch.operate.attention import needs_a_person
from s3batch.operate.pinning import Pinning, Sources
from s3batch.operate.records import Records
from s3batch.operate.status import Question, status
from s3batch.pack.accepted import AcceptedFiles
from s3batch.pack.agent import Clocks, PackAgent
from s3batch.pack.history import History
from s3batch.pack.journal import PackJournal
from s3batch.pack.names import Names
from s3batch.pack.planner import Limits
from s3batch.pack.spool import Spool
from s3batch.pack.steps import Steps
from s3batch.pack.transfers import TransferLogs
from s3batch.pack.unreleased import UnreleasedFiles
from s3batch.pack.workers import Workers
from s3batch.pack.yard import Yard
from s3batch.restore.engine import RestoreEngine, Setup
from s3batch.restore.summary import latest_requests
from s3batch.restore.thaw import Pace
from s3batch.settings import Settings
from s3sync.backoff import Backoff
from s3sync.dropzone.locks import hold
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.release import ReleaseReport, release
from s3sync.dropzone.rules import TEMPORARY_NAMES, Standards
from s3sync.dropzone.slots import Original
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.dropzone.zone import S3BATCH_QUARANTINE
from s3sync.errors import Transient
from s3sync.output import Output
from s3sync.own_folders import made, refuse_unless_private
from s3sync.settings import CommonSettings
from s3sync.statedb import StateDb
from s3sync.store.aws import signing
from s3sync.store.proof import Proof
from s3sync.wiring import Wiring

SPOOL_HEADROOM_BYTES = 1 << 20
"""What the lists of an archive that fills the spool alone may take."""


class App(Wiring):
    """The program, wired for one set of settings."""

    PROGRAM = "s3batch"
    QUARANTINE = S3BATCH_QUARANTINE

    def __init__(self, settings: Settings, output: Output) -> None:
        """Open nothing yet."""
        self.settings: Settings = settings
        super().__init__(output)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the spool besides: another agent's start would sweep away what we build. Raises as `Wiring.locked`."""
        with super().locked(), hold(self.spool.root):
            yield

    def take_over(self, settings: CommonSettings) -> None:
        """See `Wiring.take_over`; the packing agent is to be asked for anew."""
        super().take_over(settings)
        self.spool.limit_bytes = self.settings.spool_limit
        for made_of_settings in ("quiet", "names", "workers"):
            self.__dict__.pop(made_of_settings, None)

    @cached_property
    def journal_db(self) -> StateDb:
        """journal.db, opened."""
        return self._open.enter_context(StateDb.open(self.state_folder / "journal.db"))

    @cached_property
    def catalogue(self) -> SqliteCatalogue:
        """catalogue.db, opened."""
        catalogue = SqliteCatalogue.open(self.state_folder / "catalogue.db")
        self._open.callback(catalogue.close)
        return catalogue

    @cached_property
    def journal(self) -> PackJournal:
        """The batches."""
        return PackJournal(self.journal_db, now=self.now)

    @cached_property
    def history(self) -> History:
        """What became of batches."""
        _ = self.journal  # brings the tables up to date
        return History(self.journal_db)

    @cached_property
    def unreleased(self) -> UnreleasedFiles:
        """The originals that could not be removed."""
        return UnreleasedFiles(self.journal_db, now=self.now)

    @cached_property
    def accepted(self) -> AcceptedFiles:
        """The files somebody vouched for."""
        return AcceptedFiles(self.journal_db, now=self.now)

    @cached_property
    def transfers(self) -> TransferLogs | None:
        """What the upload servers say of broken-off uploads; None where nobody named their logs."""
        logs, here = self.settings.transfer_logs, self.now().astimezone().tzinfo or UTC
        if not logs:
            return None
        return TransferLogs(self.journal_db, logs, self.accepted, now=self.now, zones=(UTC, here), listener=self.listener)

    @cached_property
    def spool(self) -> Spool:
        """The spool. Raises `Preflight` where it cannot be made."""
        return Spool(made(self.settings.spool, "S3BATCH_SPOOL"), self.settings.spool_limit)

    @cached_property
    def quiet(self) -> QuietClock:
        """The clock files are judged quiet by."""
        return QuietClock(self.settings.quiet_period)

    @property
    def standards(self) -> Standards:
        """What files are held to, without what changes from pass to pass."""
        settings = self.settings
        return Standards(
            quiet=self.quiet,
            buckets=None if settings.buckets is None else frozenset(settings.buckets),
            temporary=(*TEMPORARY_NAMES, *settings.ignore),
            max_size=settings.spool_limit - SPOOL_HEADROOM_BYTES,
            partial=self._broken_off(),
        )

    def _broken_off(self) -> TransferLogs | None:
        """Return what is known of broken-off uploads by now; nothing where no agent has run yet, and nothing is made."""
        if not os.path.exists(self.settings.state / "journal.db") or self.transfers is None:
            return None
        self.transfers.look()
        return self.transfers

    @property
    def limits(self) -> Limits:
        """When batches are closed."""
        settings = self.settings
        return Limits(
            max_bytes=settings.max_batch_size,
            max_members=settings.max_batch_members,
            max_age_ns=round(settings.max_batch_age.total_seconds() * 1e9),
            quiet_ns=round(settings.quiet_period.total_seconds() * 1e9),
            within=settings.pack_within,
        )

    @cached_property
    def names(self) -> Names:
        """What reservations are made of."""
        return Names(
            storage_class=self.settings.storage_class,
            manifest_bucket=self.settings.manifest_bucket,
            host=self.host,
            tool=f"s3batch {__version__}",
            new_suffix=lambda: secrets.token_hex(6),
        )

    def pack_agent(self) -> PackAgent:
        """Return the packing agent; whoever runs it holds the locks and is the main thread."""
        ignore_lease_signals()
        refuse_unless_private(self.spool.root, "S3BATCH_SPOOL")
        yard = Yard(
            steps=self._steps(),
            names=self.names,
            root=os.fspath(self.zone.path),
            max_bytes=self.settings.max_batch_size,
            parked=Backoff(time.monotonic),
            listener=self.listener,
            stopping=self.stop,
            asked=self.stop.asked,
            threads=partial(ThreadPoolExecutor, thread_name_prefix="carrier"),
        )
        return PackAgent(
            zone=self.zone,
            yard=yard,
            builders=lambda: self.workers,
            standards=self.standards,
            limits=self.limits,
            unreleased=self.unreleased,
            clocks=Clocks(time.time_ns, time.monotonic_ns),
            transfers=self.transfers,
        )

    @cached_property
    def workers(self) -> Workers:
        """Processes that build and remove."""
        return Workers(self.settings.build_workers, self.settings.release_workers)

    @cached_property
    def restore_engine(self) -> RestoreEngine:
        """The restore engine of a command: it advances requests only where no agent does."""
        return self._restore_engine(keep_lock=False)

    def agents_restore_engine(self) -> RestoreEngine:
        """Return the restore engine of the agent, which keeps commands from advancing by themselves."""
        return self._restore_engine(keep_lock=True)

    def _restore_engine(self, *, keep_lock: bool) -> RestoreEngine:
        poll = self.settings.thaw_poll
        setup = Setup(
            state_folder=self.state_folder,
            spool=self.spool.root,
            restore_dir=self.settings.restore_dir,
            pace=Pace() if poll is None else Pace(interval=poll, first=poll),
            keep_lock=keep_lock,
        )
        engine = RestoreEngine(self.journal_db, self.store, self.now, setup, listener=self.listener, stopping=self.stop)
        return self._open.enter_context(engine)

    @cached_property
    def cluster(self) -> OpenSearchCluster | None:
        """The cluster of the fleet's index; None where none is configured. Nothing is asked yet."""
        reach = reach_of(self.settings, signing)
        if reach is None:
            return None
        cluster = OpenSearchCluster(reach)
        self._open.callback(cluster.close)
        return cluster

    @cached_property
    def fleet(self) -> FleetCatalogue | None:
        """The fleet's index to look things up in; None where none is configured. Nothing is asked yet."""
        return None if self.cluster is None else FleetCatalogue(self.cluster, self.listener)

    @cached_property
    def former(self) -> Former | None:
        """What the original program's index knows; None where no OpenSearch is configured. Nothing is asked yet."""
        return None if self.cluster is None else Former(self.cluster, self.listener)

    @cached_property
    def outbox(self) -> Outbox | None:
        """What the fleet's index has yet to be told; None where no index is configured."""
        return None if self.settings.opensearch_url is None else Outbox(self.journal_db)

    def drain(self) -> Drain | None:
        """Return what sends it; None where no index is configured."""
        return None if self.cluster is None else self.drain_into(self.cluster)

    def drain_into(self, cluster: OpenSearchCluster) -> Drain:
        """Return what sends the outbox to `cluster`."""
        return Drain(
            Outbox(self.journal_db),
            ManifestSource(self.store, self.settings.spool),
            FleetIndex(cluster),
            archives_of=lambda index: self.journal.catalogued_in(month_of(index)),
            listener=self.listener,
            stopping=self.stop,
        )

    def pinning(self) -> Pinning | None:
        """Return what keeps this host's cards on the board; None where no index is configured."""
        return None if self.cluster is None else self.pinning_to(self.cluster)

    def pinning_to(self, cluster: OpenSearchCluster) -> Pinning:
        """Return what keeps this host's cards on the board in `cluster`."""
        sources = Sources(
            requests=lambda: latest_requests(self.journal_db),
            attention=self.attention,
            behind=Outbox(self.journal_db).behind,
        )
        return Pinning(Board(cluster), sources, self.host, self.listener)

    def attention(self) -> list[str]:
        """Return what needs a person, as far as that shows without a walk through the drop zone."""
        question = Question(
            standards=self.standards,
            limits=self.limits,
            state=self.settings.state,
            spool_limit=self.settings.spool_limit,
            scan_interval=self.settings.scan_interval,
            now=self.now(),
            walk=False,
        )
        records = Records(
            spool=self.settings.spool,
            db=self.journal_db,
            journal=self.journal,
            unreleased=self.unreleased,
            outbox=Outbox(self.journal_db),
        )
        return needs_a_person(status(self.zone, records, question))

    def _steps(self) -> Steps:
        return Steps(
            store=self.store,
            journal=self.journal,
            spool=self.spool,
            catalogue=self.catalogue,
            enqueue=_never if self.outbox is None else enqueue,
            releaser=self._release,
            unreleased=self.unreleased,
        )

    def _release(self, batch: str, originals: Iterable[Original], proof: Proof) -> ReleaseReport:
        try:
            return release(
                self.zone,
                batch,
                originals,
                proof,
                sleep=time.sleep,
                removers=self.workers,
                prune=self.settings.prune_folders,
            )
        except BrokenExecutor as error:
            wrong = "a process that removes originals ended early"
            raise Transient(f"batch {batch}", wrong, "Leave it; the next pass goes on with it") from error
        except OSError as error:
            wrong = f"has originals that cannot be removed now: {error.strerror}"
            raise Transient(f"batch {batch}", wrong, "Look at the drop zone's disk; the next pass goes on with it") from error


def _never(_connection: Connection, _reservation: Reservation) -> None:
    """Put nothing into the outbox: there is no index to be told."""
