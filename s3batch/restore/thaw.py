"""The thaw of one archive: shared by all requests that want something of it, decided here, performed elsewhere.

    FROZEN, ASKED, LAPSED                             ──ask──▶ ASKED
    FROZEN, ASKED, THAWING, LAPSED                    ──in progress──▶ THAWING
    FROZEN, ASKED, THAWING, THAWED, READABLE, LAPSED  ──thawed──▶ THAWED
    FROZEN, ASKED, THAWING, THAWED, READABLE, LAPSED  ──readable──▶ READABLE
    THAWED, READABLE                                  ──not yet──▶ THAWING
    THAWING, THAWED, READABLE                         ──lapsed──▶ LAPSED
    FROZEN, ASKED, THAWING, THAWED, READABLE, LAPSED  ──refused──▶ FAILED
    FROZEN, THAWED, READABLE, LAPSED, FAILED          ──wanted anew──▶ FROZEN

What S3 shows by HEAD is the truth and the row is our memory of what we did about it: S3 shows *never asked for* and *lapsed*
alike, so only the row knows which, and only the row can keep the spending bounded. ASKED is the intent, written before
RestoreObject; after a crash in between, HEAD says whether the question arrived. Money is spent by `Ask` (at most `MOST_ASKS`
a window), `Upgrade` (once) and `Extend` (at most `MOST_EXTENSIONS`). The first is for anybody; what lapsed unused is asked for
again, or extended, only while somebody is there to take delivery: an archive must not be thawed for ever because a user forgot
a request. The expiry is read from S3 and never computed (midnights are rounded in ways the guide tells in two versions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from s3batch.restore import lifecycle
from s3sync.store.contract import ObjectRef, StorageClass, ThawState, ThawStatus, Tier

MOST_ASKS = 3
"""Once, and twice again where the copy lapsed before it could be used."""
MOST_EXTENSIONS = 2
MARGIN = timedelta(hours=2)
"""A copy that lapses this soon with deliveries left is extended."""
FORGOTTEN = timedelta(days=1)
"""How often to look at a lapsed archive that nobody waits for; whoever comes back has it looked at once."""


class State(StrEnum):
    """Where the thaw of an archive is."""

    FROZEN = "frozen"
    """Not asked for by us in this window."""
    ASKED = "asked"
    """Intent journalled; what S3 made of it is not known yet."""
    THAWING = "thawing"
    THAWED = "thawed"
    """A readable copy exists until the row's `until`."""
    READABLE = "readable"
    """Its storage class needs no thaw."""
    LAPSED = "lapsed"
    """There was a copy, or a thaw under way, and there is none now."""
    FAILED = "failed"


class Event(StrEnum):
    """What can happen to it."""

    ASK = "ask"
    IN_PROGRESS = "in progress"
    THAWED = "thawed"
    READABLE = "readable"
    NOT_YET = "not yet"
    LAPSED = "lapsed"
    REFUSED = "refused"
    WANTED_ANEW = "wanted anew"


_SEEN = {Event.THAWED: State.THAWED, Event.READABLE: State.READABLE, Event.REFUSED: State.FAILED}

TRANSITIONS: Mapping[State, Mapping[Event, State]] = MappingProxyType(
    {
        State.FROZEN: {
            Event.ASK: State.ASKED,
            Event.IN_PROGRESS: State.THAWING,
            Event.WANTED_ANEW: State.FROZEN,
            **_SEEN,
        },
        State.ASKED: {Event.ASK: State.ASKED, Event.IN_PROGRESS: State.THAWING, **_SEEN},
        State.THAWING: {Event.IN_PROGRESS: State.THAWING, Event.LAPSED: State.LAPSED, **_SEEN},
        State.THAWED: {
            Event.NOT_YET: State.THAWING,
            Event.LAPSED: State.LAPSED,
            Event.WANTED_ANEW: State.FROZEN,
            **_SEEN,
        },
        State.READABLE: {
            Event.NOT_YET: State.THAWING,
            Event.LAPSED: State.LAPSED,
            Event.WANTED_ANEW: State.FROZEN,
            **_SEEN,
        },
        State.LAPSED: {
            Event.ASK: State.ASKED,
            Event.IN_PROGRESS: State.THAWING,
            Event.WANTED_ANEW: State.FROZEN,
            **_SEEN,
        },
        State.FAILED: {Event.WANTED_ANEW: State.FROZEN},
    }
)


def apply(state: State, event: Event) -> State:
    """Return the state `event` leads to. Raises `OutOfPlace`."""
    return lifecycle.applied(TRANSITIONS, state, event)


class Window(NamedTuple):
    """How long a thaw takes: hardly less than `first`, typically within `within`."""

    first: timedelta
    within: timedelta


WINDOWS: Mapping[tuple[StorageClass, Tier], Window] = MappingProxyType(
    {
        (StorageClass.GLACIER, Tier.STANDARD): Window(timedelta(hours=3), timedelta(hours=5)),
        (StorageClass.GLACIER, Tier.BULK): Window(timedelta(hours=5), timedelta(hours=12)),
        (StorageClass.DEEP_ARCHIVE, Tier.STANDARD): Window(timedelta(hours=3), timedelta(hours=12)),
        (StorageClass.DEEP_ARCHIVE, Tier.BULK): Window(timedelta(hours=12), timedelta(hours=48)),
    }
)
"""S3 User Guide, *archive retrieval options*; it gives Deep Archive no minimum, ours is only when the first look pays."""


