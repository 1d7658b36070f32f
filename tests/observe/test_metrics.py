"""Counters outlive a restart and stay within bounds, and what is written is what Prometheus wants to read."""

from __future__ import annotations

import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from s3batch.catalogue.drain import ArchiveIndexed
from s3batch.operate import measured
from s3batch.operate.counting import BatchCounting
from s3batch.pack.events import ArchiveReleased, ArchiveReserved, ArchiveStored
from s3batch.restore.events import MemberDelivered, ThawAsked, ThawReady
from s3sync.errors import Transient
from s3sync.events import Degraded, Event, StepFailed
from s3sync.observe import metrics
from s3sync.observe.counts import Counting, Counts
from s3sync.observe.disks import disk_samples
from s3sync.observe.metrics import MOST_SERIES, OTHERS, Sample, by_label
from s3sync.observe.prometheus import exposition, write_textfile
from s3sync.observe.watch import LOOK_SECONDS, WALK_SHARE, Figures, Plan, Watch
from s3sync.statedb import StateDb

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
FAILED = StepFailed(step="store", subject="x", bucket="b", wrong="w", hint="", permanent=True)


def text(*samples: Sample) -> list[str]:
    """Return the lines of figures that `samples` become."""
    found = exposition("s3batch", samples, measured.METRICS).decode()
    return [line for line in found.splitlines() if not line.startswith("#")]


def test_counters_outlive_a_restart(tmp_path: Path) -> None:
    """What one run counted, the next one goes on from; what was not saved is forgotten."""
    with StateDb.open(tmp_path / "watch.db") as db:
        first = Counts(db)
        Counting(first)(FAILED)
        first.took(measured.PHASE, "store", seconds=3)
        first.save()
        Counting(first)(FAILED)
    with StateDb.open(tmp_path / "watch.db") as db:
        second = Counts(db)
        Counting(second)(FAILED)
        second.took(measured.PHASE, "store", seconds=100)

    found = text(*second.samples(metrics.FAILURES, measured.PHASE))
    assert 's3batch_failures_total{bucket="b",kind="permanent",stage="store"} 2.0' in found
    assert 's3batch_phase_duration_seconds_bucket{le="5",phase="store"} 1.0' in found
    assert 's3batch_phase_duration_seconds_bucket{le="300",phase="store"} 2.0' in found
    assert 's3batch_phase_duration_seconds_count{phase="store"} 2.0' in found
    assert 's3batch_phase_duration_seconds_sum{phase="store"} 103.0' in found


def test_strangers_cannot_make_series_without_end() -> None:
    """Whoever makes folders chooses names of buckets; beyond a bound they are counted together."""
    counts = Counts()
    for number in range(MOST_SERIES + 20):
        counts.add(measured.RELEASED, f"bucket-{number}")
    samples = list(counts.samples(measured.RELEASED))
    walked = list(by_label(metrics.WAITING_FILES, {f"bucket-{number}": number for number in range(MOST_SERIES + 20)}))

    assert MOST_SERIES + 1 == len(samples)
    assert [20] == [sample.value for sample in samples if sample.labels == (OTHERS,)]
    assert MOST_SERIES + 1 == len(walked)
    assert sum(range(20)) == walked[-1].value


def test_names_cannot_break_the_page() -> None:
    """A label with quotes, backslashes and line ends is one label."""
    (line,) = text(Sample(metrics.WAITING_FILES, ('a"b\\c\nd',), 1))

    assert r's3batch_waiting_files{bucket="a\"b\\c\nd"} 1.0' == line


def test_what_a_batch_and_a_thaw_leave_behind() -> None:
    """Durations by phase, originals, deliveries, and dollars where S3 said that a thaw was begun."""
    seconds = iter(range(0, 1000, 10))
    counts = Counts()
    counting = BatchCounting(counts, lambda: float(next(seconds)))
    asked = {"bucket": "b", "archive": "a", "bytes": 2**30, "storage_class": "DEEP_ARCHIVE", "tier": "bulk", "days": 3}
    events: list[Event] = [
        ArchiveReserved(batch="1", bucket="b", reason="full", members=3, planned_bytes=9),
        ArchiveStored(batch="1", bucket="b", key="k", size=9),
        ArchiveReleased(batch="1", bucket="b", key="k", size=9, members=3, content_bytes=6, released=2, vanished=1, kept=0),
        ArchiveIndexed(bucket="b", archive="k", batch="1"),
        ThawAsked(**asked, why="ask", answer="begun"),  # type: ignore[arg-type]
        ThawAsked(**asked, why="ask", answer="in_progress"),  # type: ignore[arg-type]
        ThawReady(bucket="b", archive="a", until=None),
        MemberDelivered(request="r", bucket="b", key=b"x", bytes=5, place="p"),
    ]
    for event in events:
        counting(event)

    found = dict(line.rsplit(" ", 1) for line in text(*counts.samples(*measured.METRICS)))
    assert "2.0" == found['s3batch_released_files_total{bucket="b"}']
    assert "5.0" == found['s3batch_delivered_bytes_total{bucket="b"}']
    assert {"store": "10.0", "release": "10.0", "index": "20.0", "thaw": "20.0"} == {
        phase: found[f's3batch_phase_duration_seconds_sum{{phase="{phase}"}}']
        for phase in ("store", "release", "index", "thaw")
    }
    assert 0.0025 < float(found['s3batch_restore_dollars_total{tier="bulk"}']) < 0.01


