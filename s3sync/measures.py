"""How `s3sync` is measured while it runs: the same look as `status`, with a quiet clock of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from s3sync.app import App
from s3sync.dropzone.quiet import QuietClock
from s3sync.events import Event
from s3sync.look import Remembered, Waiting, look, recall
from s3sync.observe import metrics
from s3sync.observe.counts import Counting
from s3sync.observe.disks import disk_samples
from s3sync.observe.metrics import Kind, Metric, Sample, by_label, one
from s3sync.observe.troubles import RUN, Route, Urgency
from s3sync.observe.watch import Figures
from s3sync.times import to_ns
from s3sync.transfer.outcome import FileReleased, FileStored
from s3sync.watching import Measures

FILES = Metric("stored_files_total", Kind.COUNTER, "Files of which S3 confirmed the bytes.", ("bucket",))
BYTES = Metric("stored_bytes_total", Kind.COUNTER, "Their sizes.", ("bucket",))
RELEASED = Metric("released_files_total", Kind.COUNTER, "Originals removed after their object was proved.", ("bucket",))
DROPS = Metric(
    "drops", Kind.GAUGE, "Files in hand, by phase; those that need somebody are `unreleased` and `exists`.", ("phase",)
)
PHASE = Metric(
    "phase_duration_seconds", Kind.HISTOGRAM, "How long phases took: release (object proved to original gone).", ("phase",)
)
LAST_PASS = Metric("last_pass_timestamp_seconds", Kind.GAUGE, "When the last pass ended.")
LAST_GOOD_PASS = Metric("last_good_pass_timestamp_seconds", Kind.GAUGE, "When the last pass without an error ended.")

METRICS = (*metrics.COMMON, FILES, BYTES, RELEASED, DROPS, PHASE, LAST_PASS, LAST_GOOD_PASS)

ROUTES = {
    RUN: Route(Urgency.NOW),
    "step_failed": Route(
        Urgency.NOW, over=("file_released",), by="step", eases="!permanent", over_by={"pass": ("pass_ended",)}
    ),
    "bucket_parked": Route(Urgency.NOW, over=("bucket_back",), eases="passing"),
    "degraded": Route(Urgency.NOW, by="cause"),
    "watch_failed": Route(Urgency.DIGEST, by="what"),
    "file_held": Route(Urgency.DIGEST, by="reason"),
}
"""What people are told of at once or when it lasts, by the event's name. Other warnings and errors come with the digest."""

DONE = {"file_stored": "files stored in bucket", "file_released": "originals removed of bucket"}
"""What the day's digest counts."""


def measures(app: App) -> Measures:
    """Return what is measured of `app`."""
    return Measures(
        metrics=METRICS,
        look=_Look(app),
        counting=SyncCounting,
        routes=ROUTES,
        done=DONE,
    )


class SyncCounting(Counting):
    """Counts stored and released files besides what both programs count; a listener."""

    def __call__(self, event: Event) -> None:
        """Count `event`."""
        super().__call__(event)
        match event:
            case FileStored():
                self.counts.add(FILES, event.bucket)
                self.counts.add(BYTES, event.bucket, value=event.size)
                self._watch.begin(event.drop, at=self._clock())
            case FileReleased():
                self.counts.add(RELEASED, event.bucket)
                took = self._watch.end(event.drop, at=self._clock())
                if took is not None:
                    self.counts.took(PHASE, "release", seconds=took)
            case _:
                pass


class _Look:
    def __init__(self, app: App) -> None:
        self._app = app
        self._quiet = QuietClock(app.settings.quiet_period)

    def __call__(self, *, walk: bool) -> Figures:
        app = self._app
        now, remembered = app.now(), recall(app.journal)
        disks = disk_samples({"drop_zone": app.zone.path, "state": app.settings.state})
        standing = (*_standing(remembered), *disks)
        return Figures(standing, tuple(self._walked(now)) if walk else ())

    def _walked(self, now: datetime) -> Iterator[Sample]:
        app, settings = self._app, self._app.settings
        self._quiet.begin_pass(wall_ns=to_ns(now), monotonic_ns=time.monotonic_ns())
        waiting = look(app.zone, replace(app.judging, quiet=self._quiet).ladder(app.journal))
        limit = settings.quiet_period + 3 * settings.scan_interval
        yield from by_label(metrics.WAITING_FILES, waiting.files)
        yield from by_label(metrics.WAITING_BYTES, waiting.bytes)
        yield from by_label(metrics.HELD, waiting.held)
        yield from one(metrics.OLDEST, _age(waiting, now, settings.quiet_period.total_seconds()))
        yield from one(metrics.LIMIT, limit.total_seconds())


def _age(waiting: Waiting, now: datetime, quiet_seconds: float) -> float:
    """Return for how many seconds the oldest finished file has been finished."""
    return 0.0 if waiting.oldest_ns is None else max(0.0, (to_ns(now) - waiting.oldest_ns) / 1e9 - quiet_seconds)


def _standing(remembered: Remembered) -> Iterator[Sample]:
    yield from by_label(DROPS, {phase.value: count for phase, count in remembered.phases.items()})
    yield from by_label(metrics.REFUSES, dict.fromkeys((each.bucket for each in remembered.parked), 1))
    yield from by_label(metrics.DEGRADED, dict.fromkeys(remembered.degraded, 1))
    for metric, done in ((LAST_PASS, remembered.last), (LAST_GOOD_PASS, remembered.success)):
        if done is not None:
            yield from one(metric, done.finished.timestamp())
