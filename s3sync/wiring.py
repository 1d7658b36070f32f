"""What both programs are wired with: who is told, the state folder, S3, the drop zone, and the locks on them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from s3sync.dropzone.locks import hold
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Preflight
from s3sync.events import Degraded, Event, Listener, Listeners
from s3sync.loop import StopFlag
from s3sync.observe.journald import leads_to_journald
from s3sync.observe.lines import LogFormat, SyslogProtocol
from s3sync.observe.logs import LogListener
from s3sync.observe.service import Manager
from s3sync.observe.supervised import Supervision
from s3sync.observe.syslog import SyslogListener
from s3sync.observe.wires import wire_to
from s3sync.output import Output
from s3sync.own_folders import made, refuse_over_the_network, refuse_unless_ours
from s3sync.reload import Reloading, on_hangup
from s3sync.settings import CommonSettings
from s3sync.store.s3 import S3Store


class Wiring:
    """The parts for one set of settings, each made when it is first asked for. A context: what was opened is closed with it."""

    PROGRAM: ClassVar[str]
    QUARANTINE: ClassVar[bytes]
    """The name of the quarantine where the settings give none."""

    settings: CommonSettings

    def __init__(self, output: Output) -> None:
        """Open nothing yet; a subclass has set `settings`."""
        self.output = output
        self.stop = StopFlag()
        self.degraded: dict[str, str] = {}
        """What protection or reach is missing now, by cause."""
        self._sinks: list[LogListener | SyslogListener] = []
        self.others: list[Listener] = []
        """Who is told of events besides the log."""
        self.at_work: list[Callable[[], object]] = []
        """What is done when the agent is at its work: locks held, and what an earlier one left taken up."""
        self.supervision = Supervision(Manager.taken_from(os.environ, os.getpid()), self.stop)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Sleep, or less if asked to stop."""
        self.stop.wait(seconds)

    @property
    def host(self) -> str:
        """The name of this host."""
        return socket.gethostname()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the state folder, the drop zone and a quarantine of one's own choosing.

        Raises `Locked`, naming who holds them, and `Preflight`.
        """
        variable = self.settings.variable("state")
        refuse_unless_ours(self.state_folder, variable)
        refuse_over_the_network(self.state_folder, variable)
        note = self.state_folder / "agent.json"
        with hold(self.state_folder, note=note, host=self.host), hold(self.zone.path), self._own_quarantine():
            yield

    @contextmanager
    def _own_quarantine(self) -> Iterator[None]:
        """Hold the quarantine that the settings name: another agent's start would give our files back into its drop zone.

        One that we may not use is told of bucket by bucket, and is nobody's reason not to start.
        """
        chosen = self.settings.quarantine
        if chosen is None:
            yield
            return
        with suppress(OSError):
            chosen.mkdir(0o700)
        if not os.access(chosen, os.R_OK | os.X_OK):
            yield
            return
        with hold(chosen):
            yield

    @cached_property
    def listener(self) -> Listener:
        """Who is told of events."""
        settings = self.settings
        log = LogListener(
            settings.log_level,
            log_format=settings.log_format,
            program=self.PROGRAM,
            journald=leads_to_journald(sys.stderr, os.environ.get("JOURNAL_STREAM")),
        )
        self._sinks.append(log)
        if settings.rsyslog_host is None:
            return self._once_degraded(log)
        return self._once_degraded(Listeners([log, self._syslog(settings.rsyslog_host, log)]))

    def _syslog(self, host: str, log: Listener) -> SyslogListener:
        """Return who sends the copy of the log. Raises `Preflight` where the authority's certificates cannot be read."""
        settings = self.settings
        try:
            wire = wire_to(host, settings.rsyslog_port, settings.rsyslog_protocol, settings.rsyslog_ca)
        except OSError as error:
            name = settings.variable("rsyslog_ca")
            raise Preflight(f"{name} ({settings.rsyslog_ca})", f"cannot be read: {error}", "Name a file in PEM") from error
        syslog = SyslogListener(
            wire,
            program=self.PROGRAM,
            level=settings.log_level,
            now=self.now,
            original=settings.log_format is LogFormat.ORIGINAL,
            keeps=settings.rsyslog_protocol is not SyslogProtocol.UDP,
            listener=log,
        )
        self._sinks.append(syslog)
        return self._open.enter_context(syslog)

    @cached_property
    def state_folder(self) -> Path:
        """The state folder, made private where it is missing. Raises `Preflight`."""
        return made(self.settings.state, self.settings.variable("state"))

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
            zone = DropZone.open(settings.folder, quarantine=settings.quarantine, quarantine_name=self.QUARANTINE)
        except OSError as error:
            hint = f"Make the folder, or set {settings.variable('folder')}"
            raise Preflight(str(settings.folder), f"cannot be opened as drop zone: {error.strerror}", hint) from error
        return self._open.enter_context(zone)

    def take_over(self, settings: CommonSettings) -> None:
        """Go on with `settings`, which differ only in what may change while the agent runs; between two passes."""
        self.settings = settings

    @contextmanager
    def reloading(self, read: Callable[[], CommonSettings]) -> Iterator[Reloading[CommonSettings]]:
        """Read the settings again at each SIGHUP, while the context lasts, and say so to the manager; main thread only.

        A terminal that is closed sends SIGHUP too: who runs in one is ended by it, as everything else that was started there.
        """
        reloading = Reloading(self.settings, read, self.listener)
        service = self.supervision.service

        def reload() -> None:
            service.reloading()
            settings = reloading()
            if settings is not None:
                for sink in self._sinks:
                    sink.level = settings.log_level
            service.ready()

        with nullcontext() if os.isatty(0) else on_hangup(reload):
            yield reloading

    def is_at_work(self) -> None:
        """Tell those who wait for it."""
        for each in self.at_work:
            each()

    def _once_degraded(self, listener: Listener) -> Listener:
        """Return `listener`, told only once of each cause that degrades the work; what the causes are is kept here."""

        def told(event: Event) -> None:
            if isinstance(event, Degraded):
                known = event.cause in self.degraded
                self.degraded[event.cause] = event.detail
                if known:
                    return
            listener(event)
            for other in self.others:
                other(event)

        return told
