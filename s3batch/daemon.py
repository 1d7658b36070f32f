"""The agent: which duties this host has, once or for as long as nobody asks to stop.

Packing runs in the main thread, a pass at a time: woken by file events, with the periodic scan as the truth. Restores and the
index advance in threads of their own, so that a long upload delays neither. A duty that fails in a way we did not foresee ends
the agent: whoever started it starts it again, and starting is resuming.

One agent a state folder, drop zone and spool: all are locked for as long as it lives. It is ready when these locks are held,
journal, spool and quarantine agree, and nothing of the host's stands in the way. S3 and OpenSearch are not asked before: where
they are away, it runs and tries again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from s3batch.app import App
from s3batch.catalogue.drain import Drain
from s3batch.operate.pinning import Pinning
from s3batch.pack.tally import Tally
from s3batch.restore.engine import RestoreEngine
from s3batch.settings import Duty
from s3batch.standing import Report
from s3sync.dropzone.watch import Watcher
from s3sync.errors import Exit, gravest
from s3sync.loop import Loop
from s3sync.reload import Reloading
from s3sync.settings import CommonSettings

RESTORE_INTERVAL = timedelta(seconds=20)
"""How often requests filed meanwhile are noticed; thaws are looked at by their own pace."""

INDEX_INTERVAL = timedelta(seconds=10)
"""How often the outbox is looked at."""


@dataclass(frozen=True, slots=True)
class Idle:
    """The result of a pass that knows nothing of the next one."""

    again_seconds: float | None = None


def run_once(app: App) -> tuple[Tally, Exit]:
    """Do one pass of every duty this host has; batches that are not full are closed. Raises `Locked`, `Preflight`."""
    duties = app.settings.duties
    tally, codes = Tally(), []
    with app.stop.on_signals(_leave), app.locked():
        if Duty.PACK in duties:
            agent = app.pack_agent()
            agent.start()
            tally = agent.run_pass(close_all=True)
            codes.append(Exit.INTERRUPTED if tally.interrupted else tally.exit)
        drain = app.drain() if Duty.INDEX in duties else None
        if drain is not None and not app.stop():
            behind = drain.drain(app.now()).behind.archives
            codes.append(Exit.INDEX_BEHIND if behind else Exit.DONE)
        if Duty.RESTORE in duties and not app.stop():
            app.agents_restore_engine().advance()
        pinning = app.pinning() if Duty.INDEX in duties else None
        if pinning is not None and not app.stop():
            pinning.keep(app.now())
    return tally, gravest(codes)


def run(app: App, read_again: Callable[[], CommonSettings]) -> Exit:
    """Do every duty until asked to stop; `read_again` returns the settings as they are now.

    Raises `Locked`, `Preflight`, and what ended a duty.
    """
    duties = app.settings.duties
    with app.stop.on_signals(_leave), app.locked(), app.supervision.duty("main"), ExitStack() as stack:
        report = Report(app)
        app.others.append(report)
        side = _SideDuties(app)
        stack.callback(side.join)
        stack.callback(app.stop.set)
        if Duty.RESTORE in duties:
            engine = app.agents_restore_engine()
            side.begin("restore", RESTORE_INTERVAL, lambda: _advance(app, engine))
        drain, pinning = (app.drain(), app.pinning()) if Duty.INDEX in duties else (None, None)
        if drain is not None and pinning is not None:
            side.begin("index", INDEX_INTERVAL, lambda: _drain(app, drain, pinning, report))
        packing = _Packing(app, report) if Duty.PACK in duties else None
        reloading = stack.enter_context(app.reloading(read_again))
        report.ready()
        app.supervision.service.ready()
        app.is_at_work()
        if packing is not None:
            packing.run(reloading)
        else:
            app.stop.wait(float("inf"))
        app.stop.set()
        side.join()
        side.raise_what_ended_them()
    return Exit.DONE


class _Packing:
    """Packs, a pass at a time, each with the settings as they were read last."""

    def __init__(self, app: App, report: Report) -> None:
        """Bring spool and quarantine into line with the journal."""
        self._app = app
        self._report = report
        self._agent = app.pack_agent()
        self._agent.start()

    def run(self, reloading: Reloading[CommonSettings]) -> None:
        app, wake = self._app, threading.Event()
        with Watcher(app.zone.path, wake, app.listener):
            run_pass = lambda: self._pass(reloading)  # noqa: E731 - a name for what the loop repeats
            Loop(run_pass, app.settings.scan_interval, wake, app.stop, listener=app.listener).run()

    def _pass(self, reloading: Reloading[CommonSettings]) -> Tally:
        fresh = reloading.take()
        if fresh is not None:
            self._app.take_over(fresh)
            self._agent = self._app.pack_agent()
        self._report.begins(restart_for=reloading.waiting)
        tally = self._agent.run_pass(close_all=False)
        self._report.rests(tally)
        return tally


def _advance(app: App, engine: RestoreEngine) -> Idle:
    due = engine.advance().next_due
    return Idle(None if due is None else max(0.0, (due - app.now()).total_seconds()))


def _drain(app: App, drain: Drain, pinning: Pinning, report: Report) -> Idle:
    failure = drain.drain(app.now()).failure
    report.index(failure)
    if failure is None:  # where the index is away, so is the board
        pinning.keep(app.now())
    return Idle()


class _SideDuties:
    """Duties in threads of their own; one that ends by an error asks everybody to stop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def begin(self, name: str, interval: timedelta, run_pass: Callable[[], Idle]) -> None:
        thread = threading.Thread(target=self._run, args=(interval, run_pass), name=name)
        self._threads.append(thread)
        thread.start()

    def _run(self, interval: timedelta, run_pass: Callable[[], Idle]) -> None:
        try:
            with self._app.supervision.duty(threading.current_thread().name):
                Loop(run_pass, interval, threading.Event(), self._app.stop, listener=self._app.listener).run()
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self._errors.append(error)
            self._app.stop.set()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def raise_what_ended_them(self) -> None:
        if self._errors:
            raise self._errors[0]


def _leave() -> None:
    """Leave without waiting for anybody: as safe as a power cut."""
    os._exit(Exit.INTERRUPTED)
