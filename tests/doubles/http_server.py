"""A loopback HTTP server whose answers a test writes: made up, or forwarded to another server and then spoilt.

For what a well-behaved server never does: a reply lost after the effect, a body that ends early, another range than asked for.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import urllib3

NOT_FORWARDED = frozenset({"connection", "transfer-encoding", "content-length", "server", "date", "expect"})


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
    """What is sent back: the length said is the body's, unless `says_length` differs; `lost` closes the connection instead."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    says_length: int | None = None
    lost: bool = False


LOST = Reply(lost=True)
Answer = Callable[[Asked], Reply]


@dataclass(slots=True)
class HttpServer:
    """A running server; `answer` may be exchanged at any time, `asked` is every request so far."""

    endpoint: str
    answer: Answer
    asked: list[Asked] = field(default_factory=list)

    def calls(self) -> list[str]:
        """Return what was called, in order."""
        return [asked.call for asked in self.asked]


@contextmanager
def answering(answer: Answer) -> Iterator[HttpServer]:
    """Serve `answer` as long as the block."""
    state = HttpServer("", answer)
    server = _Server(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = True
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away in the middle: that is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def forward(endpoint: str) -> Answer:
    """Return an answer that asks the server at `endpoint`."""

    def ask(asked: Asked) -> Reply:
        headers = {name: value for name, value in asked.headers.items() if name.lower() not in NOT_FORWARDED}
        reply = urllib3.request(
            asked.method, endpoint + asked.target, headers=headers, body=asked.body, redirect=False, decode_content=False
        )
        kept = {name: value for name, value in reply.headers.items() if name.lower() not in NOT_FORWARDED}
        said = int(reply.headers.get("content-length", len(reply.data)))
        return Reply(status=reply.status, headers=kept, body=reply.data, says_length=said)

    return ask


def _handler(state: HttpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, dict(self.headers.items()), body)
            state.asked.append(asked)
            self.send(state.answer(asked))

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the names http.server looks for

        def send(self, reply: Reply) -> None:
            said = len(reply.body) if reply.says_length is None else reply.says_length
            if not reply.lost:
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": str(said)}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
            self.close_connection = reply.lost or (said != len(reply.body) and self.command != "HEAD")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
