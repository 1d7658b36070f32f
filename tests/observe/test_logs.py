"""Events become log lines: one each, readable or JSON, and no name can play tricks."""

from __future__ import annotations

import io
import json
import os
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from s3sync.events import Degraded, Event, Level
from s3sync.observe.journald import leads_to_journald
from s3sync.observe.lines import LogFormat
from s3sync.observe.logs import LogListener


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Event):
    """An event with fields of every kind."""

    name: ClassVar[str] = "stored"
    key: bytes = b"a"
    size: int = 3
    event: Level = Level.DEBUG
    took: timedelta = timedelta(seconds=1.5)
    moment: datetime = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
    path: Path = Path("/x")
    counts: tuple[tuple[str, int], ...] = (("a", 1),)
    detail: str | None = None


class Terminal(io.StringIO):
    """A stream somebody watches."""

    def isatty(self) -> bool:
        return True


def lines(*events: Event, level: Level = Level.DEBUG, stream: io.StringIO | None = None) -> list[str]:
    """Return the lines that `events` become."""
    target = stream or io.StringIO()
    listener = LogListener(level, stream=target)
    for event in events:
        listener(event)
    return target.getvalue().splitlines()


def test_a_service_logs_json() -> None:
    """Where nobody watches, each event is one JSON object with its name, level, time and fields."""
    (line,) = lines(Stored())
    entry = json.loads(line)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", entry.pop("timestamp"))
    assert {
        "event": "stored",
        "level": "info",
        "key": "a",
        "size": 3,
        "event_": "debug",
        "took": 1.5,
        "moment": "2026-03-10T09:30:00+00:00",
        "path": "/x",
        "counts": [["a", 1]],
        "detail": None,
    } == entry


def test_a_person_reads_columns() -> None:
    """On a terminal an event is one readable line."""
    (line,) = lines(Degraded(cause="no_leases", detail="here and there"), stream=Terminal())

    assert re.fullmatch(r"\S+Z  warning  degraded  cause=no_leases  detail=here and there", line)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_names_cannot_end_a_line(stream: type[io.StringIO]) -> None:
    """A name with a newline, an escape sequence or odd bytes stays on one line and colours nothing."""
    found = lines(Stored(key=b"a\nb\x1b[31m"), Stored(key=b"\xff"), Stored(detail="\x9b\u2028"), stream=stream())

    assert 3 == len(found)
    assert all(line.isprintable() for line in found)


@pytest.mark.parametrize(("level", "count"), [(Level.DEBUG, 2), (Level.INFO, 2), (Level.WARNING, 1), (Level.ERROR, 0)])
def test_quieter_events_are_left_out(level: Level, count: int) -> None:
    """Only events of the level asked for and louder become lines."""
    assert count == len(lines(Stored(), Degraded(cause="x", detail=""), level=level))


def test_a_reader_that_left_does_not_stop_the_work() -> None:
    """Events are taken without complaint when nobody can be told any more."""
    stream = io.StringIO()
    listener = LogListener(stream=stream)
    stream.close()

    listener(Stored())


@pytest.mark.parametrize(("event", "number"), [(Stored(), 6), (Degraded(cause="x", detail=""), 4)])
def test_journald_is_told_the_priority(event: Event, number: int, tmp_path: Path) -> None:
    """Where standard error is journald's, a line begins with its level; where it was led elsewhere, it does not."""
    with (tmp_path / "log").open("w+") as stream:
        found = os.fstat(stream.fileno())
        names = f"{found.st_dev}:{found.st_ino}"
        assert leads_to_journald(stream, names)
        assert not leads_to_journald(stream, f"{found.st_dev}:1")
        assert not leads_to_journald(stream, None)
        assert not leads_to_journald(io.StringIO(), names)
        LogListener(stream=stream, journald=True)(event)
        stream.seek(0)
        line = stream.read()

    assert line.startswith(f"<{number}>{{")
    assert event.name == json.loads(line[3:])["event"]


def test_the_former_programs_line() -> None:
    """Parsers that people have find the line they know, with the fields as its metadata."""
    stream = io.StringIO()
    LogListener(stream=stream, log_format=LogFormat.ORIGINAL, program="s3sync")(Stored(key=b"a\nb"))
    form = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\+0000\[INFO\]\[S3_SYNC\]: \[MSG\]stored \[METADATA\](\{.*\})\n"
    match = re.fullmatch(form, stream.getvalue())

    assert match is not None
    assert {"key": r"a\nb", "event_": "debug"}.items() <= json.loads(match[1]).items()


def test_lines_of_threads_do_not_mix() -> None:
    """Events of several threads at once come out as whole lines."""
    stream = io.StringIO()
    listener = LogListener(stream=stream)

    def speak() -> None:
        for _ in range(100):
            listener(Stored())

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 400 == len([json.loads(line) for line in stream.getvalue().splitlines()])
