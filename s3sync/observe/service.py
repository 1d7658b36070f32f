"""What systemd is told of a service: that it is ready, how it stands, that it is alive, that it reloads or stops.

By the protocol of sd_notify(3): datagrams of `NAME=value` lines to the socket that systemd names in the environment. Where it
names none, nobody is told, and nothing else is different. What it names is taken out of the environment, so that a worker
process can neither speak for the agent nor keep it alive.

A datagram that cannot be sent is lost: there is nobody else to tell, and systemd itself notices what it misses, a start that
never gets ready or a watchdog that is not fed.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

SOCKET = "NOTIFY_SOCKET"
WATCHDOG = "WATCHDOG_USEC"
WATCHDOG_PID = "WATCHDOG_PID"

LONGEST_STATUS = 600
"""Characters: what `systemctl status` shows on a few lines."""


@dataclass(frozen=True, slots=True)
class Manager:
    """Who started us, as the environment says."""

    address: str | None = None
    """The socket to tell, None where nobody listens; a leading `@` stands for Linux' abstract names."""
    watchdog: timedelta | None = None
    """Within what time a sign of life is wanted, None where nobody wants any."""

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str], pid: int) -> Manager:
        """Return what `environment` says to the process `pid`, and take it out of there."""
        address = environment.pop(SOCKET, "")
        microseconds = environment.pop(WATCHDOG, "")
        meant_for = environment.pop(WATCHDOG_PID, "")
        ours = microseconds.isascii() and microseconds.isdigit() and meant_for in {"", str(pid)}
        watchdog = timedelta(microseconds=int(microseconds)) if ours and int(microseconds) else None
        return cls(address if address.startswith(("/", "@")) else None, watchdog)


class Service:
    """Tells the manager. May be called from any thread."""

    def __init__(self, manager: Manager) -> None:
        """Tell `manager`, or nobody."""
        self._lock = threading.Lock()
        self._status = ""
        address = manager.address
        self._address = "\0" + address[1:] if address is not None and address.startswith("@") else address

    def ready(self) -> None:
        """Say that what was asked for at the start, or by a reload, is done."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that the settings are being read again; `ready` says when that is done."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the service is on its way out."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def status(self, sentence: str) -> None:
        """Say how things stand, where that is not what was said last: one line, longer ones cut off."""
        line = " ".join(sentence.split())
        line = line if len(line) <= LONGEST_STATUS else line[: LONGEST_STATUS - 3] + "..."
        with self._lock:
            if line == self._status:
                return
            self._status = line
        self._tell(f"STATUS={line}")

    def _tell(self, lines: str) -> None:
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as speaking:
            speaking.sendto(lines.encode("utf-8", "backslashreplace"), self._address)
