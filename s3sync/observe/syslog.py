"""Events to a syslog server, as RFC 5424 messages with the event's fields in JSON, or as the former programs' lines.

A copy for a central place, not the record. A thread of its own sends; the work only puts a message into a queue of bounded
length and never waits. What does not fit is dropped and counted, and how many were lost is told by the next message that gets
through, and in our own log. A connection that cannot be had is tried again, later each time, with the message in hand.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import ClassVar, Self

from s3sync.events import Event, Level, Listener, silent
from s3sync.observe.lines import DAEMON, SEVERITY, USER, original_line
from s3sync.observe.logs import fields_of, loud_enough
from s3sync.observe.wires import Wire
from s3sync.times import rfc3339

QUEUE_LENGTH = 10_000
GOODBYE_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyslogAway(Event):
    """The copy of the log does not get through; told once until it does. The log itself is complete."""

    name: ClassVar[str] = "syslog_away"
    level: ClassVar[Level] = Level.WARNING
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyslogBack(Event):
    """The copy of the log gets through again; `lost` messages did not."""

    name: ClassVar[str] = "syslog_back"
    lost: int


class SyslogListener:
    """Sends events from a thread of its own; a context, so that what waits is sent before the program ends."""

    def __init__(
        self,
        wire: Wire,
        *,
        program: str,
        level: Level,
        now: Callable[[], datetime],
        original: bool = False,
        keeps: bool = False,
        listener: Listener = silent,
        queue_length: int = QUEUE_LENGTH,
    ) -> None:
        """Send events of `level` and louder by `wire` in the name of `program`.

        `keeps` holds on to a message that did not go (a connection does, a datagram is gone); `listener` is our own log.
        """
        self._wire = wire
        self._program = program
        self.level = level
        self._now = now
        self._original = original
        self._keeps = keeps
        self._listener = listener
        self._lock = threading.Lock()
        self._lost = 0
        self._lost_since_away = 0
        self._away = False
        self._leaving = threading.Event()
        self._waiting: queue.Queue[tuple[Event, datetime] | None] = queue.Queue(queue_length)
        self._thread = threading.Thread(target=self._send_all, name="syslog", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Queue one message about `event`."""
        if not loud_enough(event, self.level):
            return
        try:
            self._waiting.put_nowait((event, self._now()))
        except queue.Full:
            self._lose(1)

    def close(self) -> None:
        """Send what waits, for two seconds at most; what is left is lost, and that is told."""
        self._leaving.set()
        try:
            self._waiting.put(None, timeout=GOODBYE_SECONDS)
        except queue.Full:
            self._lose(self._waiting.qsize())
        self._thread.join(GOODBYE_SECONDS)
        with self._lock:
            lost = self._lost_since_away
        if lost:
            self._listener(SyslogAway(wrong=f"the program ends, and {lost} messages were not sent"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _lose(self, messages: int) -> None:
        with self._lock:
            self._lost += messages
            self._lost_since_away += messages

    def _send_all(self) -> None:
        try:
            while (waiting := self._waiting.get()) is not None:
                self._deliver(*waiting)
        finally:
            self._wire.close()

    def _deliver(self, event: Event, moment: datetime) -> None:
        """Send one message, as often as it takes where the wire keeps it; once where somebody wants to leave."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            with self._lock:
                lost = self._lost
            try:
                self._wire.send(self._message(event, moment, lost))
            except OSError as error:
                self._not_sent(error)
                if not self._keeps or self._leaving.wait(pause):
                    self._lose(1)
                    return
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                self._sent(lost)
                return

    def _not_sent(self, error: OSError) -> None:
        if not self._away:
            self._away = True
            self._listener(SyslogAway(wrong=str(error)))

    def _sent(self, told: int) -> None:
        with self._lock:
            self._lost -= told
            lost, self._lost_since_away = self._lost_since_away, 0
        if self._away or lost:
            self._away = False
            self._listener(SyslogBack(lost=lost))

    def _message(self, event: Event, moment: datetime, lost: int) -> bytes:
        body = fields_of(event) | ({"lost_before": lost} if lost else {})
        text = self._as_before(event, moment, body) if self._original else self._rfc5424(event, moment, body)
        return text.encode("ascii", "backslashreplace")[: self._wire.longest_bytes]

    def _rfc5424(self, event: Event, moment: datetime, body: dict[str, object]) -> str:
        priority = DAEMON | SEVERITY[event.level]
        sender = f"{socket.gethostname()} {self._program} {os.getpid()}"
        return f"<{priority}>1 {rfc3339(moment)} {sender} {event.name} - {json.dumps(body)}"

    def _as_before(self, event: Event, moment: datetime, body: dict[str, object]) -> str:
        line = original_line(moment, event.level, self._program, event.name, body)
        return f"<{USER | SEVERITY[event.level]}>{socket.gethostname()} {line}"
