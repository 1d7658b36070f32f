"""How `s3batch` is measured while it runs: the same look as `status`, with a quiet clock of its own.

It looks from a thread beside the agent, so it shares with it only what may be asked from any thread.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

from s3batch.app import App
from s3batch.catalogue.outbox import Outbox
from s3batch.operate.counting import BatchCounting
from s3batch.operate.measured import METRICS, standing, walked
from s3batch.operate.records import Records
from s3batch.operate.status import Question, status
from s3batch.operate.told import DONE, ROUTES
from s3batch.pack.history import History
from s3batch.restore.summary import thaws_by_state
from s3sync.dropzone.quiet import QuietClock
from s3sync.observe.disks import disk_samples
from s3sync.observe.watch import Figures
from s3sync.times import to_ns
from s3sync.watching import Measures


def measures(app: App) -> Measures:
    """Return what is measured of `app`."""
    return Measures(
        metrics=METRICS,
        look=_Look(app),
        counting=BatchCounting,
        routes=ROUTES,
        done=DONE,
    )


class _Look:
    def __init__(self, app: App) -> None:
        self._app = app
        self._quiet = QuietClock(app.settings.quiet_period)

    def __call__(self, *, walk: bool) -> Figures:
        app, settings = self._app, self._app.settings
        self._quiet.begin_pass(wall_ns=to_ns(app.now()), monotonic_ns=time.monotonic_ns())
        found = status(app.zone, self._records(), self._question(walk=walk))
        disks = disk_samples({"drop_zone": app.zone.path, "spool": settings.spool, "state": settings.state})
        totals, thaws = History(app.journal_db).totals(), thaws_by_state(app.journal_db)
        return Figures((*standing(found, totals, thaws), *disks), tuple(walked(found, self._limit())))

    def _limit(self) -> timedelta:
        """Return how long a finished file waits at most, as `status` has it before it calls that overdue."""
        return self._app.settings.max_batch_age + 3 * self._app.settings.scan_interval

    def _records(self) -> Records:
        app = self._app
        return Records(
            spool=app.settings.spool,
            db=app.journal_db,
            journal=app.journal,
            unreleased=app.unreleased,
            outbox=None if app.settings.opensearch_url is None else Outbox(app.journal_db),
        )

    def _question(self, *, walk: bool) -> Question:
        app, settings = self._app, self._app.settings
        return Question(
            standards=replace(app.standards, quiet=self._quiet),
            limits=app.limits,
            state=settings.state,
            spool_limit=settings.spool_limit,
            scan_interval=settings.scan_interval,
            now=app.now(),
            walk=walk,
        )
