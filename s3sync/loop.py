"""Repeat a pass until asked to stop: the part every agent shares, whatever a pass does.

A pass is an ordinary function; restarting it at any instant is normal, so stopping is only a matter of manners. The periodic
scan is the truth and the interval is counted from the start of the pass; a wake-up (a file system event) or the pass itself
(*again in so many seconds*) may bring the next one forward. A stream of wake-ups must not become a stream of scans: after each
pass comes a rest in proportion to its length in which nobody wakes us.

A signal asks to stop once. Whoever works looks at the `StopFlag` between steps and comes home; who has not come home when the
grace is over is abandoned, which is as safe as a power cut and no safer, and that is what every step is built for. Such a look
is a sign of life besides, and so is a rest: whoever watches over the agent is told of them (`StopFlag.watched_by`).
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from s3sync.errors import Transient
from s3sync.events import Listener, StepFailed, silent

GRACE_SECONDS = 8.0
"""How long after the first signal the work may take to come home: ten seconds are promised, two are for leaving."""

GAP_SECONDS = 5.0
"""The shortest rest between two passes."""

REST_SHARE = 4.0
"""A pass that took one second is followed by a rest of this many: scanning never takes more than a fifth of the time."""


class PassResult(Protocol):
    """What the loop wants to know of a pass."""

    @property
    def again_seconds(self) -> float | None:
        """Return after how many seconds there will be something to do, or None where nobody knows."""


class StopFlag:
    """Says whether somebody asked to stop. May be looked at and set from any thread, and set any number of times."""

    def __init__(self, *, grace_seconds: float = GRACE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has asked yet; once somebody does, `grace_seconds` are left to come home."""
        self._event = threading.Event()
        self._wakes: list[threading.Event] = []
        self._told: list[Callable[[], None]] = []
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._asked: float | None = None
        self._sign: Callable[[], None] = _unwatched
        self._sign_seconds: float = threading.TIMEOUT_MAX
        self.signal: int | None = None
        """The number of the signal that asked, None where it was not a signal."""

    def __call__(self) -> bool:
        """Tell whether to stop, of one who is at work: the shape a store's `stopping` hook has."""
        self._sign()
        return self._event.is_set()

    def asked(self) -> bool:
        """Tell whether to stop, of one who waits for others: it is no sign that anything gets on."""
        return self._event.is_set()

    def watched_by(self, sign: Callable[[], None], every_seconds: float) -> None:
        """Call `sign` whenever somebody who works asks, and at least `every_seconds` where they rest with nothing to do."""
        self._sign, self._sign_seconds = sign, every_seconds

    def set(self) -> None:
        """Ask to stop, and wake everybody who sleeps."""
        first = self._asked is None
        if first:
            self._asked = self._clock()
        self._event.set()
        for told in self._told if first else ():
            told()
        for wake in self._wakes:
            wake.set()

    def telling(self, told: Callable[[], None]) -> None:
        """Call `told` when somebody asks to stop, from whatever thread asks."""
        self._told.append(told)

    def waking(self, wake: threading.Event) -> None:
        """Set `wake` too when somebody asks to stop."""
        self._wakes.append(wake)
        if self():
            wake.set()

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds` (infinity is allowed) or until asked to stop; tell whether it was the latter."""
        return self.rest(self._event, seconds)

    def rest(self, wake: threading.Event, seconds: float) -> bool:
        """Rest for `seconds` (infinity is allowed) or until `wake`, which is no hang; tell whether it was the latter."""
        until = time.monotonic() + seconds
        while True:
            self._sign()
            left = max(0.0, until - time.monotonic())
            if wake.wait(min(left, self._sign_seconds)):
                return True
            if left <= self._sign_seconds:
                return False

    def remaining_seconds(self) -> float:
        """Return what is left of the grace: infinite while nobody asked, never below zero."""
        if self._asked is None:
            return float("inf")
        return max(0.0, self._asked + self._grace_seconds - self._clock())

    @contextmanager
    def on_signals(
        self, abandon: Callable[[], None], signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)
    ) -> Iterator[None]:
        """Turn `signals` into asking, while the context lasts; main thread only.

        `abandon` is called from another thread when the grace is over or a second signal comes: a front door hands in
        something that leaves the process without waiting for anybody.
        """
        # An Event may deadlock in a handler that interrupts its own wait; a SimpleQueue is made to be put into from one.
        arrivals: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        carrier = threading.Thread(target=self._carry, args=(arrivals, abandon), name="signals", daemon=True)
        before = {number: signal.signal(number, lambda seen, _frame: arrivals.put(seen)) for number in signals}
        carrier.start()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            arrivals.put(None)
            carrier.join()

    def _carry(self, arrivals: queue.SimpleQueue[int | None], abandon: Callable[[], None]) -> None:
        first = arrivals.get()
        if first is None:
            return
        self.signal = first
        self.set()
        try:
            second = arrivals.get(timeout=self._grace_seconds)
        except queue.Empty:
            abandon()
            arrivals.get()
            return
        if second is not None:
            abandon()
            while arrivals.get() is not None:
                pass


@dataclass(frozen=True, slots=True)
class Rest:
    """How to wait for the next pass: first without listening, then until woken, in seconds."""

    deaf_seconds: float
    listening_seconds: float


def rest_after(took_seconds: float, *, again_seconds: float | None, interval_seconds: float, gap_seconds: float) -> Rest:
    """Return the rest after a pass of `took_seconds` that asked to be repeated in `again_seconds` from now."""
    left = interval_seconds - took_seconds
    deaf = max(gap_seconds, min(took_seconds * REST_SHARE, left))
    wanted = left if again_seconds is None else min(left, again_seconds)
    return Rest(deaf, max(0.0, wanted - deaf))


class Loop:
    """Runs a pass, rests, runs it again, until the flag says stop."""

    def __init__(
        self,
        run_pass: Callable[[], PassResult],
        interval: timedelta,
        wake: threading.Event,
        stop: StopFlag,
        *,
        listener: Listener = silent,
        clock: Callable[[], float] = time.monotonic,
        gap_seconds: float = GAP_SECONDS,
    ) -> None:
        """Repeat `run_pass` every `interval`, and earlier when `wake` is set."""
        self._run_pass = run_pass
        self._interval_seconds = interval.total_seconds()
        self._wake = wake
        self._stop = stop
        self._listener = listener
        self._clock = clock
        self._gap_seconds = gap_seconds
        stop.waking(wake)

    def run(self) -> None:
        """Repeat until asked to stop.

        What the next pass may find mended (a full disk, a busy database, a network that is down) is told to the listener and
        tried again; everything else rises, and whoever started the agent starts it again.
        """
        while not self._stop():
            self._wake.clear()
            began = self._clock()
            again_seconds = self._guarded_pass()
            self._sleep(self._clock() - began, again_seconds)

    def _guarded_pass(self) -> float | None:
        try:
            return self._run_pass().again_seconds
        except (Transient, OSError) as error:
            wrong, hint = (error.wrong, error.hint) if isinstance(error, Transient) else (str(error), "")
            self._listener(StepFailed(step="pass", subject="pass", bucket="", wrong=wrong, hint=hint, permanent=False))
            return None

    def _sleep(self, took_seconds: float, again_seconds: float | None) -> None:
        rest = rest_after(
            took_seconds,
            again_seconds=again_seconds,
            interval_seconds=self._interval_seconds,
            gap_seconds=self._gap_seconds,
        )
        if not self._stop.wait(rest.deaf_seconds):
            self._stop.rest(self._wake, rest.listening_seconds)


def _unwatched() -> None:
    """Give no sign: nobody watches."""
