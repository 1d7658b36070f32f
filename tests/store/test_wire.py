"""Replies over a connection that stays open."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from s3sync.store import wire
from s3sync.store.wire import Asked, Reply, Wires

ORIGIN = "http://nowhere"
DONE = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "e"\r\n\r\n'


class Line:
    """Connections whose other ends the test holds."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.given: list[socket.socket] = []
        self.says = DONE
        self.later = b""
        self.hangs_up = False

    def dial(self, origin: str) -> socket.socket | None:
        """Open another connection, on which something is said already."""
        ours, theirs = socket.socketpair()
        theirs.sendall(self.says)
        if self.later:
            threading.Timer(0.05, theirs.sendall, (self.later,)).start()
        if self.hangs_up:
            theirs.shutdown(socket.SHUT_WR)
        self.given.append(ours)
        self.ends.append(theirs)
        return ours


@pytest.fixture
def line() -> Iterator[Line]:
    """A line, whose ends are closed afterwards."""
    made = Line()
    yield made
    for end in (*made.ends, *made.given):
        end.close()


def one(wires: Wires, request: bytes, *, bodyless: bool) -> Reply | None:
    """Ask one thing and return its reply."""
    return next(iter(wires.exchange(ORIGIN, Asked(request, bodyless))), None)


def test_a_connection_is_used_again(line: Line) -> None:
    """What was answered plainly leaves the connection open for the next."""
    wires = Wires(line.dial)

    first = one(wires, b"one", bodyless=False)
    line.ends[0].sendall(DONE)
    second = one(wires, b"two", bodyless=False)

    assert (200, {"content-length": "0", "etag": '"e"'}, b"") == first == second
    assert b"onetwo" == line.ends[0].recv(100)
    assert 1 == len(line.given)
    wires.close()


def test_an_idle_connection_is_not_used_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may be closing it at this very moment."""
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.0)
    wires = Wires(line.dial)

    one(wires, b"one", bodyless=False)
    one(wires, b"two", bodyless=False)

    assert 2 == len(line.given)
    assert -1 == line.given[0].fileno()
    wires.close()


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nab", b"ab"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore than was asked for", b""),
    ],
)
def test_what_is_not_plain_ends_the_connection(line: Line, said: bytes, body: bytes | None) -> None:
    """Where its end cannot be told, or somebody says so, nothing more is asked over it."""
    line.says = said
    wires = Wires(line.dial)

    reply = one(wires, b"one", bodyless=False)

    assert reply is not None
    assert body == reply.body
    assert -1 == line.given[0].fileno()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b'HTTP/1.1 200 OK\r\nETag: "cut',
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "a"\r\nETag: "b"\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nETag: "a"\r\n folded\r\n\r\n',
        b"HTTP/1.1 all is well\r\n\r\n",
        b"220 mail.example\r\n\r\n",
        b"x" * (1 << 17),
    ],
)
def test_what_is_no_whole_reply_is_none(line: Line, said: bytes) -> None:
    """Nothing is made of it."""
    line.says, line.hangs_up = said, True

    assert one(Wires(line.dial), b"one", bodyless=False) is None
    assert -1 == line.given[0].fileno()


def test_what_announces_a_reply_is_passed_over(line: Line) -> None:
    """100 Continue comes before the reply, and is none."""
    line.says = b"HTTP/1.1 100 Continue\r\n\r\n" + DONE
    wires = Wires(line.dial)

    reply = one(wires, b"one", bodyless=False)

    assert reply is not None
    assert 200 == reply.status
    wires.close()


def test_a_reply_to_head_has_no_body_whatever_length_it_says(line: Line) -> None:
    """The length is the object's."""
    line.says = b"HTTP/1.1 200 OK\r\nContent-Length: 123456789\r\n\r\n"
    wires = Wires(line.dial)

    reply = one(wires, b"one", bodyless=True)

    assert (200, {"content-length": "123456789"}, b"") == reply
    assert -1 != line.given[0].fileno()
    wires.close()


def test_without_a_connection_there_is_no_reply() -> None:
    """Whoever asked goes another way."""
    assert one(Wires(lambda _origin: None), b"one", bodyless=False) is None


@pytest.mark.parametrize("at_once", [True, False])
def test_two_are_asked_in_one_breath(line: Line, *, at_once: bool) -> None:
    """Whether their replies come together or one by one, and the connection stays."""
    shown = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
    line.says = DONE + shown if at_once else DONE
    wires = Wires(line.dial)
    if not at_once:
        line.later = shown

    replies = wires.exchange(ORIGIN, Asked(b"one", bodyless=False), Asked(b"two", bodyless=True))

    assert [{"content-length": "0", "etag": '"e"'}, {"content-length": "7"}] == [reply.headers for reply in replies]
    assert b"onetwo" == line.ends[0].recv(100)
    assert -1 != line.given[0].fileno()
    wires.close()


@pytest.mark.parametrize("said", [DONE, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"])
def test_a_second_reply_that_does_not_come_is_not_waited_for(line: Line, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is as good, and the connection is given up."""
    monkeypatch.setattr(wire, "SECOND_REPLY_SECONDS", 0.01)
    line.says = said

    replies = Wires(line.dial).exchange(ORIGIN, Asked(b"one", bodyless=False), Asked(b"two", bodyless=True))

    assert [200] == [reply.status for reply in replies]
    assert -1 == line.given[0].fileno()
