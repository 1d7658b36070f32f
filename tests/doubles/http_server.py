"""A loopback HTTP server whose answers a test writes: made up, or forwarded to another server and then spoilt.

For what a well-behaved server never does: a reply lost after the effect, a body that ends early, another range than asked for.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import parse_qs, urlsplit

NOT_FORWARDED = frozenset({"connection", "transfer-encoding", "content-length", "server", "date", "expect"})
"""Headers that concern one connection only. `Host` goes on: it is signed."""
RESET = struct.pack("ii", 1, 0)
"""What SO_LINGER takes for a close that resets the connection."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query, each name once."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query, keep_blank_values=True).items()}

    @property
    def call(self) -> str:
        """Method and the names in the query: `PUT partNumber uploadId` is how UploadPart looks."""
        return " ".join([self.method, *sorted(name for name in self.query if name != "x-id")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is sent back: the length said is the body's, unless `says_length` differs.

    `lost` closes the connection instead, `reset` breaks it, and `cut_in_header` closes it in the middle of the header. With
    `pause_seconds` there is a pause before the header and between a few pieces of the body.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    says_length: int | None = None
    lost: bool = False
    reset: bool = False
    cut_in_header: bool = False
    pause_seconds: float = 0.0


LOST = Reply(lost=True)
BROKEN = Reply(reset=True)
PIECES = 5
Answer = Callable[[Asked], Reply]


def read_all(_asked: Asked) -> int | None:
    """Take every body to its end."""
    return None


class HttpServer:
    """A running server; `answer` may be exchanged at any time, `asked` is every request so far."""

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None) -> None:
        """Answer with `answer`, on a free loopback port; by TLS where that is given."""
        self.answer = answer
        self.cut: Callable[[Asked], int | None] = read_all
        """Asked of each request before its body has come: after how many bytes of it to break the connection, None not to."""
        self.asked: list[Asked] = []
        self._server = _Server(0, self)
        self._port = self._server.server_port
        self.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._port}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = _serving(self._server)

    def calls(self) -> list[str]:
        """Return what was called, in order."""
        return [asked.call for asked in self.asked]

    def refuse(self) -> None:
        """Refuse new connections from now on."""
        self.close()

    def accept(self) -> None:
        """Take connections again, on the same port, if they were refused."""
        if self._server.socket.fileno() < 0:
            self._server = _Server(self._port, self)
            self._thread = _serving(self._server)

    def close(self) -> None:
        """Be no more."""
        if self._server.socket.fileno() >= 0:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def _serving(server: _Server) -> threading.Thread:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    return thread


@contextmanager
def answering(answer: Answer) -> Iterator[HttpServer]:
    """Serve `answer` as long as the block."""
    server = HttpServer(answer)
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, state: HttpServer) -> None:
        self.state = state
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away in the middle: that is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def forward(endpoint: str) -> Answer:
    """Return an answer that asks the server at `endpoint`, as literally as HTTP allows: signatures stay valid."""
    address = urlsplit(endpoint).netloc

    def ask(asked: Asked) -> Reply:
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.putrequest(asked.method, asked.target, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                if name.lower() not in NOT_FORWARDED:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(asked.body)))
            connection.endheaders(asked.body)
            return _reply(connection.getresponse())
        finally:
            connection.close()

    return ask


def _reply(response: http.client.HTTPResponse) -> Reply:
    body = response.read()
    kept = {name: value for name, value in response.getheaders() if name.lower() not in NOT_FORWARDED}
    return Reply(
        status=response.status, headers=kept, body=body, says_length=int(response.headers.get("content-length", len(body)))
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        state = cast(_Server, self.server).state
        length = int(self.headers.get("Content-Length", 0))
        head = Asked(self.command, self.path, dict(self.headers.items()), b"")
        cut = state.cut(head)
        if cut is not None:
            self.rfile.read(min(cut, length))
            self.send(BROKEN)
            return
        asked = Asked(head.method, head.target, head.headers, self.rfile.read(length))
        state.asked.append(asked)
        self.send(state.answer(asked))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the names http.server looks for

    def send(self, reply: Reply) -> None:
        time.sleep(reply.pause_seconds)
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.connection.close()
        elif reply.cut_in_header:
            self.wfile.write(f"HTTP/1.1 {reply.status} OK\r\nContent-Le".encode())
        elif not reply.lost:
            self.send_whole(reply)
            return
        self.close_connection = True

    def send_whole(self, reply: Reply) -> None:
        length = len(reply.body) if reply.says_length is None else reply.says_length
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        pieces = PIECES if reply.pause_seconds else 1
        step = max(1, -(-len(reply.body) // pieces))
        for at in range(0, len(reply.body), step):
            time.sleep(reply.pause_seconds if at else 0)
            self.wfile.write(reply.body[at : at + step])
        self.close_connection = length != len(reply.body) and self.command != "HEAD"

    def log_message(self, *_: object) -> None:
        """Say nothing."""
