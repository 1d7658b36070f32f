"""The kinds of values settings have: how each is written, what it becomes, how it is shown again.

A kind reads what a person wrote (text from a variable or a flag, or what TOML made of it) and says in one phrase what it
would have accepted. What it shows, it reads back. The grammar of numbers is in `quantities`, that of addresses in `addresses`.
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

from pydantic import BeforeValidator

from s3sync.addresses import (
    Address,
    read_address,
    read_channels,
    read_fingerprint,
    read_host,
    read_url,
    read_urls,
    show_channels,
    show_url,
    show_urls,
)
from s3sync.events import Level
from s3sync.observe.lines import LogFormat, SyslogProtocol
from s3sync.quantities import (
    read_duration,
    read_money,
    read_size,
    read_time_of_day,
    show_duration,
    show_size,
    show_time_of_day,
    whole_reader,
)
from s3sync.store.contract import StorageClass

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
    return Kind(f"a whole number from {low} to {high}", whole_reader(low, high))


SIZE = Kind("a size such as 1GiB, 500MB or 1048576", read_size, show_size)
DURATION = Kind("a duration such as 90s, 15m, 6h or 2d", read_duration, show_duration)
MONEY = Kind("an amount in USD such as 10 or 2.50", read_money)
FLAG = Kind("true or false", _flag, lambda value: str(value).lower())
FOLDER = Kind("an absolute path", _folder)
FILES = Kind("absolute paths, separated by commas", _files, show_words)
BUCKET = Kind("a bucket's name", _bucket)
BUCKETS = Kind("names of buckets, separated by commas", _buckets, show_words)
PATTERNS = Kind("patterns for file names such as *.upload, separated by commas", _patterns, show_words)
OWNER = Kind("auto, any, or the 12 digits of an AWS account", _owner)
HOST = Kind("a host's name or address", read_host)
ADDRESS = Kind("a host's address and a port, such as 127.0.0.1:9477", read_address)
URL = Kind("a URL such as https://search.example.org:9200", read_url, show_url, secret=True)
URLS = Kind("URLs such as https://search.example.org:9200, separated by commas", read_urls, show_urls, secret=True)
CHANNELS = Kind(
    "ARNs of SNS topics, URLs of webhooks or apprise's addresses, separated by commas",
    read_channels,
    show_channels,
    secret=True,
)
TIME_OF_DAY = Kind("a time of day such as 07:00", read_time_of_day, show_time_of_day)
FINGERPRINT = Kind("a certificate's SHA-256 fingerprint: 64 hexadecimal digits, with or without colons", read_fingerprint)
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
