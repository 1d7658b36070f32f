"""What happens while members are brought back, as records for listeners."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from s3sync.events import Event, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFiled(Event):
    """Somebody asked for members."""

    name: ClassVar[str] = "request_filed"
    request: str
    user: str
    destination: str
    members: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished(Event):
    """Every part of a request is in a final state."""

    name: ClassVar[str] = "request_finished"
    request: str
    state: str
    delivered: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThawAsked(Event):
    """S3 was asked for a readable copy: this costs money. `answer` is what it said; `why` is ask, extend or upgrade."""

    name: ClassVar[str] = "thaw_asked"
    bucket: str
    archive: str
    bytes: int
    storage_class: str
    tier: str
    days: int
    why: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThawReady(Event):
    """An archive can be read, until `until` where that is a copy."""

    name: ClassVar[str] = "thaw_ready"
    bucket: str
    archive: str
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThawOverdue(Event):
    """A thaw takes more than twice the typical time of its tier; it goes on being looked at."""

    name: ClassVar[str] = "thaw_overdue"
    level: ClassVar[Level] = Level.WARNING
    bucket: str
    archive: str
    asked_at: datetime | None
    tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThawLapsed(Event):
    """The readable copy of an archive is gone with deliveries left."""

    name: ClassVar[str] = "thaw_lapsed"
    level: ClassVar[Level] = Level.WARNING
    bucket: str
    archive: str
    asks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDelivered(Event):
    """A member lies at its destination, its SHA-256 checked."""

    name: ClassVar[str] = "member_delivered"
    level: ClassVar[Level] = Level.DEBUG
    request: str
    bucket: str
    key: bytes
    bytes: int
    place: str
