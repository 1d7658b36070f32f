"""The only place of `s3sync` that wires parts together: settings in, engines out, each made when it is first asked for."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from s3sync.agent import Agent, Judging
from s3sync.backoff import Backoff
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.locks import hold
from s3sync.dropzone.quarantine import ProvenQuarantines
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.release import ReleaseReport, release
from s3sync.dropzone.rules import TEMPORARY_NAMES
from s3sync.dropzone.slots import Original
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.dropzone.zone import S3SYNC_QUARANTINE, DropZone
from s3sync.errors import Preflight
from s3sync.events import Degraded, Event, Listener, Listeners
from s3sync.guard import Guard
from s3sync.journal import Journal
from s3sync.loop import StopFlag
from s3sync.observe.logs import LogListener
from s3sync.observe.syslog import SyslogListener
from s3sync.output import Output
from s3sync.settings import Settings
from s3sync.statedb import StateDb
from s3sync.store.proof import Proof
from s3sync.store.s3 import S3Store
from s3sync.storing import Storing, Wanted
from s3sync.times import to_ns
from s3sync.transfer import Transfer

JOURNAL = "journal.db"


class App:
    """The program, wired for one set of settings. Use it as a context: what was opened is closed with it."""

    def __init__(self, settings: Settings, output: Output) -> None:
        """Open nothing yet."""
        self.settings = settings
        self.output = output
        self.stop = StopFlag()
        self.degraded: dict[str, str] = {}
        """What protection or reach is missing now, by cause."""
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return datetime.now(UTC)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the state folder and the drop zone. Raises `Locked`, naming who holds them, and `Preflight`."""
        note = self.state_folder / "agent.json"
        with hold(self.state_folder, note=note, host=socket.gethostname()), hold(self.zone.path):
            yield

    @cached_property
    def listener(self) -> Listener:
        """Who is told of events."""
        settings = self.settings
        log = LogListener(settings.log_level)
        if settings.rsyslog_host is None:
            return self._once_degraded(log)
        syslog = SyslogListener(
            settings.rsyslog_host, settings.rsyslog_port, program="s3sync", level=settings.log_level, now=self.now
        )
        return self._once_degraded(Listeners([log, self._open.enter_context(syslog)]))

    @cached_property
    def state_folder(self) -> Path:
        """The state folder, made private where it is missing. Raises `Preflight`."""
        folder = self.settings.state
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Preflight(str(folder), f"cannot be made: {error.strerror}", "Make it, or set S3SYNC_STATE") from error
        return folder

    @cached_property
    def journal(self) -> Journal:
        """The drops in hand, in `journal.db`."""
        return Journal(self._open.enter_context(StateDb.open(self.state_folder / JOURNAL)), self.now)

    @property
    def journal_if_any(self) -> Journal | None:
        """The journal where there is one: who only looks makes none."""
        return self.journal if (self.settings.state / JOURNAL).exists() else None

    @cached_property
    def store(self) -> S3Store:
        """S3, as AWS's own variables say."""
        settings = self.settings
        store = S3Store(
            bucket_owner=settings.bucket_owner,
            part_size=settings.part_size,
            threshold=settings.part_size,
            upload_threads=settings.upload_threads,
            stopping=self.stop,
        )
        self._open.callback(store.close)
        return store

    @cached_property
    def zone(self) -> DropZone:
        """The drop zone, opened. Raises `Preflight` where it is not there."""
        settings = self.settings
        try:
            zone = DropZone.open(settings.folder, quarantine=settings.quarantine, quarantine_name=S3SYNC_QUARANTINE)
        except OSError as error:
            hint = "Make the folder, or set S3SYNC_FOLDER"
            raise Preflight(str(settings.folder), f"cannot be opened as drop zone: {error.strerror}", hint) from error
        return self._open.enter_context(zone)

    @cached_property
    def judging(self) -> Judging:
        """What files are held to."""
        settings = self.settings
        return Judging(
            quiet=QuietClock(settings.quiet_period),
            buckets=None if settings.buckets is None else frozenset(settings.buckets),
            temporary=(*TEMPORARY_NAMES, *settings.ignore),
        )

    def ladder(self) -> Ladder:
        """Return the rules as they stand at this moment, for those who only look; main thread only."""
        ignore_lease_signals()
        self.judging.quiet.begin_pass(wall_ns=to_ns(self.now()), monotonic_ns=time.monotonic_ns())
        return self.judging.ladder(self.journal_if_any)

    def agent(self) -> Agent:
        """Return the agent; whoever runs it holds the locks and is the main thread."""
        ignore_lease_signals()
        buckets, files = Backoff(time.monotonic), Backoff(time.monotonic, forgiven=1)
        guard = Guard(self.journal, buckets, self.listener)
        wanted = Wanted(storage_class=self.settings.storage_class, new_id=self._new_drop_id, stopping=self.stop)
        storing = Storing(self.zone.fd, self.store, self.journal, guard, wanted)
        transfer = Transfer(
            self.zone,
            storing,
            self.journal,
            guard,
            backoff=files,
            releasing=self._release,
            stopping=self.stop,
            listener=self.listener,
        )
        return Agent(
            self.zone,
            self.judging,
            ProvenQuarantines(),
            transfer,
            self.journal,
            backoffs=(buckets, files),
            workers=self.settings.upload_threads,
            stopping=self.stop,
            monotonic_ns=time.monotonic_ns,
            listener=self.listener,
            degraded=self.degraded,
        )

    def _once_degraded(self, listener: Listener) -> Listener:
        """Return `listener`, told only once of each cause that degrades the work; what the causes are is kept here."""

        def told(event: Event) -> None:
            if isinstance(event, Degraded):
                known = event.cause in self.degraded
                self.degraded[event.cause] = event.detail
                if known:
                    return
            listener(event)

        return told

    def _new_drop_id(self) -> str:
        return f"{self.now():%Y%m%dT%H%M%S}-{secrets.token_hex(8)}"

    def _release(self, drop_id: str, original: Original, proof: Proof) -> ReleaseReport:
        return release(
            self.zone,
            drop_id,
            [original],
            proof,
            sleep=time.sleep,
            threads=1,
            prune=self.settings.prune_folders,
            # A removal that a power cut undoes brings back a file whose object is there: it is recognised and removed again.
            flush=lambda _fd: None,
        )
