"""A copy of the log for a syslog server."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from s3sync.events import Degraded, Event, Level, StepFailed
from s3sync.observe.syslog import SyslogAway, SyslogBack, SyslogListener
from s3sync.observe.wires import UDP_BYTES, Connection, Datagrams, Wire

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Return a socket that syslog messages can be sent to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(30)
        yield listening


def listener(server: socket.socket, level: Level = Level.INFO, told: list[Event] | None = None) -> SyslogListener:
    """Return a listener that sends to `server`."""
    return _by(Datagrams("127.0.0.1", server.getsockname()[1]), level, told)


def _by(wire: Wire, level: Level = Level.INFO, told: list[Event] | None = None, **options: Any) -> SyslogListener:  # noqa: ANN401
    told = [] if told is None else told
    return SyslogListener(wire, program="s3batch", level=level, now=lambda: NOON, listener=told.append, **options)


class Stuck:
    """A wire that sends nothing before it is let."""

    longest_bytes = 2048

    def __init__(self) -> None:
        self.let = threading.Event()
        self.begun = threading.Event()
        self.sent: list[bytes] = []

    def send(self, message: bytes) -> None:
        self.begun.set()
        assert self.let.wait(30)
        self.sent.append(message)

    def close(self) -> None:
        pass


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

    assert UDP_BYTES == len(server.recv(65536))


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
    told: list[Event] = []
    with _by(Datagrams("nowhere.invalid", 514), told=told) as tell:
        tell(Degraded(cause="x", detail=""))
        tell(Degraded(cause="y", detail=""))

    assert ["syslog_away", "syslog_away"] == [event.name for event in told]
    assert "2 messages were not sent" in str(told[-1])


def test_a_full_queue_never_keeps_anybody_waiting() -> None:
    """What does not fit is dropped at once and counted, and the count is in the next message and in our own log."""
    wire, told = Stuck(), list[Event]()
    with _by(wire, told=told, queue_length=5) as tell:
        tell(Degraded(cause="first", detail=""))
        assert wire.begun.wait(30)
        began = time.monotonic()
        for number in range(1000):
            tell(Degraded(cause=str(number), detail=""))
        took = time.monotonic() - began
        wire.let.set()

    bodies = [json.loads(message.decode().partition(" - ")[2]) for message in wire.sent]
    assert took < 5
    assert ["first", "0", "1", "2", "3", "4"] == [body["cause"] for body in bodies]
    assert [995] == [body["lost_before"] for body in bodies if "lost_before" in body]
    assert [SyslogBack(lost=995)] == told


def test_a_server_that_takes_nothing_lets_us_go() -> None:
    """One that accepts and never reads holds up neither the work nor, for more than a few seconds, the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        tell = _by(Connection("127.0.0.1", server.getsockname()[1]), keeps=True)
        for _ in range(5000):
            tell(Degraded(cause="x", detail="y" * 7000))
        began = time.monotonic()
        tell.close()

    assert time.monotonic() - began < 10


def test_a_connection_that_was_closed_is_made_again() -> None:
    """A message is not written into a connection that the server has given up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        wire = Connection("127.0.0.1", server.getsockname()[1])
        wire.send(b"one")
        first, _ = server.accept()
        assert b"3 one" == first.recv(100)
        first.close()
        time.sleep(0.05)
        wire.send(b"two")
        second, _ = server.accept()
        second.settimeout(30)
        with second:
            assert b"3 two" == second.recv(100)
        wire.close()


def test_what_could_not_be_sent_before_the_end_is_told() -> None:
    """A copy that never got through is no secret."""
    told: list[Event] = []
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with _by(Connection("127.0.0.1", nobody.getsockname()[1]), told=told, keeps=True) as tell:
            for _ in range(3):
                tell(Degraded(cause="x", detail=""))

    last = told[-1]
    assert isinstance(last, SyslogAway)
    assert "3 messages were not sent" in last.wrong
