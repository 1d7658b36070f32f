"""Tells people of troubles: a listener with a thread of its own, which decides by the ledger and sends what is due.

Ledger and outgoing messages are kept in one transaction, so that a restart loop tells once and a message survives the process
that wrote it. A channel that fails is tried again, later each time, and given up after a day; neither the others nor the work
wait for it. Without a place to remember nothing is sent: a loop would flood.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from s3sync.errors import Failure
from s3sync.events import Event, Level, Listener
from s3sync.observe.channels import Channel
from s3sync.observe.logs import fields_of
from s3sync.observe.troubles import RUN, Happening, Kind, Ledger, Message
from s3sync.statedb import StateDb

ROOM = "notices"
SCHEMA = (
    """
    -- What is open and what was told: one row.
    --   document  JSON, see s3sync/observe/troubles.py
    CREATE TABLE ledger (
        one      INTEGER PRIMARY KEY CHECK (one = 1),
        document TEXT    NOT NULL
    ) STRICT;

    -- Messages that a channel has yet to take; one row a message and channel.
    --   channel   its name, which shows no secret
    --   written, next_try  seconds since 1970
    CREATE TABLE outgoing (
        id       INTEGER PRIMARY KEY,
        channel  TEXT    NOT NULL,
        kind     TEXT    NOT NULL,
        subject  TEXT    NOT NULL,
        text     TEXT    NOT NULL,
        bucket   TEXT    NOT NULL,
        cause    TEXT    NOT NULL,
        written  REAL    NOT NULL,
        tries    INTEGER NOT NULL,
        next_try REAL    NOT NULL
    ) STRICT;
    """,
)

QUEUE_LENGTH = 10_000
TICK_SECONDS = 5.0
GIVEN_UP_AFTER = timedelta(days=1)
LONGEST_PAUSE_SECONDS = 3600.0
STEADY = timedelta(minutes=15)
"""An agent that has been at work for so long has recovered from what ended the run before; a restart loop never gets there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFailed(Event):
    """A channel did not take a message to people, or there is no place to remember; told once until it works again."""

    name: ClassVar[str] = "notice_failed"
    level: ClassVar[Level] = Level.WARNING
    channel: str
    wrong: str


