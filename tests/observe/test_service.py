from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from s3sync.observe.service import LONGEST_STATUS, Manager, Service


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket as systemd has one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def told(heard: socket.socket) -> Service:
    """Return a service that tells the socket."""
    return Service(Manager(heard.getsockname()))


def test_what_is_said_arrives(heard: socket.socket) -> None:
    """Each word is one datagram, as sd_notify(3) says."""
    service = told(heard)
    service.ready()
    service.alive()
    service.stopping()

    assert [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"] == [heard.recv(4096) for _ in range(3)]


def test_a_reload_says_when_it_began(heard: socket.socket) -> None:
    """RELOADING goes with the monotonic time in microseconds, in one datagram."""
    told(heard).reloading()
    first, second = heard.recv(4096).decode().splitlines()

    assert "RELOADING=1" == first
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()


def test_a_status_is_one_line_and_said_once(heard: socket.socket) -> None:
    """What is said already is not said again; a name from a client cannot begin a line of its own; no end is too long."""
    service = told(heard)
    service.status("resting\nREADY=1")
    service.status("resting READY=1")
    service.status("x" * 1000)

    assert b"STATUS=resting READY=1" == heard.recv(4096)
    assert len("STATUS=") + LONGEST_STATUS == len(heard.recv(4096))


def test_an_abstract_socket_is_reached() -> None:
    """A leading @ stands for a name that is in no folder, as containers have it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0s3batch-test-service")
        listening.settimeout(5)
        Service(Manager("@s3batch-test-service")).ready()

        assert b"READY=1" == listening.recv(4096)


def test_nobody_listening_is_no_trouble(tmp_path: Path) -> None:
    """Without a manager, or with one that has gone, nothing is said and nothing fails."""
    Service(Manager()).ready()
    Service(Manager(str(tmp_path / "gone"))).ready()


def test_what_the_environment_says_is_taken_out_of_it() -> None:
    """A worker process inherits neither the socket nor the wish for signs of life."""
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7", "PATH": "/bin"}

    assert Manager("/run/x", timedelta(seconds=3)) == Manager.taken_from(environment, 7)
    assert {"PATH": "/bin"} == environment


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"},
        {"WATCHDOG_USEC": "often"},
        {"WATCHDOG_USEC": "0"},
    ],
)
def test_what_is_not_meant_for_us_counts_as_nothing(environment: dict[str, str]) -> None:
    """Another process's watchdog, a kind of socket we do not speak to, and nonsense are no manager."""
    assert Manager() == Manager.taken_from(environment, 7)
