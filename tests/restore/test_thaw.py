from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from s3batch.restore.thaw import (
    FORGOTTEN,
    MARGIN,
    MOST_ASKS,
    MOST_EXTENSIONS,
    WINDOWS,
    Ask,
    Extend,
    Fail,
    Lapse,
    Pace,
    Ready,
    Rest,
    State,
    Thaw,
    Upgrade,
    Wait,
    Wish,
    next_step,
)
from s3sync.store.contract import ObjectRef, StorageClass, ThawState, ThawStatus, Tier
from tests.doubles.clock import START

FROZEN = ThawStatus(ThawState.FROZEN)
THAWING = ThawStatus(ThawState.THAWING)
READABLE = ThawStatus(ThawState.READABLE)
WISH = Wish(tier=Tier.BULK, days=3, attended=True)
NOBODY = replace(WISH, attended=False)
PACE = Pace(interval=timedelta(minutes=5))
ROW = Thaw(
    id=1,
    ref=ObjectRef("invoices", "a.tar"),
    size=1,
    crc64nvme="",
    batch="a",
    storage_class=StorageClass.DEEP_ARCHIVE,
    state=State.FROZEN,
    tier=None,
    days=None,
    asked_at=None,
    until=None,
    asks=0,
    extensions=0,
    upgraded=False,
    overdue=False,
    refused_reads=0,
    failures=0,
    error=None,
)
ASKED = replace(ROW, state=State.ASKED, tier=Tier.BULK, days=3, asked_at=START, asks=1)
UNDER_WAY = replace(ASKED, state=State.THAWING)
LAPSED = replace(ASKED, state=State.LAPSED)


def thawed(left: timedelta) -> ThawStatus:
    """Return what HEAD shows of a copy that is kept this long."""
    return ThawStatus(ThawState.THAWED, START + left)


def test_frozen_is_asked_for() -> None:
    """An archive nobody asked for is asked for, whether somebody waits or not."""
    assert Ask(tier=Tier.BULK, days=3, counted=True) == next_step(ROW, FROZEN, START, NOBODY, PACE)


def test_unanswered_intent_is_asked_again_uncounted() -> None:
    """After a crash between intent and answer, a HEAD that shows nothing means that the question never arrived."""
    assert Ask(tier=Tier.BULK, days=3, counted=False) == next_step(ASKED, FROZEN, START, WISH, PACE)


def test_unanswered_intent_that_arrived_is_waited_for() -> None:
    """After a crash between intent and answer, a HEAD that shows a thaw under way means that it was heard."""
    step = next_step(ASKED, THAWING, START, WISH, PACE)

    assert Wait(START + WINDOWS[StorageClass.DEEP_ARCHIVE, Tier.BULK].first) == step


def test_somebody_elses_thaw_is_adopted() -> None:
    """A thaw that somebody else began is looked at often, since nobody knows when it began."""
    assert Wait(START + PACE.interval) == next_step(ROW, THAWING, START, WISH, PACE)


@pytest.mark.parametrize(("storage_class", "tier"), WINDOWS)
def test_first_look_is_not_too_early(storage_class: StorageClass, tier: Tier) -> None:
    """The first look is near what the tier takes at least, the next ones every few minutes."""
    row = replace(UNDER_WAY, storage_class=storage_class, tier=tier)
    wish = replace(WISH, tier=tier)
    first = WINDOWS[storage_class, tier].first

    assert Wait(START + first) == next_step(row, THAWING, START, wish, PACE)
    assert Wait(START + first + PACE.interval) == next_step(row, THAWING, START + first, wish, PACE)


def test_short_pace_wins() -> None:
    """A demonstration looks every second."""
    pace = Pace(interval=timedelta(seconds=1), first=timedelta(0))

    assert Wait(START + timedelta(seconds=1)) == next_step(UNDER_WAY, THAWING, START, WISH, pace)


def test_overdue_is_said_once() -> None:
    """Past twice the typical time somebody is told, once."""
    late = START + timedelta(hours=97)

    assert Wait(late + PACE.interval, overdue=True) == next_step(UNDER_WAY, THAWING, late, WISH, PACE)
    assert Wait(late + PACE.interval) == next_step(replace(UNDER_WAY, overdue=True), THAWING, late, WISH, PACE)


def test_faster_tier_is_asked_for_once() -> None:
    """A faster tier wanted meanwhile is asked for with the same days, once."""
    hurried = replace(WISH, tier=Tier.STANDARD, days=7)
    first = WINDOWS[StorageClass.DEEP_ARCHIVE, Tier.BULK].first

    assert Upgrade(Tier.STANDARD, 3) == next_step(UNDER_WAY, THAWING, START, hurried, PACE)
    assert Wait(START + first) == next_step(replace(UNDER_WAY, upgraded=True), THAWING, START, hurried, PACE)


def test_slower_tier_changes_nothing() -> None:
    """A slower tier wanted meanwhile joins the faster one."""
    row = replace(UNDER_WAY, tier=Tier.STANDARD)

    assert isinstance(next_step(row, THAWING, START, WISH, PACE), Wait)


def test_readable_class_is_ready() -> None:
    """A class that needs no thaw is ready for good."""
    assert Ready(None, START + FORGOTTEN) == next_step(ROW, READABLE, START, WISH, PACE)


def test_thawed_is_ready_until_it_lapses() -> None:
    """A copy is ready, and looked at again when its end comes near."""
    until = START + timedelta(days=2)

    assert Ready(until, until - MARGIN) == next_step(UNDER_WAY, thawed(timedelta(days=2)), START, WISH, PACE)


@pytest.mark.parametrize(
    ("extensions", "wish", "extended"), [(0, WISH, True), (MOST_EXTENSIONS, WISH, False), (0, NOBODY, False)]
)
def test_ending_copy_is_extended_while_attended(extensions: int, wish: Wish, extended: bool) -> None:
    """A copy about to lapse with deliveries left is extended, a bounded number of times, and only if somebody is there."""
    row = replace(UNDER_WAY, state=State.THAWED, extensions=extensions)

    step = next_step(row, thawed(timedelta(hours=1)), START, wish, PACE)

    assert extended is isinstance(step, Extend)


@pytest.mark.parametrize("state", [State.THAWING, State.THAWED, State.READABLE])
def test_absent_header_after_a_thaw_is_a_lapse(state: State) -> None:
    """S3 shows *never* and *lapsed* alike; the row knows which."""
    assert Lapse() == next_step(replace(UNDER_WAY, state=state), FROZEN, START, WISH, PACE)


def test_lapsed_is_asked_again_a_bounded_number_of_times() -> None:
    """What lapsed is asked for again while somebody waits, and set aside after the last time."""
    assert Ask(tier=Tier.BULK, days=3, counted=True) == next_step(LAPSED, FROZEN, START, WISH, PACE)
    assert isinstance(next_step(replace(LAPSED, asks=MOST_ASKS), FROZEN, START, WISH, PACE), Fail)


def test_lapsed_and_forgotten_rests() -> None:
    """What lapsed is not paid for again while nobody is there to take it."""
    assert Rest(START + FORGOTTEN) == next_step(LAPSED, FROZEN, START, NOBODY, PACE)
