"""Restore requests: somebody's wish to have members back, a row each, with one part for every member.

    REQUESTED                             ──accepted──▶ THAWING
    THAWING                               ──thawed──▶ THAWED
    THAWED                                ──not yet──▶ THAWING
    THAWING, THAWED, EXPIRED              ──delivered──▶ DELIVERED
    THAWING, THAWED                       ──lapsed──▶ EXPIRED
    EXPIRED                               ──asked again──▶ THAWING
    REQUESTED, THAWING, THAWED, EXPIRED   ──refused──▶ FAILED
    REQUESTED, THAWING, THAWED, EXPIRED   ──cancelled──▶ CANCELLED

Parts carry the state; a request shows its least advanced part. Parts move with their archive's thaw until they are THAWED, and
one by one from there, so that one that cannot be delivered holds back no other. The last bytes may arrive just after somebody
else saw the copy lapse, hence three ways to DELIVERED. The final three are for good: whoever wants it after all asks anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from s3batch.restore import lifecycle
from s3batch.restore.destination import Destination
from s3sync.store.contract import Tier


class State(StrEnum):
    """Where a part is, and by its least advanced part a request."""

    REQUESTED = "requested"
    """Filed; its archive has not been looked at yet."""
    THAWING = "thawing"
    """Its archive is being made readable."""
    THAWED = "thawed"
    """It can be fetched now."""
    DELIVERED = "delivered"
    EXPIRED = "expired"
    """Its archive's readable copy lapsed before it was fetched."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Tell whether nothing more will happen to it."""
        return self in {State.DELIVERED, State.FAILED, State.CANCELLED}


class Event(StrEnum):
    """What can happen to a part."""

    ACCEPTED = "accepted"
    THAWED = "thawed"
    NOT_YET = "not yet"
    """S3 called the archive readable and refused the read as frozen."""
    DELIVERED = "delivered"
    LAPSED = "lapsed"
    ASKED_AGAIN = "asked again"
    REFUSED = "refused"
    CANCELLED = "cancelled"


_GIVEN_UP = {Event.REFUSED: State.FAILED, Event.CANCELLED: State.CANCELLED}

TRANSITIONS: Mapping[State, Mapping[Event, State]] = MappingProxyType(
    {
        State.REQUESTED: {Event.ACCEPTED: State.THAWING, **_GIVEN_UP},
        State.THAWING: {
            Event.THAWED: State.THAWED,
            Event.LAPSED: State.EXPIRED,
            Event.DELIVERED: State.DELIVERED,
            **_GIVEN_UP,
        },
        State.THAWED: {
            Event.DELIVERED: State.DELIVERED,
            Event.LAPSED: State.EXPIRED,
            Event.NOT_YET: State.THAWING,
            **_GIVEN_UP,
        },
        State.EXPIRED: {Event.ASKED_AGAIN: State.THAWING, Event.DELIVERED: State.DELIVERED, **_GIVEN_UP},
        State.DELIVERED: {},
        State.FAILED: {},
        State.CANCELLED: {},
    }
)

LEAST_ADVANCED_FIRST = (
    State.REQUESTED,
    State.EXPIRED,
    State.THAWING,
    State.THAWED,
    State.FAILED,
    State.CANCELLED,
    State.DELIVERED,
)
"""How far along a state is; of the final ones, what needs a look comes first."""


def apply(state: State, event: Event) -> State:
    """Return the state `event` leads to. Raises `OutOfPlace`."""
    return lifecycle.applied(TRANSITIONS, state, event)


class Deliverer(StrEnum):
    """Who writes the members to their destination."""

    AGENT = "agent"
    """Whoever advances requests: to S3, and below the agent's restore folder."""
    REQUESTER = "requester"
    """Only a command of the user who asked: an agent must not write with its rights where others tell it to."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks."""

    user: str
    uid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request and how far its parts are."""

    id: str
    created: datetime
    requester: Requester
    destination: Destination
    deliverer: Deliverer
    tier: Tier
    days: int
    overwrite: bool
    note: str
    members: int
    bytes: int
    counts: Mapping[State, int]
    """How many parts are in each state; states without a part are left out."""

    @property
    def state(self) -> State:
        """The state of its least advanced part."""
        return min(self.counts, key=LEAST_ADVANCED_FIRST.index)

    @property
    def finished(self) -> bool:
        """Tell whether every part is in a final state."""
        return all(state.final for state in self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One member wanted by a request: the columns are explained in schema.py."""

    id: int
    request: str
    thaw: int
    bucket: str
    archive: str
    """The archive's object key."""
    key: bytes
    place: bytes
    offset: int
    size: int
    sha256: str
    mtime_ns: int
    state: State
    error: str | None
    mismatch: bool
    delivered: str | None
    attempts: int
    upload_id: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Thawed parts of one archive that a request wants and that may be delivered now."""

    request: str
    thaw: int
