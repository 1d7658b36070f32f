"""Events as log lines on standard error: one line an event, its name and its fields.

JSON where nobody watches (a service, a pipe), readable columns on a terminal, or what a setting says. Lines for journald begin
with their priority. A line is written whole or, where the reader has
gone, not at all: losing a log line must never stop the work. Names in fields come from other people's files and are escaped,
so that no name can end a line or start a colour.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import fields
from datetime import date, datetime, timedelta
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from s3sync.events import Event, Level
from s3sync.keys import display, printable
from s3sync.observe.journald import with_priority
from s3sync.observe.lines import LogFormat, original_line

if TYPE_CHECKING:
    from structlog.typing import Processor

_ORDER = tuple(Level)
_OURS = {"event", "level", "timestamp"}


def loud_enough(event: Event, least: Level) -> bool:
    """Tell whether `event` is at least as loud as `least`."""
    return _ORDER.index(event.level) >= _ORDER.index(least)


class LogListener:
    """Writes events to a stream, from any thread."""

    def __init__(
        self,
        level: Level = Level.INFO,
        *,
        stream: TextIO | None = None,
        log_format: LogFormat = LogFormat.AUTO,
        program: str = "",
        journald: bool = False,
    ) -> None:
        """Write events of `level` and louder to `stream` (standard error), which `journald` reads or not.

        `program` is who speaks, which only the original's format says.
        """
        self.level = level
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._journald = journald
        if log_format is LogFormat.AUTO:
            log_format = LogFormat.TEXT if self._stream.isatty() else LogFormat.JSON
        self._logger = structlog.wrap_logger(_Line(self._write), processors=_processors(log_format, program))

    def __call__(self, event: Event) -> None:
        """Write one line about `event`."""
        if loud_enough(event, self.level):
            getattr(self._logger, event.level.value)(event.name, **fields_of(event))

    def _write(self, level: Level, line: str) -> None:
        with self._lock:
            try:
                self._stream.write((with_priority(level, line) if self._journald else line) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # the reader has gone, or the stream was closed while the program ends
                return


class _Line:
    """What structlog hands the finished line to, whatever the level."""

    def __init__(self, write: Callable[[Level, str], None]) -> None:
        self.debug, self.info, self.warning, self.error = (partial(write, level) for level in Level)


def _processors(log_format: LogFormat, program: str) -> list[Processor]:
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    last: dict[LogFormat, Processor] = {
        LogFormat.JSON: structlog.processors.JSONRenderer(ensure_ascii=True),
        LogFormat.TEXT: _columns,
        LogFormat.ORIGINAL: partial(_original, program),
    }
    return [structlog.processors.add_log_level, stamp, last[log_format]]


def _original(program: str, _logger: object, method: str, entry: MutableMapping[str, Any]) -> str:
    moment, name = (str(entry.pop(key)) for key in ("timestamp", "event"))
    del entry["level"]
    return original_line(datetime.fromisoformat(moment), Level(method), program, name, entry)


def _columns(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> str:
    moment, level, name = (str(entry.pop(key)) for key in ("timestamp", "level", "event"))
    rest = "  ".join(f"{key}={value}" for key, value in entry.items())
    return printable(f"{moment}  {level:<7}  {name}  {rest}".rstrip())


def fields_of(event: Event) -> dict[str, object]:
    """Return the fields of an event as plain values; one named like a part of every line gets an underscore behind it."""
    names = [field.name for field in fields(event)]
    return {f"{name}_" if name in _OURS else name: plain(getattr(event, name)) for name in names}


def plain(value: object) -> object:
    """Return `value` as what JSON can say, its text escaped."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return printable(display(value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return printable(str(value))
