"""The only place of `s3sync` that wires parts together: settings in, engines out, each made when it is first asked for."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import cached_property

from s3sync.backoff import Backoff
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import ProvenQuarantines
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.release import ReleaseReport, release_each
from s3sync.dropzone.rules import TEMPORARY_NAMES
from s3sync.dropzone.slots import Original
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.dropzone.zone import S3SYNC_QUARANTINE
from s3sync.output import Output
from s3sync.settings import CommonSettings, Settings
from s3sync.statedb import StateDb
from s3sync.store.proof import Proof
from s3sync.times import to_ns
from s3sync.transfer.agent import Agent, Judging
from s3sync.transfer.carry import Transfer
from s3sync.transfer.guard import Guard
from s3sync.transfer.journal import Journal
from s3sync.transfer.originals import Originals
from s3sync.transfer.outcome import Files
from s3sync.transfer.storing import Storing, Wanted
from s3sync.wiring import Wiring

JOURNAL = "journal.db"


class App(Wiring):
    """The program, wired for one set of settings."""

    PROGRAM = "s3sync"
    QUARANTINE = S3SYNC_QUARANTINE

    def __init__(self, settings: Settings, output: Output) -> None:
        """Open nothing yet."""
        self.settings: Settings = settings
        super().__init__(output)

    def take_over(self, settings: CommonSettings) -> None:
        """See `Wiring.take_over`; the agent is to be asked for anew."""
        super().take_over(settings)
        self.__dict__.pop("judging", None)

    @cached_property
    def journal(self) -> Journal:
        """The drops in hand, in `journal.db`."""
        return Journal(self._open.enter_context(StateDb.open(self.state_folder / JOURNAL)), self.now)

    @property
    def journal_if_any(self) -> Journal | None:
        """The journal where there is one: who only looks makes none."""
        return self.journal if (self.settings.state / JOURNAL).exists() else None

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
        told = Files(files, self.listener)
        transfer = Transfer(
            self.zone,
            Storing(self.store, self.journal, guard, wanted),
            self.journal,
            guard,
            files=told,
            originals=Originals(self.journal, told, self._release),
            stopping=self.stop,
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

    def _new_drop_id(self) -> str:
        return f"{self.now():%Y%m%dT%H%M%S}-{secrets.token_hex(8)}"

    def _release(self, folder: str, proved: Sequence[tuple[Original, Proof]]) -> ReleaseReport:
        return release_each(
            self.zone,
            folder,
            proved,
            sleep=time.sleep,
            prune=self.settings.prune_folders,
            # A removal that a power cut undoes brings back a file whose object is there: it is recognised and removed again.
            flush=lambda _fd: None,
        )
