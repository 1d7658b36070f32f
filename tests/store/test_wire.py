"""Replies over a connection that stays open."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from s3sync.store import wire
from s3sync.store.wire import Wires

ORIGIN = "http://nowhere"
DONE = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "e"\r\n\r\n'


class Line:
    """Connections whose other ends the test holds."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.given: list[socket.socket] = []
        self.says = DONE
        self.hangs_up = False

    def dial(self, origin: str) -> socket.socket | None:
        """Open another connection, on which something is said already."""
        ours, theirs = socket.socketpair()
        theirs.sendall(self.says)
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


def test_a_connection_is_used_again(line: Line) -> None:
    """What was answered plainly leaves the connection open for the next."""
    wires = Wires(line.dial)

    first = wires.exchange(ORIGIN, b"one", bodyless=False)
    line.ends[0].sendall(DONE)
    second = wires.exchange(ORIGIN, b"two", bodyless=False)

    assert (200, {"content-length": "0", "etag": '"e"'}, b"") == first == second
    assert b"onetwo" == line.ends[0].recv(100)
    assert 1 == len(line.given)
    wires.close()


def test_an_idle_connection_is_not_used_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may be closing it at this very moment."""
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.0)
    wires = Wires(line.dial)

    wires.exchange(ORIGIN, b"one", bodyless=False)
    wires.exchange(ORIGIN, b"two", bodyless=False)

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

    reply = wires.exchange(ORIGIN, b"one", bodyless=False)

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

    assert Wires(line.dial).exchange(ORIGIN, b"one", bodyless=False) is None
    assert -1 == line.given[0].fileno()


def test_what_announces_a_reply_is_passed_over(line: Line) -> None:
    """100 Continue comes before the reply, and is none."""
    line.says = b"HTTP/1.1 100 Continue\r\n\r\n" + DONE
    wires = Wires(line.dial)

    reply = wires.exchange(ORIGIN, b"one", bodyless=False)

    assert reply is not None
    assert 200 == reply.status
    wires.close()


def test_a_reply_to_head_has_no_body_whatever_length_it_says(line: Line) -> None:
    """The length is the object's."""
    line.says = b"HTTP/1.1 200 OK\r\nContent-Length: 123456789\r\n\r\n"
    wires = Wires(line.dial)

    reply = wires.exchange(ORIGIN, b"one", bodyless=True)

    assert (200, {"content-length": "123456789"}, b"") == reply
    assert -1 != line.given[0].fileno()
    wires.close()


def test_without_a_connection_there_is_no_reply() -> None:
    """Whoever asked goes another way."""
    assert Wires(lambda _origin: None).exchange(ORIGIN, b"one", bodyless=False) is None