class Notifier:
    """A listener. `pump` does what is due, and `start` calls it from a thread."""

    def __init__(
        self,
        ledger: Ledger,
        channels: Sequence[Channel],
        db: StateDb,
        *,
        digest_at: timedelta | None,
        now: Callable[[], datetime],
        listener: Listener,
        wanted: Callable[[Event], bool],
    ) -> None:
        """Send by `channels`, remember in `db`; `wanted` says which events are of interest besides warnings and errors."""
        self._ledger = ledger
        self._channels = {channel.name: channel for channel in channels}
        self._db = db
        self._digest_at = digest_at
        self._now = now
        self._listener = listener
        self._wanted = wanted
        self._events: queue.Queue[Event] = queue.Queue(QUEUE_LENGTH)
        self._told: set[str] = set()
        self._left = False
        self._saved = ""
        self._at_work: datetime | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        db.migrate(ROOM, SCHEMA)
        self._remember()

    def __call__(self, event: Event) -> None:
        """Take notice of an event. Never waits; what does not fit into the queue is in the log."""
        if isinstance(event, NoticeFailed) or not (event.level in {Level.WARNING, Level.ERROR} or self._wanted(event)):
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            return

    def start(self) -> None:
        """Do what is due from now on: the agent is at its work."""
        self._at_work = self._now()
        self._thread.start()

    def ended(self, wrong: str, within_seconds: float) -> None:
        """Do what is still due, and tell of a run that failed (`wrong` not empty), for `within_seconds` at most."""
        deadline = time.monotonic() + within_seconds
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(within_seconds)
        last = threading.Thread(target=self._guarded, args=(_run_ended(wrong),), name="notices", daemon=True)
        last.start()
        last.join(max(0.1, deadline - time.monotonic()))
        self._left = True

    def pump(self, more: Sequence[Happening] = ()) -> None:
        """Decide what the events since the last time mean, and send what is due. One at a time."""
        with self._lock:
            try:
                self._decide([*self._gathered(), *more])
                self._send_due()
            except (Failure, OSError) as error:
                self._tell("memory", str(error))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._guarded()
            self._stop.wait(TICK_SECONDS)

    def _guarded(self, more: Sequence[Happening] = ()) -> None:
        try:
            self.pump(more)
        except Exception:
            if not self._left:  # else a slow channel came back to a program that has closed its files
                raise

    def _gathered(self) -> list[Happening]:
        found = []
        while not self._events.empty():
            event = self._events.get_nowait()
            found.append(Happening(event.name, event.level in {Level.WARNING, Level.ERROR}, fields_of(event)))
        return found

    def _decide(self, happenings: Sequence[Happening]) -> None:
        now = self._now()
        messages = [message for each in happenings for message in self._ledger.take(each, now)]
        if self._at_work is not None and now - self._at_work >= STEADY:
            self._at_work = None
            messages += self._ledger.end(RUN, now)
        messages += self._ledger.tick(now, self._digest_at)
        document = json.dumps(self._ledger.saved())
        if not messages and document == self._saved:
            return
        with self._db.write() as db:
            db.execute("INSERT OR REPLACE INTO ledger VALUES (1, ?)", (document,))
            db.executemany(
                "INSERT INTO outgoing (channel, kind, subject, text, bucket, cause, written, tries, next_try)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)",
                [
                    (name, each.kind, each.subject, each.text, each.bucket, each.cause, now.timestamp())
                    for each in messages
                    for name in self._channels
                ],
            )
        self._saved = document

    def _send_due(self) -> None:
        now = self._now().timestamp()
        with self._db.write() as db:
            db.execute("DELETE FROM outgoing WHERE written < ?", (now - GIVEN_UP_AFTER.total_seconds(),))
        with self._db.read() as db:
            due = db.execute("SELECT * FROM outgoing WHERE next_try <= ? ORDER BY id", (now,)).fetchall()
        failed: set[str] = set()
        for row in due:
            channel = self._channels.get(row["channel"])
            if channel is None or row["channel"] in failed:
                continue  # another setting by now, or it has just failed: a channel is asked once a time
            message = Message(Kind(row["kind"]), row["subject"], row["text"], row["bucket"], row["cause"])
            try:
                channel.send(message)
            except (Failure, OSError) as error:
                failed.add(channel.name)
                self._tell(channel.name, str(error))
                pause = min(LONGEST_PAUSE_SECONDS, 30.0 * 2 ** row["tries"])
                self._postpone(row["id"], now + pause)
            else:
                self._told.discard(channel.name)
                self._sent(row["id"])

    def _postpone(self, number: int, until: float) -> None:
        with self._db.write() as db:
            db.execute("UPDATE outgoing SET tries = tries + 1, next_try = ? WHERE id = ?", (until, number))

    def _sent(self, number: int) -> None:
        with self._db.write() as db:
            db.execute("DELETE FROM outgoing WHERE id = ?", (number,))

    def _tell(self, channel: str, wrong: str) -> None:
        if channel not in self._told:
            self._told.add(channel)
            self._listener(NoticeFailed(channel=channel, wrong=wrong))

    def _remember(self) -> None:
        """Go on from what was kept; what cannot be understood is begun anew."""
        with self._db.read() as db:
            row = db.execute("SELECT document FROM ledger").fetchone()
        if row is None:
            return
        try:
            self._ledger.load(json.loads(row["document"]))
        except (KeyError, TypeError, ValueError) as error:
            self._tell("memory", f"what was told before cannot be understood, and is forgotten: {error!r}")


def _run_ended(wrong: str) -> list[Happening]:
    return [Happening(RUN, loud=True, fields={"wrong": wrong})] if wrong else []
