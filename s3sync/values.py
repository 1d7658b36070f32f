"""The kinds of values settings have: how each is written, what it becomes, how it is shown again.

A kind reads what a person wrote (text from a variable or a flag, or what TOML made of it) and says in one phrase what it
would have accepted. What it shows, it reads back. Sizes take IEC and SI units and are exact; durations need a unit, because a
bare number has been seconds, minutes and milliseconds in too many programs.
"""

from __future__ import annotations

import fnmatch
import os.path
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from s3sync.events import Level
from s3sync.observe.lines import LogFormat, SyslogProtocol
from s3sync.store.contract import StorageClass

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
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: `read` raises `ValueError` on anything but what `wanted` describes."""

    wanted: str
    read: Callable[[object], object]
    show: Callable[[object], str] = str
    secret: bool = False
    """It may hold a password."""

    def as_seen(self, raw: object) -> str:
        """Return what somebody wrote, right or wrong, fit to be printed: what may hold a password is not shown."""
        text = show_words(raw)
        return "(hidden)" if self.secret and re.search(r"@|^(?!https?:|arn:)\w+://", text) else text

    def validator(self) -> BeforeValidator:
        """Return `read` as pydantic wants it, refusing with the phrase."""

        def checked(value: object) -> object:
            try:
                return self.read(value)
            except (ValueError, TypeError, KeyError, InvalidOperation):
                raise ValueError(self.wanted) from None

        return BeforeValidator(checked)


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


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = int(str(value))
        if isinstance(value, bool) or not low <= number <= high:
            raise ValueError(value)
        return number

    return read


def _money(value: object) -> Decimal:
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ValueError(value)
    return amount


def _flag(value: object) -> bool:
    return _FLAGS[str(value).strip().lower()]


def _folder(value: object) -> Path:
    text = os.fspath(value) if isinstance(value, Path) else value
    if not isinstance(text, str) or not text.startswith("/") or "\0" in text:
        raise ValueError(value)
    return Path(os.path.normpath(text))


def _files(value: object) -> tuple[Path, ...]:
    return tuple(_folder(word) for word in _words(value))


def _words(value: object) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError(value)
    return tuple(dict.fromkeys(stripped for word in words if (stripped := word.strip())))


def _bucket(value: object) -> str:
    if not isinstance(value, str) or not _BUCKET.fullmatch(value):
        raise ValueError(value)
    return value


def _buckets(value: object) -> tuple[str, ...]:
    return tuple(_bucket(word) for word in _words(value))


def _patterns(value: object) -> tuple[str, ...]:
    patterns = _words(value)
    for pattern in patterns:
        re.compile(fnmatch.translate(pattern))
        if "/" in pattern:
            raise ValueError(value)
    return patterns


def _owner(value: object) -> str:
    text = value if isinstance(value, str) else ""
    if not re.fullmatch(r"auto|any|[0-9]{12}", text):
        raise ValueError(value)
    return text


def _host(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", value):
        raise ValueError(value)
    return value


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _address(value: object) -> Address:
    host, colon, port = str(value).strip().rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if isinstance(value, bool) or not colon or not bare or (":" in bare) != (host != bare):
        raise ValueError(value)
    return Address(_host(bare), _whole(1, 65535)(port))


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or not value.isprintable():
        raise ValueError(value)
    if parts.port == 0:
        raise ValueError(value)
    return value.rstrip("/")


def show_url(value: object) -> str:
    """Return a URL without the name and password it may hold."""
    parts = urlsplit(str(value))
    secret, at, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"***@{place}").geturl() if at and secret else str(value)


def _channels(value: object) -> tuple[str, ...]:
    # A comma may be part of an address; only one before another address parts them.
    words = re.split(r",\s*(?=arn:|[a-z0-9]+://)", value.strip()) if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not words:
        raise TypeError(value)
    if not all(isinstance(word, str) and re.fullmatch(r"(arn:aws[a-z-]*:sns:\S+|[a-z0-9]+://\S+)", word) for word in words):
        raise ValueError(value)
    return tuple(dict.fromkeys(words))


def show_channels(value: object) -> str:
    """Return channels without what may be a secret in them: of an address only its kind, and of a webhook its host."""
    return ",".join(_shown_channel(each) for each in value) if isinstance(value, tuple | list) else _shown_channel(str(value))


def _shown_channel(address: str) -> str:
    if address.startswith("arn:"):
        return address
    kind, _, rest = address.partition("://")
    host = rest.rpartition("@")[2].partition("/")[0] if kind in {"http", "https"} else ""
    return f"{kind}://{host}/***" if host else f"{kind}://***"


def _time_of_day(value: object) -> timedelta:
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


def _urls(value: object) -> tuple[str, ...]:
    # A comma may be part of a password; only one before another URL parts them.
    words = re.split(r",\s*(?=https?://)", value.strip()) if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not words:
        raise TypeError(value)
    return tuple(_url(word) for word in words)


def show_urls(value: object) -> str:
    """Return URLs without the names and passwords they may hold."""
    return ",".join(show_url(url) for url in value) if isinstance(value, tuple | list) else show_url(value)


def _fingerprint(value: object) -> str:
    digits = str(value).replace(":", "").strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ValueError(value)
    return digits


def _level(value: object) -> Level:
    name = str(value).strip().lower()
    return Level({"warn": "warning", "critical": "error"}.get(name, name))


def show_words(value: object) -> str:
    """Return a list as it is written in a variable."""
    return ",".join(str(word) for word in value) if isinstance(value, tuple | list) else str(value)


def choice(names: type[StrEnum]) -> Kind:
    """Return the kind whose values are the members of an enumeration, case ignored."""
    members = {member.value.lower(): member for member in names}
    return Kind("one of " + ", ".join(names), lambda value: members[str(value).strip().lower()])


def choices(names: type[StrEnum]) -> Kind:
    """Return the kind whose values are one or more members of an enumeration, kept in the enumeration's order."""

    def read(value: object) -> tuple[StrEnum, ...]:
        wanted = {names(word.lower()) for word in _words(value)}
        if not wanted:
            raise ValueError(value)
        return tuple(member for member in names if member in wanted)

    return Kind("one or more of " + ", ".join(names) + ", separated by commas", read, show_words)