def test_disks_are_told_once() -> None:
    """Places on one disk are one disk: it fills once."""
    samples = list(disk_samples({"drop_zone": Path("/proc"), "spool": Path("/"), "state": Path("/nowhere/yet")}))

    assert {("drop_zone",), ("spool,state",)} == {sample.labels for sample in samples if sample.metric is metrics.DISK_SIZE}


class Looker:
    """Looks, and remembers how; fails while told to."""

    def __init__(self) -> None:
        self.time = 0.0
        self.walks: list[bool] = []
        self.failing = False
        self.walk_seconds = 0.0

    def __call__(self, *, walk: bool) -> Figures:
        self.walks.append(walk)
        if self.failing:
            raise Transient("journal.db", "is busy")
        self.time += self.walk_seconds if walk else 0
        walked = (Sample(metrics.OLDEST, (), 7),) if walk else ()
        return Figures((Sample(measured.SPOOL, (), len(self.walks)),), walked)


def _watch(looker: Looker, told: list[Event], textfile: Path | None = None) -> Watch:
    plan = Plan(program="s3batch", version="1", metrics=measured.METRICS, walk_every=timedelta(minutes=5), textfile=textfile)
    return Watch(plan, looker, Counts(), now=lambda: NOON, listener=told.append, clock=lambda: looker.time)


def test_walking_never_takes_much_of_the_time() -> None:
    """A large drop zone is walked in proportion; what a walk told stays until the next one."""
    looker = Looker()
    looker.walk_seconds = 60
    watch = _watch(looker, [])
    for _ in range(60):
        watch.look()
        looker.time += LOOK_SECONDS

    assert 60 * WALK_SHARE / LOOK_SECONDS == looker.walks.index(True, 1)
    assert b"s3batch_oldest_waiting_seconds 7.0" in watch.metrics().body
    assert b"s3batch_spool_bytes 60.0" in watch.metrics().body


def test_a_look_that_fails_is_told_once_and_shown() -> None:
    """Old figures stay and are called old; after a quarter of an hour the agent is not healthy."""
    looker, told = Looker(), list[Event]()
    watch = _watch(looker, told)
    watch.look()
    looker.failing = True
    for _ in range(3):
        watch.look()
    assert ["watch_failed"] == [event.name for event in told]
    assert b"s3batch_look_failed 1.0" in watch.metrics().body
    assert b"s3batch_spool_bytes 1.0" in watch.metrics().body
    assert 200 == watch.healthz().status
    looker.time += 1000
    assert 503 == watch.healthz().status
    looker.failing = False
    watch.look()

    assert 200 == watch.healthz().status
    assert b"s3batch_look_failed 0.0" in watch.metrics().body


def test_ready_is_who_is_at_work() -> None:
    """Not before the agent is at its work, and not any more when it leaves."""
    watch = _watch(Looker(), [])
    before = watch.readyz().status
    watch.start()
    during = watch.readyz().status
    watch.ended(0)

    assert (503, 200, 503) == (before, during, watch.readyz().status)


def test_the_textfile_is_whole_or_not_there(tmp_path: Path) -> None:
    """It is replaced at once, for everybody to read, with nothing beside it that node_exporter would read."""
    path = tmp_path / "s3batch.prom"
    write_textfile(path, b"one\n")
    write_textfile(path, b"two\n")

    assert ["s3batch.prom"] == os.listdir(tmp_path)
    assert (b"two\n", 0o644) == (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))


def test_a_textfile_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A folder that is not there stops nobody."""
    told: list[Event] = []
    watch = _watch(Looker(), told, tmp_path / "nowhere" / "s3batch.prom")
    watch.look()
    watch.ended(0)

    assert [("watch_failed", "textfile")] == [(event.name, event.what) for event in told]  # type: ignore[attr-defined]


def test_promtool_finds_nothing_to_complain_of(promtool: Path) -> None:
    """All metrics of both programs, each with every label, are named as Prometheus wants."""
    from s3sync.measures import METRICS as OF_SYNC

    for program, table in (("s3batch", measured.METRICS), ("s3sync", OF_SYNC)):
        counts = Counts()
        samples = []
        for metric in table:
            if metric.kind is metrics.Kind.HISTOGRAM:
                counts.took(metric, *metric.labels, seconds=3)
            else:
                samples.append(Sample(metric, metric.labels, 1))
        page = exposition(program, (*samples, *counts.samples(*table)), table)
        checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)

        assert (0, b"", b"") == (checked.returncode, checked.stdout, checked.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("check", "rules", "s3batch.rules.yml"), ("test", "rules", "s3batch.tests.yml")])
def test_alert_rules(promtool: Path, words: tuple[str, ...]) -> None:
    """The rules are sound, and fire when and as often as they should."""
    alerts = Path(__file__).parents[2] / "deploy" / "alerts"
    checked = subprocess.run([promtool, *words], cwd=alerts, capture_output=True, text=True, check=False)

    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_loud_events_are_counted() -> None:
    """Every warning and error, by name."""
    counts = Counts()
    counting = Counting(counts)
    counting(Degraded(cause="x", detail=""))
    counting(FAILED)

    assert [
        's3batch_loud_events_total{event="degraded",level="warning"} 1.0',
        's3batch_loud_events_total{event="step_failed",level="error"} 1.0',
    ] == text(*counts.samples(metrics.LOUD))
