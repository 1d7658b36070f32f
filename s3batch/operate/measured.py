"""What `s3batch` measures: its metrics, and how a status becomes samples of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from s3batch.operate.status import Status
from s3batch.pack.history import Total
from s3sync.observe import metrics
from s3sync.observe.metrics import Kind, Metric, Sample, by_label, one

ARCHIVES = Metric("archives_total", Kind.COUNTER, "Archives proved, catalogued and their originals let go.", ("bucket",))
ARCHIVE_BYTES = Metric("archive_bytes_total", Kind.COUNTER, "Their sizes.", ("bucket",))
FILES = Metric("archived_files_total", Kind.COUNTER, "Files in them.", ("bucket",))
FILE_BYTES = Metric("archived_bytes_total", Kind.COUNTER, "Sizes of these files.", ("bucket",))
RELEASED = Metric("released_files_total", Kind.COUNTER, "Originals removed after their archive was proved.", ("bucket",))
BATCHES = Metric("batches", Kind.GAUGE, "Batches by state, the finished ones too.", ("state",))
PHASE = Metric(
    "phase_duration_seconds",
    Kind.HISTOGRAM,
    "How long phases took: store (batch closed to archive proved), release (to originals gone), index (to the fleet's index),"
    " thaw (asked to readable).",
    ("phase",),
)
REQUESTS = Metric("requests", Kind.GAUGE, "Restore requests by state, the finished ones too.", ("state",))
THAWS = Metric("thaws", Kind.GAUGE, "Archives that somebody ever wanted something of, by the state of their thaw.", ("state",))
DOLLARS = Metric("restore_dollars_total", Kind.COUNTER, "Spent on thaws by the list prices the program knows.", ("tier",))
DELIVERED = Metric("delivered_bytes_total", Kind.COUNTER, "Bytes of members delivered.", ("bucket",))
SPOOL = Metric("spool_bytes", Kind.GAUGE, "What the spool's files take.")
SPOOL_LIMIT = Metric("spool_limit_bytes", Kind.GAUGE, "What they may take.")
UNRELEASED = Metric("unreleased_files", Kind.GAUGE, "Files archived that could not be removed, by reason.", ("reason",))
BEHIND = Metric("index_behind_archives", Kind.GAUGE, "Archives that the fleet's index has yet to be told of.")
BEHIND_SECONDS = Metric("index_behind_seconds", Kind.GAUGE, "Age of the oldest of them; 0 where there is none.")
SET_ASIDE = Metric("index_refused_documents", Kind.GAUGE, "Documents that the fleet's index refused for good.")

METRICS = (
    *metrics.COMMON,
    ARCHIVES,
    ARCHIVE_BYTES,
    FILES,
    FILE_BYTES,
    RELEASED,
    BATCHES,
    PHASE,
    REQUESTS,
    THAWS,
    DOLLARS,
    DELIVERED,
    SPOOL,
    SPOOL_LIMIT,
    UNRELEASED,
    BEHIND,
    BEHIND_SECONDS,
    SET_ASIDE,
)


def standing(status: Status, totals: Mapping[str, Total], thaws: Mapping[str, int]) -> Iterator[Sample]:
    """Yield what shows without a walk."""
    yield from by_label(ARCHIVES, {bucket: total.archives for bucket, total in totals.items()})
    yield from by_label(ARCHIVE_BYTES, {bucket: total.archive_bytes for bucket, total in totals.items()})
    yield from by_label(FILES, {bucket: total.files for bucket, total in totals.items()})
    yield from by_label(FILE_BYTES, {bucket: total.bytes for bucket, total in totals.items()})
    yield from by_label(BATCHES, status.phases)
    yield from by_label(REQUESTS, status.requests)
    yield from by_label(THAWS, thaws)
    yield from one(SPOOL, status.spool.bytes)
    yield from one(SPOOL_LIMIT, status.spool.limit_bytes)
    yield from by_label(UNRELEASED, status.unreleased)
    buckets = status.buckets.items()
    done = {name: bucket.last_archive.timestamp() for name, bucket in buckets if bucket.last_archive is not None}
    yield from by_label(metrics.LAST_SUCCESS, done)
    if status.index is not None:
        since = status.index.since
        yield from one(BEHIND, status.index.archives)
        yield from one(BEHIND_SECONDS, 0 if since is None else max(0.0, (status.now - since).total_seconds()))
        yield from one(SET_ASIDE, status.index.set_aside)


def walked(status: Status, limit: timedelta) -> Iterator[Sample]:
    """Yield what a walk told; by the settings a finished file waits `limit` at most."""
    if status.backlog is None:
        return
    oldest, buckets = status.oldest_eligible, status.buckets.items()
    yield from by_label(metrics.WAITING_FILES, {name: bucket.files for name, bucket in buckets})
    yield from by_label(metrics.WAITING_BYTES, {name: bucket.bytes for name, bucket in buckets})
    yield from by_label(metrics.REFUSES, {name: bucket.parked for name, bucket in buckets})
    yield from one(metrics.OLDEST, 0 if oldest is None else oldest.total_seconds())
    yield from one(metrics.LIMIT, limit.total_seconds())
    yield from by_label(metrics.HELD, status.backlog.held)
    yield from by_label(metrics.DEGRADED, {each.cause.value: 1 for each in status.degraded})
