from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from s3sync.dropzone.quiet import DEGRADED_FACTOR, QuietClock

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
FILE = (1, 2)


def _clock(**how: int) -> QuietClock:
    clock = QuietClock(timedelta(seconds=60), **how)
    clock.begin_pass(wall_ns=NOW, monotonic_ns=0)
    return clock


def _remaining_seconds(clock: QuietClock, ctime_ns: int, *, leased: bool = True) -> float:
    return clock.remaining_ns(FILE, ctime_ns, leased=leased) / SECOND


def test_a_file_rests_until_its_ctime_is_old_enough() -> None:
    """What was touched 59 s ago rests another second, what was touched 60 s ago is quiet."""
    clock = _clock()

    assert [1.0, 0.0] == [_remaining_seconds(clock, NOW - age * SECOND) for age in (59, 60)]


def test_without_leases_quiet_takes_longer() -> None:
    """Where nothing can tell whether somebody writes, a file rests four times as long."""
    assert 60.0 * DEGRADED_FACTOR - 60 == _remaining_seconds(_clock(), NOW - 60 * SECOND, leased=False)


def test_a_step_of_the_wall_clock_begins_the_period_anew_for_everybody() -> None:
    """After a leap of a day a file touched a second before the leap is not old."""
    clock = _clock()

    stepped = clock.begin_pass(wall_ns=NOW + 86_400 * SECOND, monotonic_ns=10 * SECOND)
    at_step = _remaining_seconds(clock, NOW - SECOND)
    again = clock.begin_pass(wall_ns=NOW + 86_430 * SECOND, monotonic_ns=40 * SECOND)
    later = _remaining_seconds(clock, NOW - SECOND)
    clock.begin_pass(wall_ns=NOW + 86_460 * SECOND, monotonic_ns=70 * SECOND)

    assert (True, 60.0, False, 30.0, 0.0) == (stepped, at_step, again, later, _remaining_seconds(clock, NOW - SECOND))


def test_slewing_is_no_step() -> None:
    """A clock that is corrected gently begins nothing anew."""
    clock = _clock()

    assert not clock.begin_pass(wall_ns=NOW + 304 * SECOND, monotonic_ns=300 * SECOND)
    assert 0 == _remaining_seconds(clock, NOW)


def test_a_file_from_the_future_counts_from_when_it_was_first_seen() -> None:
    """A ctime of next year does not hold a file until next year."""
    clock = _clock()
    future = NOW + 365 * 86_400 * SECOND

    waits = []
    for passed in (0, 30, 60):
        clock.begin_pass(wall_ns=NOW + passed * SECOND, monotonic_ns=passed * SECOND)
        waits.append(_remaining_seconds(clock, future))

    assert [60.0, 30.0, 0.0] == waits


def test_a_change_of_a_file_from_the_future_begins_its_period_anew() -> None:
    """Another ctime is another state, also in the future."""
    clock = _clock()
    future = NOW + 365 * 86_400 * SECOND
    clock.remaining_ns(FILE, future, leased=True)

    clock.begin_pass(wall_ns=NOW + 60 * SECOND, monotonic_ns=60 * SECOND)

    assert 60.0 == _remaining_seconds(clock, future + 1)


def test_the_memory_for_files_from_the_future_is_bounded_and_all_pass_in_turn() -> None:
    """Two fit; the third waits until the first two are gone, and then passes as well."""
    clock = _clock(max_remembered=2)
    future = NOW + 365 * 86_400 * SECOND
    waiting = [(1, inode) for inode in range(3)]
    passes = 0

    while waiting:
        passes += 1
        clock.begin_pass(wall_ns=NOW + passes * 30 * SECOND, monotonic_ns=passes * 30 * SECOND)
        waiting = [file for file in waiting if clock.remaining_ns(file, future, leased=True)]
        assert len(clock._first_seen) <= 2

    assert passes <= 6


def test_the_clock_tells_when_the_next_file_will_be_ready() -> None:
    """The shortest remaining rest of a pass is what the loop may sleep."""
    clock = _clock()
    assert clock.soonest_seconds is None

    for age in (10, 50, 70):
        clock.remaining_ns(FILE, NOW - age * SECOND, leased=True)

    assert 10.0 == clock.soonest_seconds


@given(age=st.integers(-(10**6), 10**6), leased=st.booleans(), stepped=st.booleans(), after=st.integers(0, 10**6))
def test_the_short_cut_never_lets_a_file_through_early(age: int, leased: bool, stepped: bool, after: int) -> None:
    """Whatever `surely_quiet_ns` calls quiet, the full arithmetic calls quiet."""
    clock = _clock()
    clock.begin_pass(wall_ns=NOW + (after + 100 * stepped) * SECOND, monotonic_ns=after * SECOND)
    ctime_ns = NOW - age * SECOND

    if ctime_ns < clock.surely_quiet_ns:
        assert 0 == _remaining_seconds(clock, ctime_ns, leased=leased)
