"""The loop repeats, rests in proportion, wakes early, and comes home when asked."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from s3sync.errors import Permanent, Transient
from s3sync.events import Event, StepFailed
from s3sync.loop import Loop, Rest, StopFlag, rest_after


@dataclass(frozen=True, slots=True)
class Result:
    """A pass that may know when to come again."""

    again_seconds: float | None = None


def loop_of(
    run_pass: Callable[[], Result], stop: StopFlag, *, wake: threading.Event | None = None, heard: list[Event] | None = None
) -> Loop:
    """Return a loop that never rests for want of a wake-up when `wake` is kept set."""
    listener = (lambda _event: None) if heard is None else heard.append
    return Loop(run_pass, timedelta(hours=1), wake or threading.Event(), stop, listener=listener, gap_seconds=0)


def test_a_wake_up_brings_the_next_pass_forward() -> None:
    """An event that comes during a pass causes another one without waiting for the interval."""
    wake, stop, passes = threading.Event(), StopFlag(), []

    def run_pass() -> Result:
        passes.append(1)
        wake.set()
        if len(passes) == 3:
            stop.set()
        return Result()

    loop_of(run_pass, stop, wake=wake).run()

    assert len(passes) == 3


def test_a_pass_says_when_it_wants_to_be_repeated() -> None:
    """A pass that knows of something to do at once is repeated at once."""
    stop, passes = StopFlag(), []

    def run_pass() -> Result:
        passes.append(1)
        if len(passes) == 2:
            stop.set()
        return Result(again_seconds=0)

    loop_of(run_pass, stop).run()

    assert len(passes) == 2


def test_stopping_wakes_the_sleeper() -> None:
    """A loop that rests for an hour ends as soon as somebody asks."""
    stop, resting = StopFlag(), threading.Event()

    def run_pass() -> Result:
        resting.set()
        return Result()

    thread = threading.Thread(target=loop_of(run_pass, stop).run)
    thread.start()
    resting.wait(10)
    stop.set()
    thread.join(10)

    assert not thread.is_alive()


@pytest.mark.parametrize("error", [Transient("s3", "is busy"), OSError(28, "No space left on device")])
def test_what_the_next_pass_may_find_mended_is_told_and_tried_again(error: Exception) -> None:
    """A transient failure and a full disk end the pass and not the agent."""
    stop, wake, heard, passes = StopFlag(), threading.Event(), list[Event](), []

    def run_pass() -> Result:
        passes.append(1)
        wake.set()
        if len(passes) == 1:
            raise error
        stop.set()
        return Result()

    loop_of(run_pass, stop, wake=wake, heard=heard).run()

    assert len(passes) == 2
    assert [type(event) for event in heard] == [StepFailed]


def test_what_will_not_mend_rises() -> None:
    """A permanent failure of the whole pass ends the loop: somebody must look."""

    def run_pass() -> Result:
        raise Permanent("drop zone", "is gone")

    with pytest.raises(Permanent):
        loop_of(run_pass, StopFlag()).run()


def test_the_interval_is_counted_from_the_start_of_the_pass() -> None:
    """A pass of 20 s in an interval of 300 leaves 280, of which four times its length is spent without listening."""
    rest = rest_after(20, again_seconds=None, interval_seconds=300, gap_seconds=5)

    assert rest == Rest(deaf_seconds=80, listening_seconds=200)


def test_a_pass_longer_than_the_interval_is_followed_by_the_shortest_rest() -> None:
    """The next pass is overdue; only the gap stands between."""
    rest = rest_after(900, again_seconds=None, interval_seconds=300, gap_seconds=5)

    assert rest == Rest(deaf_seconds=5, listening_seconds=0)


def test_a_wanted_repetition_is_not_later_than_the_interval() -> None:
    """A file that is quiet in an hour does not keep the periodic scan from happening."""
    rest = rest_after(0, again_seconds=3600, interval_seconds=300, gap_seconds=5)

    assert rest == Rest(deaf_seconds=5, listening_seconds=295)


def test_a_signal_asks_to_stop() -> None:
    """SIGTERM sets the flag and says which signal it was; nobody who comes home in time is abandoned."""
    stop, abandoned = StopFlag(), list[int]()
    with stop.on_signals(lambda: abandoned.append(1)):
        os.kill(os.getpid(), signal.SIGTERM)

        assert stop.wait(10)

    assert stop.signal == signal.SIGTERM
    assert abandoned == []


def test_a_second_signal_abandons() -> None:
    """Who asks twice does not want to wait for the grace."""
    stop, abandoned = StopFlag(grace_seconds=3600), threading.Event()
    with stop.on_signals(abandoned.set):
        os.kill(os.getpid(), signal.SIGINT)
        stop.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

        assert abandoned.wait(10)


def test_whoever_does_not_come_home_is_abandoned() -> None:
    """When the grace is over the process leaves without waiting for anybody."""
    stop, abandoned = StopFlag(grace_seconds=0), threading.Event()
    with stop.on_signals(abandoned.set):
        os.kill(os.getpid(), signal.SIGTERM)

        assert abandoned.wait(10)


def test_handlers_are_put_back() -> None:
    """After the context the signals mean what they meant before."""
    before = signal.getsignal(signal.SIGTERM)
    with StopFlag().on_signals(lambda: None):
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before


def test_the_grace_runs_from_the_first_asking() -> None:
    """Asking again does not lengthen it."""
    now = [100.0]
    stop = StopFlag(grace_seconds=8, clock=lambda: now[0])
    unasked = stop.remaining_seconds()
    stop.set()
    now[0] = 105.0
    stop.set()

    assert unasked == float("inf")
    assert stop.remaining_seconds() == 3.0
