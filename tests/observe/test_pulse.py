from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import pytest

from s3sync.loop import Loop, StopFlag
from s3sync.observe.pulse import Pulse


class Watched:
    """A pulse with a clock that is set by hand; ten seconds are allowed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fed = 0
        self.pulse = Pulse(self._feed, 10.0, lambda: self.now)

    def _feed(self) -> None:
        self.fed += 1

    def signs(self, seconds: float, of: Callable[[], None]) -> int:
        """Let time pass with a sign every second; return how often the watchdog was fed in the second half."""
        before = 0
        for second in range(int(seconds)):
            self.now += 1.0
            of()
            before = self.fed if second == seconds // 2 else before
        return self.fed - before


def elsewhere(act: Callable[[], None]) -> Callable[[], None]:
    """Return `act` done in a thread of its own each time."""

    def do() -> None:
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()

    return do


@pytest.fixture
def watched() -> Watched:
    """A pulse."""
    return Watched()


def test_work_feeds_the_watchdog_now_and_then(watched: Watched) -> None:
    """A million signs are not a million datagrams."""
    with watched.pulse.duty("main"):
        for _ in range(1_000):
            watched.pulse()

    assert 1 == watched.fed


def test_one_duty_that_hangs_starves_the_watchdog(watched: Watched) -> None:
    """That the others get on does not hide it, and who hangs can be named."""
    with ExitStack() as duties:
        elsewhere(lambda: duties.enter_context(watched.pulse.duty("restore")))()  # a thread that is never heard of again
        with watched.pulse.duty("main"):
            fed = watched.signs(40, watched.pulse)
            hanging = watched.pulse.silent()

        assert (0, ["restore"]) == (fed, hanging)


def test_a_pool_at_work_counts_for_the_duty_it_works_for(watched: Watched) -> None:
    """A long upload is carried by threads of a pool while the duty's own thread waits for them."""
    with watched.pulse.duty("main"):
        fed = watched.signs(40, elsewhere(watched.pulse))

    assert fed > 0


def test_silence_for_as_long_as_allowed_is_forgiven(watched: Watched) -> None:
    """The watchdog was fed at most half the time ago when the silence became too long, so one sign in time is enough."""
    with watched.pulse.duty("main"):
        watched.pulse()
        watched.now += 9.9
        watched.pulse()

    assert 2 == watched.fed


def test_a_resting_loop_is_alive() -> None:
    """An agent with nothing to do rests for an hour, and feeds the watchdog meanwhile."""
    stop, fed = StopFlag(), threading.Event()
    pulse = Pulse(fed.set, 0.04)
    stop.watched_by(pulse, pulse.every_seconds)

    class Nothing:
        again_seconds = None

    def run_pass() -> Nothing:
        fed.clear()
        return Nothing()

    def rest() -> None:
        with pulse.duty("main"):
            Loop(run_pass, timedelta(hours=1), threading.Event(), stop, gap_seconds=0).run()

    resting = threading.Thread(target=rest)
    resting.start()
    seen = fed.wait(10)
    stop.set()
    resting.join(10)

    assert seen
    assert not resting.is_alive()


def test_who_waits_for_others_is_no_sign_of_life(watched: Watched) -> None:
    """A thread that polls whether to stop while it waits for a worker must not cover up that the worker hangs."""
    stop = StopFlag()
    stop.watched_by(watched.pulse, 1.0)

    def look() -> None:
        assert not stop.asked()

    with watched.pulse.duty("main"):
        fed = watched.signs(40, look)

    assert 0 == fed