def window(storage_class: StorageClass, tier: Tier) -> Window:
    """Return how long a thaw takes; a class that needed none when it was stored is taken for the slowest."""
    return WINDOWS.get((storage_class, tier), WINDOWS[StorageClass.DEEP_ARCHIVE, tier])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often to look at a thaw under way: first at the tier's own pace, or after `first`; then every `interval`."""

    interval: timedelta = timedelta(minutes=5)
    first: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thaw:
    """One archive's row: the columns are explained in schema.py."""

    id: int
    ref: ObjectRef
    size: int
    crc64nvme: str
    batch: str
    storage_class: StorageClass
    state: State
    tier: Tier | None
    days: int | None
    asked_at: datetime | None
    until: datetime | None
    asks: int
    extensions: int
    upgraded: bool
    overdue: bool
    refused_reads: int
    failures: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the unfinished requests want of an archive together: the fastest tier, the longest days."""

    tier: Tier
    days: int
    attended: bool
    """Somebody is there to take delivery: the agent for what it delivers, or a waiting command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Note the intent, then ask S3 for a readable copy. Costs money."""

    tier: Tier
    days: int
    counted: bool
    """False where the intent stands already and S3 shows that the question never arrived."""


@dataclass(frozen=True, slots=True)
class Wait:
    """It is under way: look again at `next_check`."""

    next_check: datetime
    overdue: bool = False
    """It takes more than twice the typical time: tell somebody, once."""


@dataclass(frozen=True, slots=True)
class Ready:
    """It can be read, until `until` where that is a copy; deliveries may begin. Look again at `next_check`."""

    until: datetime | None
    next_check: datetime


@dataclass(frozen=True, slots=True)
class Extend:
    """The copy lapses soon and deliveries are left: ask for `days` from now. Costs money."""

    days: int


@dataclass(frozen=True, slots=True)
class Upgrade:
    """It is under way in a slower tier than somebody wants by now: ask again, with the same days. Costs money."""

    tier: Tier
    days: int


@dataclass(frozen=True, slots=True)
class Lapse:
    """The copy is gone, or the thaw ended without one: say so, then look again at once."""


@dataclass(frozen=True, slots=True)
class Rest:
    """It lapsed and nobody waits: look again at `next_check`."""

    next_check: datetime


@dataclass(frozen=True, slots=True)
class Fail:
    """It lapsed too often: set it aside."""

    wrong: str


Step = Ask | Wait | Ready | Extend | Upgrade | Lapse | Rest | Fail


def next_step(thaw: Thaw, seen: ThawStatus, now: datetime, wish: Wish, pace: Pace) -> Step:
    """Return what to do about `thaw`, of which HEAD has just shown `seen`."""
    if seen.state is ThawState.READABLE:
        return Ready(None, now + FORGOTTEN)
    if seen.state is ThawState.THAWED:
        return _when_thawed(thaw, seen.until, now, wish, pace)
    if seen.state is ThawState.THAWING:
        return _when_thawing(thaw, now, wish, pace)
    return _when_frozen(thaw, now, wish)


def next_poll(thaw: Thaw, now: datetime, pace: Pace) -> datetime:
    """Return when to look at a thaw under way: not before it can be ready, if it was us who asked."""
    later = now + pace.interval
    if thaw.asked_at is None or thaw.tier is None:
        return later
    first = window(thaw.storage_class, thaw.tier).first if pace.first is None else pace.first
    return max(later, thaw.asked_at + first)


def _when_thawed(thaw: Thaw, until: datetime | None, now: datetime, wish: Wish, pace: Pace) -> Step:
    if until is None:
        return Ready(None, now + pace.interval)
    ending = until - now < MARGIN
    if ending and thaw.state is State.THAWED and wish.attended and thaw.extensions < MOST_EXTENSIONS:
        return Extend(wish.days)
    return Ready(until, max(now + pace.interval, until if ending else until - MARGIN))


def _when_thawing(thaw: Thaw, now: datetime, wish: Wish, pace: Pace) -> Step:
    slower = thaw.tier is Tier.BULK and wish.tier is Tier.STANDARD
    if slower and thaw.days is not None and not thaw.upgraded:
        return Upgrade(wish.tier, thaw.days)
    return Wait(next_poll(thaw, now, pace), overdue=not thaw.overdue and _takes_too_long(thaw, now))


def _takes_too_long(thaw: Thaw, now: datetime) -> bool:
    if thaw.asked_at is None or thaw.tier is None:
        return False
    return now - thaw.asked_at > 2 * window(thaw.storage_class, thaw.tier).within


def _when_frozen(thaw: Thaw, now: datetime, wish: Wish) -> Step:
    if thaw.state is State.FROZEN:
        return Ask(tier=wish.tier, days=wish.days, counted=True)
    if thaw.state is State.ASKED:
        return Ask(tier=wish.tier, days=wish.days, counted=False)
    if thaw.state is not State.LAPSED:
        return Lapse()
    if not wish.attended:
        return Rest(now + FORGOTTEN)
    if thaw.asks >= MOST_ASKS:
        return Fail(f"thawed {thaw.asks} times, and each time the copy lapsed before everything was delivered")
    return Ask(tier=wish.tier, days=wish.days, counted=True)
