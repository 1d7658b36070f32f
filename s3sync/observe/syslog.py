"""Events to a syslog server over UDP, as RFC 5424 messages with the event's fields in JSON.

A copy for a central place, not the record: UDP loses messages, and so does a full queue, because a slow name server must not
hold up the work. How many were lost is told in the next message that gets through.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from s3sync.events import Event, Level
from s3sync.observe.logs import fields_of, loud_enough
from s3sync.times import rfc3339

QUEUE_LENGTH = 10_000
MESSAGE_BYTES = 2048
"""What every receiver of RFC 5424 should take (section 6.1)."""
GOODBYE_SECONDS = 2.0

_DAEMON = 3 << 3
_SEVERITY = {Level.ERROR: 3, Level.WARNING: 4, Level.INFO: 6, Level.DEBUG: 7}


class SyslogListener:
    """Sends events from a thread of its own; a context, so that what waits is sent before the program ends."""

    def __init__(self, host: str, port: int, *, program: str, level: Level, now: Callable[[], datetime]) -> None:
        """Send events of `level` and louder to `host`, in the name of `program`."""
        self._address = (host.strip("[]"), port)
        self._program = program
        self.level = level
        self._now = now
        self._lost = 0
        self._waiting: queue.Queue[bytes | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._send_all, name="syslog", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Queue one message about `event`."""
        if not loud_enough(event, self.level):
            return
        try:
            self._waiting.put_nowait(self._message(event))
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Send what waits, for two seconds at most."""
        try:
            self._waiting.put(None, timeout=GOODBYE_SECONDS)
        except queue.Full:
            return
        self._thread.join(GOODBYE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _message(self, event: Event) -> bytes:
        lost, self._lost = self._lost, 0
        body = fields_of(event) | ({"lost_before": lost} if lost else {})
        priority = _DAEMON | _SEVERITY[event.level]
        header = f"<{priority}>1 {rfc3339(self._now())} {socket.gethostname()} {self._program} {os.getpid()} {event.name} - "
        return (header + json.dumps(body)).encode("ascii")[:MESSAGE_BYTES]

    def _send_all(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                self._send(message)
            except OSError:  # no route, no name: it was only a copy
                self._lost += 1

    def _send(self, message: bytes) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.sendto(message, address)