def whole(low: int, high: int) -> Kind:
    """Return the kind of whole numbers within bounds, both included."""
    return Kind(f"a whole number from {low} to {high}", _whole(low, high))


SIZE = Kind("a size such as 1GiB, 500MB or 1048576", read_size, show_size)
DURATION = Kind("a duration such as 90s, 15m, 6h or 2d", read_duration, show_duration)
MONEY = Kind("an amount in USD such as 10 or 2.50", _money)
FLAG = Kind("true or false", _flag, lambda value: str(value).lower())
FOLDER = Kind("an absolute path", _folder)
FILES = Kind("absolute paths, separated by commas", _files, show_words)
BUCKET = Kind("a bucket's name", _bucket)
BUCKETS = Kind("names of buckets, separated by commas", _buckets, show_words)
PATTERNS = Kind("patterns for file names such as *.upload, separated by commas", _patterns, show_words)
OWNER = Kind("auto, any, or the 12 digits of an AWS account", _owner)
HOST = Kind("a host's name or address", _host)
ADDRESS = Kind("a host's address and a port, such as 127.0.0.1:9477", _address)
URL = Kind("a URL such as https://search.example.org:9200", _url, show_url, secret=True)
URLS = Kind("URLs such as https://search.example.org:9200, separated by commas", _urls, show_urls, secret=True)
CHANNELS = Kind(
    "ARNs of SNS topics, URLs of webhooks or addresses of apprise, separated by commas", _channels, show_channels, secret=True
)
TIME_OF_DAY = Kind("a time of day such as 07:00", _time_of_day, show_time_of_day)
FINGERPRINT = Kind("a certificate's SHA-256 fingerprint: 64 hexadecimal digits, with or without colons", _fingerprint)
LEVEL = Kind("one of debug, info, warning, error", _level)
STORAGE_CLASS = choice(StorageClass)
LOG_FORMAT = choice(LogFormat)
SYSLOG_PROTOCOL = choice(SyslogProtocol)
THREADS = whole(1, 256)
PORT = whole(1, 65535)


def kind_of(annotation: object, metadata: Sequence[object]) -> Kind:
    """Return the kind a field carries, also where it may be unset (`Folder | None`)."""
    inner = [part for option in get_args(annotation) for part in getattr(option, "__metadata__", ())]
    return next(part for part in (*metadata, *inner) if isinstance(part, Kind))


Size = Annotated[int, SIZE.validator(), SIZE]
Duration = Annotated[timedelta, DURATION.validator(), DURATION]
Money = Annotated[Decimal, MONEY.validator(), MONEY]
Flag = Annotated[bool, FLAG.validator(), FLAG]
Folder = Annotated[Path, FOLDER.validator(), FOLDER]
Files = Annotated[tuple[Path, ...], FILES.validator(), FILES]
Bucket = Annotated[str, BUCKET.validator(), BUCKET]
Buckets = Annotated[tuple[str, ...], BUCKETS.validator(), BUCKETS]
Patterns = Annotated[tuple[str, ...], PATTERNS.validator(), PATTERNS]
Owner = Annotated[str, OWNER.validator(), OWNER]
Host = Annotated[str, HOST.validator(), HOST]
Listen = Annotated[Address, ADDRESS.validator(), ADDRESS]
Url = Annotated[str, URL.validator(), URL]
Urls = Annotated[tuple[str, ...], URLS.validator(), URLS]
Channels = Annotated[tuple[str, ...], CHANNELS.validator(), CHANNELS]
TimeOfDay = Annotated[timedelta, TIME_OF_DAY.validator(), TIME_OF_DAY]
Fingerprint = Annotated[str, FINGERPRINT.validator(), FINGERPRINT]
LogLevel = Annotated[Level, LEVEL.validator(), LEVEL]
Format = Annotated[LogFormat, LOG_FORMAT.validator(), LOG_FORMAT]
Protocol = Annotated[SyslogProtocol, SYSLOG_PROTOCOL.validator(), SYSLOG_PROTOCOL]
Class = Annotated[StorageClass, STORAGE_CLASS.validator(), STORAGE_CLASS]
Threads = Annotated[int, THREADS.validator(), THREADS]
Port = Annotated[int, PORT.validator(), PORT]
