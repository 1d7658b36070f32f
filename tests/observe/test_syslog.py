"""A copy of the log for a syslog server."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from s3sync.events import Degraded, Level, StepFailed
from s3sync.observe.syslog import MESSAGE_BYTES, SyslogListener

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Return a socket that syslog messages can be sent to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(30)
        yield listening


def listener(server: socket.socket, level: Level = Level.INFO) -> SyslogListener:
    """Return a listener that sends to `server`."""
    return SyslogListener("127.0.0.1", server.getsockname()[1], program="s3batch", level=level, now=lambda: NOON)


def test_an_event_is_one_message(server: socket.socket) -> None:
    """A message has the event's level, time and name in its header, and its fields behind it."""
    with listener(server) as tell:
        tell(Degraded(cause="no_leases", detail="a\nb"))

    header, _, body = server.recv(65536).decode().partition(" - ")
    assert re.fullmatch(r"<28>1 2026-03-10T12:00:00\.000000Z \S+ s3batch \d+ degraded", header)
    assert {"cause": "no_leases", "detail": r"a\nb"} == json.loads(body)


def test_a_message_is_never_too_long(server: socket.socket) -> None:
    """However long a field, the message stays within what every receiver takes."""
    with listener(server) as tell:
        tell(Degraded(cause="x", detail="y" * 10_000))

    assert MESSAGE_BYTES == len(server.recv(65536))


def test_quieter_events_are_not_sent(server: socket.socket) -> None:
    """Only what is loud enough is sent."""
    with listener(server, Level.ERROR) as tell:
        tell(Degraded(cause="x", detail=""))
        tell(StepFailed(step="s", subject="t", bucket="b", wrong="w", hint="", permanent=True))

    assert b" step_failed " in server.recv(65536)


def test_a_server_that_cannot_be_found_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the name leads nowhere, events are taken all the same."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with SyslogListener("nowhere.invalid", 514, program="s3batch", level=Level.INFO, now=lambda: NOON) as tell:
        tell(Degraded(cause="x", detail=""))
