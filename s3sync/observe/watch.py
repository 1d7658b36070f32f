"""Looks at intervals how things stand, keeps the figures for whoever asks, and says whether all is well.

A thread of its own, at intervals that leave it a twentieth of one processor at most, however large the drop zone; what goes
wrong with a look is told once and tried again, and stops nobody.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, Protocol

from s3sync.errors import Failure
from s3sync.events import Event, Level, Listener
from s3sync.observe.counts import Counts
from s3sync.observe.endpoint import Answer
from s3sync.observe.metrics import BUILD, LAST_EXIT, LAST_RUN, LOOK_FAILED, LOOKED, READY, WALKED, Metric, Sample, one
from s3sync.observe.prometheus import CONTENT_TYPE, exposition, write_textfile

LOOK_SECONDS = 30.0
WALK_SHARE = 20.0
"""A walk that took one second is followed by so many without one."""
STALE_SECONDS = 15 * 60.0
"""Without a look for so long, something hangs."""
GOODBYE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a look found."""

    standing: tuple[Sample, ...]
    walked: tuple[Sample, ...] = ()
    """What only a walk through the drop zone tells; none without one."""


class Look(Protocol):
    """Looks at how things stand."""

    def __call__(self, *, walk: bool) -> Figures:
        """Return what is measured. Raises `Failure` and `OSError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFailed(Event):
    """The figures for monitoring could not be looked up or written; told once until they can. The work goes on."""

    name: ClassVar[str] = "watch_failed"
    level: ClassVar[Level] = Level.WARNING
    what: str
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a watch is to do."""

    program: str
    version: str
    metrics: Sequence[Metric]
    """All there are, in the order they are shown."""
    walk_every: timedelta
    textfile: Path | None = None


class Watch:
    """Keeps the figures of one agent. `run` in a thread, or `look` by hand."""

    def __init__(
        self,
        plan: Plan,
        look: Look,
        counts: Counts,
        *,
        now: Callable[[], datetime],
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look by `look`, and tell what goes wrong with that to `listener`."""
        self._plan = plan
        self._look = look
        self._counts = counts
        self._now = now
        self._listener = listener
        self._clock = clock
        self._lock = threading.Lock()
        self._standing: tuple[Sample, ...] = ()
        self._walked: tuple[Sample, ...] = ()
        self._next_walk: float | None = None
        self._looked = clock()
        self._told: set[str] = set()
        self._ready = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Look at intervals from now on: the agent is at its work."""
        self._ready = True
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                if not self._stop.is_set():  # else a long walk came back to a program that has closed its files
                    raise
            self._stop.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Look once, walking where it is time to; save the counters, and write the textfile."""
        with self._trouble("look"):
            began = self._clock()
            walk = self._next_walk is None or began >= self._next_walk
            figures = self._look(walk=walk)
            ended = self._clock()
            if walk:
                self._next_walk = ended + max(self._plan.walk_every.total_seconds(), WALK_SHARE * (ended - began))
            self._take(figures, walked=walk)
            self._looked = ended
        with self._trouble("counters"):
            self._counts.save()
        if not self._stop.is_set():
            self._write(())

    def ended(self, code: int) -> None:
        """Look no more, and say how the run ended, for those who read the textfile."""
        self._ready = False
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(GOODBYE_SECONDS)
        with self._trouble("counters"):
            self._counts.save()
        self._write((*one(LAST_RUN, self._now().timestamp()), *one(LAST_EXIT, code)))

    def metrics(self) -> Answer:
        """Return the page `/metrics`."""
        return Answer(200, self._text(()), CONTENT_TYPE)

    def healthz(self) -> Answer:
        """Return the page `/healthz`: the process answers, and looks at its state again and again."""
        stale = self._clock() - self._looked > STALE_SECONDS
        wrong = "no look at the state succeeded for 15 minutes: does the disk or the drop zone hang?" if stale else ""
        return _verdict(not stale, {"healthy": not stale, "wrong": wrong})

    def readyz(self) -> Answer:
        """Return the page `/readyz`: the agent holds its locks and has taken up what an earlier one left."""
        return _verdict(self._ready, {"ready": self._ready})

    def _take(self, figures: Figures, *, walked: bool) -> None:
        now = self._now().timestamp()
        with self._lock:
            self._standing = (*figures.standing, *one(LOOKED, now))
            if walked:
                self._walked = (*figures.walked, *one(WALKED, now))

    def _write(self, more: Iterable[Sample]) -> None:
        if self._plan.textfile is not None:
            with self._trouble("textfile"):
                write_textfile(self._plan.textfile, self._text(more))

    def _text(self, more: Iterable[Sample]) -> bytes:
        with self._lock:
            found = (*self._standing, *self._walked)
        own = (
            Sample(BUILD, (self._plan.version,), 1),
            Sample(READY, (), self._ready),
            Sample(LOOK_FAILED, (), "look" in self._told),
        )
        counted = self._counts.samples(*self._plan.metrics)
        return exposition(self._plan.program, (*own, *found, *counted, *more), self._plan.metrics)

    @contextmanager
    def _trouble(self, what: str) -> Iterator[None]:
        try:
            yield
            self._told.discard(what)
        except (Failure, OSError) as error:
            if what not in self._told and not (what == "look" and self._stop.is_set()):
                self._told.add(what)
                self._listener(WatchFailed(what=what, wrong=str(error)))


def _verdict(good: bool, said: dict[str, object]) -> Answer:  # noqa: FBT001 - the one thing it is about
    return Answer(200 if good else 503, (json.dumps(said) + "\n").encode(), "application/json")
