"""Sizes, durations, times of day and amounts, as people write them and as they are shown again.

Sizes take IEC and SI units and are exact; durations need a unit, because a bare number has been seconds, minutes and
milliseconds in too many programs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

KIB, MIB, GIB, TIB = (1024**power for power in range(1, 5))

_UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def read_size(value: object) -> int:
    """Return the bytes meant by `1GiB`, `500MB`, `1.5 GiB` or a plain number. Raises `ValueError`."""
    match = _SIZE.fullmatch(str(value).strip().lower())
    if match is None or isinstance(value, bool):
        raise ValueError(value)
    exact = Decimal(match[1]) * _UNITS[match[2]]
    if exact != int(exact):
        raise ValueError(value)
    return int(exact)


def show_size(value: object) -> str:
    """Return a size as somebody would have written it: the largest unit that divides it."""
    size = int(str(value))
    for name, unit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


MOST_SECONDS = 100 * 366 * 86_400
"""The longest duration: a century can still be added to any date of ours."""


def read_duration(value: object) -> timedelta:
    """Return what `90s`, `15m`, `6h`, `2d` or `1h30m` means. Raises `ValueError`."""
    if isinstance(value, timedelta):
        return value
    text = str(value).strip().lower()
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(value)
    numbers = zip(match.groups(), _SECONDS.values(), strict=True)
    seconds = sum(int(number) * unit for number, unit in numbers if number)
    if seconds > MOST_SECONDS:
        raise ValueError(value)
    return timedelta(seconds=seconds)


def show_duration(value: object) -> str:
    """Return a duration as somebody would have written it."""
    if not isinstance(value, timedelta):
        raise TypeError(value)
    rest, parts = int(value.total_seconds()), ""
    for unit, seconds in _SECONDS.items():
        count, rest = divmod(rest, seconds)
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"


def whole_reader(low: int, high: int) -> Callable[[object], int]:
    """Return what reads whole numbers within bounds, both included, and raises `ValueError` at others."""

    def read(value: object) -> int:
        number = int(str(value))
        if isinstance(value, bool) or not low <= number <= high:
            raise ValueError(value)
        return number

    return read


def read_money(value: object) -> Decimal:
    """Return an amount that is not negative. Raises `ValueError` or `InvalidOperation`."""
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ValueError(value)
    return amount


def read_time_of_day(value: object) -> timedelta:
    """Return what `07:00` means, since midnight. Raises `ValueError`."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", str(value).strip())
    if match is None:
        raise ValueError(value)
    return timedelta(hours=int(match[1]), minutes=int(match[2]))


def show_time_of_day(value: object) -> str:
    """Return a time of day as it is written."""
    if not isinstance(value, timedelta):
        raise TypeError(value)
    hours, minutes = divmod(int(value.total_seconds()) // 60, 60)
    return f"{hours:02d}:{minutes:02d}"
