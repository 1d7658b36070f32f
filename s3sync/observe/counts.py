"""Counters that survive a restart, and the listener that counts events. Losing them harms nobody but a graph."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from s3sync.events import Event, Level, StepFailed
from s3sync.observe.metrics import FAILURES, LOUD, MOST_SERIES, OTHERS, PHASE_BOUNDS, Kind, Metric, Sample
from s3sync.statedb import StateDb

ROOM = "counts"

SCHEMA = (
    """
    -- What was counted since the state folder was begun; one row a counter and set of labels.
    --   name    the metric's name without the program's, `_bucket` or `_sum` behind it for those parts of a histogram
    --   labels  the labels' values, a JSON list in the metric's order; of a histogram's bucket its upper bound comes last
    --   value   the count; of a histogram's bucket how many fell into it alone
    CREATE TABLE counts (
        name   TEXT NOT NULL,
        labels TEXT NOT NULL,
        value  REAL NOT NULL,
        PRIMARY KEY (name, labels)
    ) STRICT, WITHOUT ROWID;
    """,
)

_Key = tuple[str, tuple[str, ...]]


class Counts:
    """Counters in memory, from any thread; `save` makes them durable."""

    def __init__(self, db: StateDb | None = None) -> None:
        """Go on from what `db` holds; without one begin at nothing."""
        self._db = db
        self._lock = threading.Lock()
        self._values: Counter[_Key] = Counter()
        self._series: Counter[str] = Counter()
        self._fresh: set[_Key] = set()
        if db is not None:
            db.migrate(ROOM, SCHEMA)
            with db.read() as connection:
                rows = connection.execute("SELECT name, labels, value FROM counts").fetchall()
            for row in rows:
                self._set((row["name"], tuple(json.loads(row["labels"]))), row["value"])

    def add(self, metric: Metric, *labels: str, value: float = 1) -> None:
        """Count `value` more of a counter."""
        with self._lock:
            self._add((metric.name, labels), value)

    def took(self, metric: Metric, *labels: str, seconds: float) -> None:
        """Count a duration in a histogram."""
        bound = next((f"{bound:g}" for bound in PHASE_BOUNDS if seconds <= bound), "+Inf")
        with self._lock:
            self._add((f"{metric.name}_bucket", (*labels, bound)), 1)
            self._add((f"{metric.name}_sum", labels), seconds)

    def samples(self, *metrics: Metric) -> Iterator[Sample]:
        """Yield what was counted of `metrics`."""
        with self._lock:
            values = dict(self._values)
        for metric in metrics:
            for suffix in ("_bucket", "_sum") if metric.kind is Kind.HISTOGRAM else ("",):
                name = metric.name + suffix
                yield from (Sample(metric, key[1], value, suffix) for key, value in values.items() if key[0] == name)

    def save(self) -> None:
        """Write down what changed. Raises `Transient` and `Permanent` where that cannot be done; nothing is forgotten."""
        if self._db is None:
            return
        with self._lock:
            fresh, self._fresh = self._fresh, set()
            rows = [(name, json.dumps(labels), self._values[name, labels]) for name, labels in fresh]
        try:
            if rows:
                with self._db.write() as connection:
                    connection.executemany("INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", rows)
        except BaseException:
            with self._lock:
                self._fresh |= fresh
            raise

    def _add(self, key: _Key, value: float) -> None:
        name, labels = key
        if key not in self._values and self._series[name] >= MOST_SERIES:
            key = (name, tuple(OTHERS for _ in labels[:-1]) + (labels[-1:] if name.endswith("_bucket") else (OTHERS,)))
        self._set(key, self._values[key] + value)
        self._fresh.add(key)

    def _set(self, key: _Key, value: float) -> None:
        if key not in self._values:
            self._series[key[0]] += 1
        self._values[key] = value  # type: ignore[assignment]  # a Counter of floats


class Counting:
    """Counts what both programs tell of; a listener."""

    def __init__(self, counts: Counts, clock: Callable[[], float] = time.monotonic) -> None:
        """Count in `counts`; durations by `clock`, monotonic seconds."""
        self.counts = counts
        self._clock = clock
        self._watch = Stopwatch()

    def __call__(self, event: Event) -> None:
        """Count `event`."""
        if event.level in {Level.WARNING, Level.ERROR}:
            self.counts.add(LOUD, event.name, event.level.value)
        if isinstance(event, StepFailed):
            self.counts.add(FAILURES, event.step, "permanent" if event.permanent else "transient", event.bucket)


class Stopwatch:
    """How long things took that begin with one event and end with another. Bounded: what never ends is forgotten."""

    def __init__(self, most: int = 10_000) -> None:
        """Remember at most so many beginnings."""
        self._most = most
        self._lock = threading.Lock()
        self._begun: dict[tuple[str, ...], float] = {}

    def begin(self, *what: str, at: float) -> None:
        """Note that something begins; of too many the oldest is forgotten."""
        with self._lock:
            self._begun.pop(what, None)
            self._begun[what] = at
            if len(self._begun) > self._most:
                del self._begun[next(iter(self._begun))]

    def end(self, *what: str, at: float) -> float | None:
        """Return how many seconds it took; None where nobody saw it begin."""
        with self._lock:
            begun = self._begun.pop(what, None)
        return None if begun is None else max(0.0, at - begun)
