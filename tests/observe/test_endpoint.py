"""The listener for monitoring answers, and nobody who connects can do it harm."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import urllib3

from s3sync.errors import Preflight
from s3sync.observe.endpoint import REQUEST_BYTES, THREADS, WAITING, Answer, Endpoint

PATIENCE = 0.4


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A listener with a short and a long page."""

    def broken() -> Answer:
        raise LookupError("é")

    pages = {
        "/metrics": lambda: Answer(200, b"up 1\n"),
        "/long": lambda: Answer(200, b"x" * 50_000_000),
        "/broken": broken,
    }
    with Endpoint("127.0.0.1", 0, pages, patience_seconds=PATIENCE) as listening:
        yield listening


def _connect(endpoint: Endpoint, first: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", endpoint.port), timeout=30)
    connection.sendall(first)
    return connection


def _asked(endpoint: Endpoint, request: bytes) -> bytes:
    with _connect(endpoint, request) as connection:
        found = b""
        while more := connection.recv(65536):
            found += more
    return found


def _get(endpoint: Endpoint, path: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", f"http://127.0.0.1:{endpoint.port}{path}", retries=False, timeout=30)


def test_pages_are_served(endpoint: Endpoint) -> None:
    """A page by its path, whatever the query; HEAD without the body; others are not there."""
    assert (200, b"up 1\n") == ((found := _get(endpoint, "/metrics?x=1")).status, found.data)
    assert 404 == _get(endpoint, "/../etc/passwd").status
    assert _asked(endpoint, b"HEAD /metrics HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")
    assert b" 405 " in _asked(endpoint, b"POST /metrics HTTP/1.1\r\n\r\n")
    assert b" 400 " in _asked(endpoint, b"\x16\x03\x01\x02\x00\r\n\r\n")


@pytest.mark.parametrize("head", [b"", b"GET /metrics HTTP/1.1\r\nX: "])
def test_silent_clients_are_let_go(endpoint: Endpoint, head: bytes) -> None:
    """However many connect and say nothing, after their time others are answered again."""
    silent = [_connect(endpoint, head) for _ in range(THREADS + WAITING // 2)]
    time.sleep(4 * PATIENCE)

    assert 200 == _get(endpoint, "/metrics").status
    for each in silent:
        each.close()


def test_a_client_that_drips_is_let_go(endpoint: Endpoint) -> None:
    """A byte now and then does not begin the time anew."""
    with _connect(endpoint, b"GET /metrics HTTP/1.1\r\n") as dripping:
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - broken pipe or reset, as the kernel likes
            while time.monotonic() - began < 30:
                dripping.sendall(b"x")
                time.sleep(0.1)

    assert time.monotonic() - began < 10


def test_a_client_that_reads_nothing_is_let_go(endpoint: Endpoint) -> None:
    """Nobody waits for somebody who asked and does not listen."""
    deaf = [_connect(endpoint, b"GET /long HTTP/1.1\r\n\r\n") for _ in range(THREADS)]
    time.sleep(PATIENCE + 0.5)

    assert 200 == _get(endpoint, "/metrics").status
    for each in deaf:
        each.close()


def test_an_endless_request_is_cut_off(endpoint: Endpoint) -> None:
    """No request is longer than a few KiB."""
    with _connect(endpoint) as talking, pytest.raises(OSError):  # noqa: PT011 - as above
        for _ in range(1000):
            talking.sendall(b"x" * REQUEST_BYTES)
            time.sleep(0.001)


def test_a_crowd_makes_no_threads(endpoint: Endpoint) -> None:
    """Two hundred at once are answered or turned away by the same few threads."""
    before = set(threading.enumerate())
    crowd = [_connect(endpoint) for _ in range(200)]

    assert set() == set(threading.enumerate()) - before
    for each in crowd:
        each.close()
    time.sleep(0.2)
    assert 200 == _get(endpoint, "/metrics").status


def test_a_page_that_fails_says_so(endpoint: Endpoint) -> None:
    """A mistake of ours is answered, as often as it is asked for, and the other pages are served on."""
    for _ in range(2 * THREADS):
        found = _get(endpoint, "/broken")
        assert (500, b"LookupError('\\xe9')\n") == (found.status, found.data)

    assert 200 == _get(endpoint, "/metrics").status


def test_a_port_that_is_taken_is_named() -> None:
    """Whoever starts a second one is told which address could not be had."""
    with (
        Endpoint("127.0.0.1", 0, {}) as first,
        pytest.raises(Preflight, match=f"127.0.0.1:{first.port}: cannot be listened on"),
    ):
        Endpoint("127.0.0.1", first.port, {})
