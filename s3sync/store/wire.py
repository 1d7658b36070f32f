"""Requests and their short replies over a connection that stays open: as much of HTTP/1.1 as the short way needs.

A reply that is not plainly of this kind (no length, a long body, another version) is told without its body, and its connection
is closed. Whoever asks decides what a status means. A connection that has lain idle is not trusted: servers close theirs after
some seconds, and a request lost on one could not be told from one that was carried out.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import NamedTuple

IDLE_SECONDS = 4.0
"""S3 closes connections after five seconds or more without a request."""

SECOND_REPLY_SECONDS = 2.0
"""How long a reply may come after the one before it on the same connection."""

_READ_BYTES = 1 << 16
_MAX_HEAD_BYTES = 1 << 16
_MAX_BODY_BYTES = 1 << 16
_SAID_ONCE = ("content-", "etag", "transfer-", "x-amz-")
_HEADER = re.compile(r"([^\s:]+):[ \t]*([^\r\n]*)\r\n")
_END = b"\r\n\r\n"

Dial = Callable[[str], socket.socket | None]
"""Returns an open connection to an origin (`https://host:port`), None where there is none to be had."""


class Asked(NamedTuple):
    """A request as it goes over the wire."""

    request: bytes
    bodyless: bool
    """Whether the reply to this method has no body, whatever length it tells of."""


class Reply(NamedTuple):
    """What was answered: header names in lower case, and the body, None where it was left unread."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


class Wires:
    """Connections kept open between requests. May be used from several threads, each exchange on a connection of its own."""

    def __init__(self, dial: Dial) -> None:
        """Open connections by `dial`."""
        self._dial = dial
        self._idle: dict[str, deque[tuple[socket.socket, float]]] = {}
        self._closed = False

    def exchange(self, origin: str, *asked: Asked) -> list[Reply]:
        """Send all of `asked` at once and return the replies, in that order, as far as they came whole.

        What became of a request without a reply is not known. A reply that is to be followed by another's ends the waiting
        where that one does not come soon: there are servers that do not take a second request before they answered the first.
        """
        wire = self._take(origin)
        if wire is None:
            return []
        replies: list[Reply] = []
        kept = False
        try:
            wire.sendall(b"".join([each.request for each in asked]))
            read = b""
            for each in asked:
                if replies and not read and not _comes_soon(wire):
                    break
                reply, read, open_still = _reply(wire, read, bodyless=each.bodyless)
                replies.append(reply)
                if not open_still:
                    break
            else:
                kept = not read
        except (OSError, ValueError):
            return replies
        finally:
            if kept and not self._closed:
                self._idle.setdefault(origin, deque()).append((wire, monotonic()))
            else:
                wire.close()
        return replies

    def close(self) -> None:
        """Close what lies idle now, and everything else when its exchange is over."""
        self._closed = True
        for wires in list(self._idle.values()):  # another thread may be adding one
            while wires:
                wires.pop()[0].close()

    def _take(self, origin: str) -> socket.socket | None:
        idle = self._idle.get(origin)
        while idle:
            try:
                wire, since = idle.pop()
            except IndexError:
                break  # another thread was quicker
            if monotonic() - since < IDLE_SECONDS:
                return wire
            wire.close()
        return self._dial(origin)


def _comes_soon(wire: socket.socket) -> bool:
    if isinstance(wire, ssl.SSLSocket) and wire.pending():
        return True
    waiting = select.poll()
    waiting.register(wire, select.POLLIN)
    return bool(waiting.poll(SECOND_REPLY_SECONDS * 1000))


def _reply(wire: socket.socket, read: bytes, *, bodyless: bool) -> tuple[Reply, bytes, bool]:
    """Return the reply, what was read beyond it, and whether the connection stays open.

    Raises `OSError`, `ValueError` for one that is broken.
    """
    while True:
        head, read = _head(wire, read)
        version, status, headers = _parsed(head)
        if status >= 200:  # noqa: PLR2004 - what is below announces the reply
            break
    length = 0 if bodyless else int(headers.get("content-length", -1))
    if not 0 <= length <= _MAX_BODY_BYTES or (not bodyless and "transfer-encoding" in headers):
        return Reply(status, headers, None), b"", False
    while len(read) < length:
        read += _more(wire)
    open_still = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Reply(status, headers, read[:length]), read[length:], open_still


def _head(wire: socket.socket, read: bytes) -> tuple[bytes, bytes]:
    """Return the next head, and what was read beyond it."""
    while True:
        head, end, rest = read.partition(_END)
        if end:
            return head, rest
        if len(read) > _MAX_HEAD_BYTES:
            raise ValueError("a head without end")
        read += _more(wire)


def _more(wire: socket.socket) -> bytes:
    more = wire.recv(_READ_BYTES)
    if not more:
        raise ConnectionError("the reply ended early")
    return more


def _parsed(head: bytes) -> tuple[str, int, dict[str, str]]:
    """Return version, status and headers. Raises `ValueError` for what is no head, or says one thing twice."""
    first, _, lines = head.decode("latin-1").partition("\r\n")
    version, status, *_ = first.split(" ", 2)
    found = _HEADER.findall(lines + "\r\n")
    if len(found) != lines.count("\n") + bool(lines):
        raise ValueError("a line that is no header")
    headers = {name.lower(): value.rstrip() for name, value in found}
    if len(headers) < len(found):
        _refuse_contradictions(found, headers)
    return version, int(status), headers


def _refuse_contradictions(found: list[tuple[str, str]], headers: Mapping[str, str]) -> None:
    for name, value in found:
        if name.lower().startswith(_SAID_ONCE) and headers[name.lower()] != value.rstrip():
            raise ValueError("a header that says two things")
