"""Moments as people type them: `2026-11-21`, `2026-11-21T10:48:55Z`, or how long ago: `7d`, `12h`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from s3sync.errors import Usage
from s3sync.keys import printable
from s3sync.quantities import read_duration
from s3sync.times import parse_utc

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


def first_moment(text: str, now: datetime) -> datetime:
    """Return the earliest moment `text` can mean: of a date, its midnight (UTC). Raises `Usage`."""
    return _moment(text, now, of_a_date=timedelta(0))


def last_moment(text: str, now: datetime) -> datetime:
    """Return the latest moment `text` can mean: of a date, its last microsecond (UTC). Raises `Usage`."""
    return _moment(text, now, of_a_date=_DAY - _TICK)


def _moment(text: str, now: datetime, of_a_date: timedelta) -> datetime:
    try:
        if _DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + of_a_date
        if "T" in text:
            return parse_utc(text)
        return now - read_duration(text)
    except (ValueError, OverflowError, Usage) as error:
        hint = "Write 2026-11-21, 2026-11-21T10:48:55Z, or how long ago: 7d, 12h"
        raise Usage(printable(text), "is no moment", hint) from error
