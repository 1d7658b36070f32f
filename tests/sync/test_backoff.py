"""Who was refused is left alone, longer each time, and forgiven at once."""

from __future__ import annotations

from s3sync.backoff import Backoff


def waits_after(times: int) -> float:
    """Return how long somebody refused `times` times in a row is left alone."""
    backoff = Backoff(lambda: 1000.0)
    for _ in range(times):
        backoff.refused("bucket")
    seconds = backoff.soonest_seconds()
    assert seconds is not None
    return seconds


def test_the_wait_doubles_up_to_an_hour() -> None:
    """One, two, four minutes and so on; never more than an hour, however long it lasts."""
    assert [60, 120, 240, 3600, 3600] == [waits_after(times) for times in (1, 2, 3, 8, 2000)]


def test_after_the_wait_it_may_be_tried_again() -> None:
    """Waiting ends with the clock."""
    now = [0.0]
    backoff = Backoff(lambda: now[0])
    backoff.refused(b"path")
    first = backoff.waits(b"path")
    now[0] = 60.0

    assert (first, backoff.waits(b"path")) == (True, False)


def test_a_success_forgives() -> None:
    """The next refusal begins with the shortest wait."""
    backoff = Backoff(lambda: 0.0)
    backoff.refused("bucket")
    backoff.refused("bucket")
    backoff.succeeded("bucket")
    backoff.refused("bucket")

    assert backoff.soonest_seconds() == 60


def test_the_first_refusals_may_cost_nothing() -> None:
    """With one refusal forgiven the next pass tries again, and only the second one costs a wait."""
    backoff = Backoff(lambda: 0.0, forgiven=1)
    backoff.refused(b"path")
    first = backoff.soonest_seconds()
    backoff.refused(b"path")

    assert (first, backoff.waits(b"path"), backoff.soonest_seconds()) == (None, True, 60)


def test_whoever_never_came_back_is_forgotten() -> None:
    """Files that are gone do not fill the memory."""
    now = [0.0]
    backoff = Backoff(lambda: now[0])
    backoff.refused("gone")
    now[0] = 60.0 + 3600.0
    backoff.forget_old()

    assert (backoff.waits("gone"), backoff.soonest_seconds()) == (False, None)
