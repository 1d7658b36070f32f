"""Times as text: RFC 3339 in UTC everywhere, with as many digits as are known."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from s3sync.errors import Usage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_BY_ITSELF = datetime(1970, 1, 1)  # noqa: DTZ001 - counting in UTC needs no zone, and a zone costs more than the rest
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)")


def rfc3339(moment: datetime) -> str:
    """Return an aware time as `2026-11-21T10:48:55.123456Z`: always six digits, so that text sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339_ns(nanoseconds: int) -> str:
    """Return nanoseconds since the epoch as text, the fraction only where there is one."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    whole = _second(seconds)
    return f"{whole}.{fraction:09d}Z" if fraction else f"{whole}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """Return a whole second since the epoch as text; neighbours in a manifest often share theirs."""
    return (_EPOCH_BY_ITSELF + timedelta(seconds=seconds)).isoformat()


def parse_ns(text: str) -> int:
    """Return the nanoseconds since the epoch of a time written by `rfc3339_ns` or `rfc3339`. Raises `Usage`."""
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        whole = datetime.fromisoformat(match[1]) - _EPOCH_BY_ITSELF
    except ValueError as error:
        raise Usage(repr(text), "is not an RFC 3339 time in UTC", "Write it like 2026-11-21T10:48:55Z") from error
    return (whole.days * 86_400 + whole.seconds) * 10**9 + int((match[2] or "").ljust(9, "0"))


def parse_utc(text: str) -> datetime:
    """Return the aware time of an RFC 3339 text in UTC, to the microsecond. Raises `Usage`."""
    return from_ns(parse_ns(text))


def from_ns(nanoseconds: int) -> datetime:
    """Return nanoseconds since the epoch as an aware time, to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def to_ns(moment: datetime) -> int:
    """Return an aware time as nanoseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
