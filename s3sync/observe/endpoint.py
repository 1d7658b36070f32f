"""A small HTTP listener for monitoring: `/metrics`, `/healthz`, `/readyz`. It answers from what is at hand and asks nobody.

Who connects may be slow or hostile: a few threads, a few connections that wait for one, a request of a few KiB within a few
seconds altogether (not per byte), an answer that is taken as quickly or not at all. What is beyond is closed at once. Python's
own server was weighed and left: its time-outs begin anew with each byte, and it makes a thread for everybody.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from s3sync.errors import Preflight

THREADS = 4
WAITING = 16
REQUEST_BYTES = 8192
PATIENCE_SECONDS = 5.0
BREATH_SECONDS = 0.1
"""How long nobody is accepted after the system refused (no descriptors, say)."""

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Error", 503: "Unavailable"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a request."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"

    def bytes(self, *, with_body: bool) -> bytes:
        """Return the whole reply."""
        head = f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\nContent-Type: {self.content_type}\r\n"
        head += f"Content-Length: {len(self.body)}\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n"
        return head.encode("ascii") + (self.body if with_body else b"")


Page = Callable[[], Answer]


class Endpoint:
    """Listens while the context lasts; threads of its own, which end with it."""

    def __init__(self, host: str, port: int, pages: Mapping[str, Page], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Answer requests for `pages` by path. Raises `Preflight` where the address cannot be had."""
        self._pages = pages
        self._patience_seconds = patience_seconds
        self._waiting: queue.Queue[socket.socket | None] = queue.Queue(WAITING)
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._server = socket.create_server((host, port), family=family, backlog=WAITING)
        except OSError as error:
            hint = "Free the port, or name another address"
            raise Preflight(f"{host}:{port}", f"cannot be listened on: {error.strerror or error}", hint) from error
        self.port = int(self._server.getsockname()[1])
        self._leaving = False
        self._threads = [threading.Thread(target=self._accept, name="listener", daemon=True)]
        self._threads += [threading.Thread(target=self._serve, name="listener", daemon=True) for _ in range(THREADS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leaving = True
        self._server.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(self._patience_seconds)
        self._server.close()
        while not self._waiting.empty():
            waiting = self._waiting.get_nowait()
            if waiting is not None:
                waiting.close()
        for _ in self._threads[1:]:
            self._waiting.put(None)

    def _accept(self) -> None:
        while not self._leaving:
            try:
                connection, _ = self._server.accept()
            except OSError:
                if not self._leaving:
                    time.sleep(BREATH_SECONDS)
                continue
            try:
                self._waiting.put_nowait(connection)
            except queue.Full:
                connection.close()

    def _serve(self) -> None:
        while (connection := self._waiting.get()) is not None:
            with connection:
                try:
                    self._answer(connection)
                except OSError:  # who asked has gone, or takes too long
                    continue

    def _answer(self, connection: socket.socket) -> None:
        deadline = time.monotonic() + self._patience_seconds
        line = _request_line(connection, deadline)
        answer, with_body = self._said(line)
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        connection.sendall(answer.bytes(with_body=with_body))
        connection.shutdown(socket.SHUT_WR)

    def _said(self, line: bytes) -> tuple[Answer, bool]:
        words = line.split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):  # noqa: PLR2004 - method, path, version
            return Answer(400, b"no request\n"), True
        method, path, _ = words
        if method not in {b"GET", b"HEAD"}:
            return Answer(405, b"only GET and HEAD\n"), True
        page = self._pages.get(path.partition(b"?")[0].decode("ascii", "replace"))
        return (Answer(404, b"/metrics, /healthz or /readyz\n") if page is None else _made(page)), method == b"GET"


def _made(page: Page) -> Answer:
    """Return a page; a mistake of ours in it is what is answered, so that it is seen, and ends no thread."""
    try:
        return page()
    except Exception as error:  # noqa: BLE001 - told to who asked
        return Answer(500, f"{error!r}\n".encode("ascii", "backslashreplace"))


def _request_line(connection: socket.socket, deadline: float) -> bytes:
    """Return the first line of a request whose head has come whole. Raises `OSError` where it does not come in time."""
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left = deadline - time.monotonic()
        if left <= 0 or len(head) > REQUEST_BYTES:
            raise TimeoutError
        connection.settimeout(left)
        more = connection.recv(REQUEST_BYTES)
        if not more:
            raise ConnectionError
        head += more
    return head.split(b"\n", 1)[0].rstrip(b"\r")
