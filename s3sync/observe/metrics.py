"""What is measured: the metrics both programs have, and what a measurement is. Pure.

A counter lives as long as the state folder (see `counts`), so that a one-shot that runs every hour counts like an agent that
never ends. Labels whose values strangers choose (buckets) are bounded: what is beyond `MOST_SERIES` is counted together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

MOST_SERIES = 500
"""How many sets of labels one metric may have."""
OTHERS = "(others)"
"""The label of what is beyond."""


class Kind(StrEnum):
    """How a metric is to be read."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; the program's name and `_` stand before its own name."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of a metric; of a histogram one bucket (`le` is its last label), or `_sum`."""

    metric: Metric
    labels: tuple[str, ...]
    value: float
    suffix: str = ""


PHASE_BOUNDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 172800.0)
"""Upper bounds in seconds for how long a phase took: from a small file's upload to a thaw in bulk."""

BUILD = Metric("build_info", Kind.GAUGE, "The program's version; always 1.", ("version",))
READY = Metric("ready", Kind.GAUGE, "1 while the agent is at its work: locks held, what an earlier one left taken up.")
LOOKED = Metric("looked_timestamp_seconds", Kind.GAUGE, "When these figures were looked up last.")
LOOK_FAILED = Metric("look_failed", Kind.GAUGE, "1 where the last look for these figures failed; they are then older.")
WAITING_FILES = Metric("waiting_files", Kind.GAUGE, "Finished files that wait in the drop zone.", ("bucket",))
WAITING_BYTES = Metric("waiting_bytes", Kind.GAUGE, "Their sizes.", ("bucket",))
OLDEST = Metric("oldest_waiting_seconds", Kind.GAUGE, "How long the oldest finished file has waited; 0 where none waits.")
LIMIT = Metric(
    "waiting_limit_seconds", Kind.GAUGE, "How long a finished file waits at most, by the settings, while all is well."
)
WALKED = Metric("walked_timestamp_seconds", Kind.GAUGE, "When the drop zone was last walked for what waits and what is held.")
HELD = Metric(
    "held_files", Kind.GAUGE, "Files that a rule leaves alone, by its reason; a folder not entered counts once.", ("reason",)
)
REFUSES = Metric("bucket_refuses", Kind.GAUGE, "1 where a bucket is left alone for a while because it refused.", ("bucket",))
DEGRADED = Metric("degraded", Kind.GAUGE, "1 for each protection or reach that is missing.", ("cause",))
DISK_FREE = Metric("disk_free_bytes", Kind.GAUGE, "Room for the agent on a disk it works on.", ("place",))
DISK_SIZE = Metric("disk_size_bytes", Kind.GAUGE, "Size of that disk.", ("place",))
INODES_FREE = Metric(
    "disk_free_inodes", Kind.GAUGE, "Free inodes on it; none are told of a filesystem that has none.", ("place",)
)
LAST_SUCCESS = Metric("last_success_timestamp_seconds", Kind.GAUGE, "When a bucket's last work went all the way.", ("bucket",))
FAILURES = Metric(
    "failures_total",
    Kind.COUNTER,
    "Failed steps, by step (stage), kind (transient: tried again by itself; permanent: set aside) and bucket.",
    ("stage", "kind", "bucket"),
)
LOUD = Metric("loud_events_total", Kind.COUNTER, "Events of level warning and error, by name.", ("event", "level"))
LAST_RUN = Metric("last_run_timestamp_seconds", Kind.GAUGE, "When a run of the program ended last.")
LAST_EXIT = Metric("last_run_exit_code", Kind.GAUGE, "Its exit code; 1 also where a surprise ended it.")

COMMON = (
    BUILD,
    READY,
    LOOKED,
    LOOK_FAILED,
    WAITING_FILES,
    WAITING_BYTES,
    OLDEST,
    LIMIT,
    WALKED,
    HELD,
    REFUSES,
    DEGRADED,
    DISK_FREE,
    DISK_SIZE,
    INODES_FREE,
    LAST_SUCCESS,
    FAILURES,
    LOUD,
    LAST_RUN,
    LAST_EXIT,
)
"""What both programs measure."""


def by_label(metric: Metric, values: Mapping[str, float]) -> Iterator[Sample]:
    """Yield a sample for each value of a metric with one label; of too many, the largest, and the sum of the others."""
    largest = Counter(dict(values)).most_common()
    for label, value in sorted(largest[:MOST_SERIES]):
        yield Sample(metric, (label,), value)
    if len(largest) > MOST_SERIES:
        yield Sample(metric, (OTHERS,), sum(value for _, value in largest[MOST_SERIES:]))


def one(metric: Metric, value: float) -> Iterator[Sample]:
    """Yield the sample of a metric without labels."""
    yield Sample(metric, (), value)


def in_order(samples: Iterable[Sample], metrics: Iterable[Metric]) -> Iterator[tuple[Metric, list[Sample]]]:
    """Yield each of `metrics` that was measured, with its samples."""
    found: dict[Metric, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.metric, []).append(sample)
    yield from ((metric, found[metric]) for metric in metrics if metric in found)
