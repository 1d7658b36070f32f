"""What S3 knows of an archived object beside its bytes: class, thaw, readable copy. The rules are S3's, strictly.

RestoreObject, in the order S3 is known to look: 404 and 405 are the caller's business, for they need the object; then

    not archived                            403 InvalidObjectState
    no days, or a tier that is none         400 MalformedXML, InvalidArgument
    Expedited from DEEP_ARCHIVE             403 InvalidTier
    too many in this second                 503 SlowDown
    under way, and not a faster tier of the same days    409 RestoreAlreadyInProgress
    a readable copy                         200, its days begin anew; only the request is billed
    no capacity for Expedited               503 GlacierExpeditedRetrievalNotAvailable
    otherwise                               202, billed
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from xml.etree import ElementTree as ET

from tests.doubles.clock import FakeClock
from tests.doubles.thawing import Thaw

ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}
DELAYS: Mapping[tuple[str, str], timedelta] = {
    ("GLACIER", "Expedited"): timedelta(minutes=5),
    ("GLACIER", "Standard"): timedelta(hours=5),
    ("GLACIER", "Bulk"): timedelta(hours=12),
    ("DEEP_ARCHIVE", "Standard"): timedelta(hours=12),
    ("DEEP_ARCHIVE", "Bulk"): timedelta(hours=48),
}
"""The longest each may take (User Guide, archive retrieval options)."""
RESTORES_A_SECOND = 1000
"""The account's quota (User Guide, restoring an archived object)."""

Name = tuple[str, str, str | None]
"""Bucket, key, version id; None where the bucket keeps no versions."""


class Billed(StrEnum):
    """What a RestoreObject costs."""

    NOTHING = "nothing"
    REQUEST = "request"
    THAW = "thaw"


class Refused(Exception):
    """S3 answers with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Answer `status` with a code and a sentence."""
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Wanted:
    """The body of a RestoreObject. Made by `read`."""

    days: int
    tier: str

    @classmethod
    def read(cls, body: bytes) -> Wanted:
        """Return what an XML body says. Raises `Refused`."""
        try:
            root = ET.fromstring(body)  # noqa: S314 - written by the program under test
        except ET.ParseError:
            raise Refused(400, "MalformedXML", "The XML you provided was not well-formed") from None
        said = {element.tag.rpartition("}")[2]: (element.text or "").strip() for element in root.iter()}
        if not said.get("Days", "").lstrip("-").isdigit():
            raise Refused(400, "MalformedXML", "The XML you provided did not validate against our published schema")
        return cls(int(said["Days"]), said.get("Tier") or "Standard")


@dataclass(slots=True)
class _Kept:
    storage_class: str
    thaw: Thaw | None = None
    tier: str = ""


class ColdStorage:
    """Classes and thaws by object. May be used from several threads."""

    def __init__(self, clock: FakeClock) -> None:
        """Let thaws take their hours on `clock`."""
        self.clock = clock
        self.restores_a_second = RESTORES_A_SECOND
        self.expedited_capacity = True
        self._kept: dict[Name, _Kept] = {}
        self._current: dict[tuple[str, str], str | None] = {}
        self._second: tuple[datetime, int] = (clock.now(), 0)
        self._lock = threading.Lock()

    def keep(self, name: Name, storage_class: str) -> None:
        """An object was stored: what was known under its name is known no more."""
        with self._lock:
            self._kept[name] = _Kept(storage_class)
            self._current[name[:2]] = name[2]

    def current(self, bucket: str, key: str) -> Name:
        """Return the name of the version stored last."""
        return bucket, key, self._current.get((bucket, key))

    def storage_class(self, name: Name) -> str | None:
        """Return an object's class, None for one that was stored past us."""
        kept = self._kept.get(name)
        return None if kept is None else kept.storage_class

    def readable(self, name: Name) -> bool:
        """Tell whether its bytes can be read now."""
        kept = self._kept.get(name)
        return kept is None or kept.storage_class not in ARCHIVED or self._has_copy(kept)

    def restore_header(self, name: Name) -> str | None:
        """Return x-amz-restore, None where S3 leaves it away: never thawed, or the copy has lapsed."""
        kept = self._kept.get(name)
        thaw = self._thaw(kept)
        if kept is None or thaw is None:
            return None
        if not self._has_copy(kept):
            return 'ongoing-request="true"'
        return f'ongoing-request="false", expiry-date="{format_datetime(thaw.until, usegmt=True)}"'

    def until(self, name: Name) -> datetime | None:
        """Return when a readable copy lapses, None where there is none."""
        kept = self._kept.get(name)
        thaw = self._thaw(kept)
        return thaw.until if kept is not None and thaw is not None and self._has_copy(kept) else None

    def under_way(self, name: Name) -> bool:
        """Tell whether a thaw is under way."""
        kept = self._kept.get(name)
        return kept is not None and self._thaw(kept) is not None and not self._has_copy(kept)

    def restore(self, name: Name, wanted: Wanted) -> tuple[int, Billed]:
        """Do what a RestoreObject asks for; return its status and what is billed. Raises `Refused`."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or kept.storage_class not in ARCHIVED:
                raise Refused(403, "InvalidObjectState", "Restore is not allowed for the object's current storage class")
            _check(wanted, kept.storage_class)
            self._count_in_second()
            return self._restored(kept, wanted)

    def _restored(self, kept: _Kept, wanted: Wanted) -> tuple[int, Billed]:
        now = self.clock.now()
        begun = Thaw(now + DELAYS[kept.storage_class, wanted.tier], wanted.days)
        under_way = self._thaw(kept)
        if under_way is not None and self._has_copy(kept):
            kept.thaw = Thaw(now, wanted.days)
            return 200, Billed.REQUEST
        if under_way is not None and not begun.is_faster_than(under_way):
            raise Refused(409, "RestoreAlreadyInProgress", "Object restore is already in progress")
        if wanted.tier == "Expedited" and not self.expedited_capacity:
            message = "Glacier expedited retrievals are currently not available, please try again later"
            raise Refused(503, "GlacierExpeditedRetrievalNotAvailable", message)
        kept.thaw, kept.tier = begun, wanted.tier
        return 202, Billed.THAW

    def _thaw(self, kept: _Kept | None) -> Thaw | None:
        """Return the thaw under way or done, None once its copy has lapsed."""
        thaw = None if kept is None else kept.thaw
        return None if thaw is None or self.clock.now() >= thaw.until else thaw

    def _has_copy(self, kept: _Kept) -> bool:
        thaw = self._thaw(kept)
        return thaw is not None and self.clock.now() >= thaw.ready

    def _count_in_second(self) -> None:
        second = self.clock.now().replace(microsecond=0)
        since, count = self._second
        self._second = (second, count + 1 if second == since else 1)
        if self._second[1] > self.restores_a_second:
            raise Refused(503, "SlowDown", "Please reduce your request rate")


def _check(wanted: Wanted, storage_class: str) -> None:
    if wanted.days < 1:
        raise Refused(400, "InvalidArgument", "Days must be at least 1")
    if wanted.tier not in {tier for _, tier in DELAYS}:
        raise Refused(400, "MalformedXML", "The XML you provided did not validate against our published schema")
    if (storage_class, wanted.tier) not in DELAYS:
        raise Refused(403, "InvalidTier", "Retrieval option is not supported by this storage class")
