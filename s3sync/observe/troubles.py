"""Which troubles people are told of, and when: one message a bucket and cause, a digest instead of a flood. Pure.

A trouble begins with an event and is open until another event ends it; what no event ends is forgotten when it was not seen for
a day. How soon it is told: *now*; *lasting*, when it goes on for a quarter of an hour, for much passes by itself; or with the
daily *digest* alone, as everything is that a rule merely holds. An end is told once, of what was told. More than a few messages
within an hour are held back and come together as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

PATIENCE = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=1)
BURST, BURST_WINDOW = 5, timedelta(hours=1)
MOST_TROUBLES = 500
"""Buckets are named by strangers: what is beyond is told of in numbers only."""
MOST_LINES = 50
"""In one message."""

RUN = "run"
"""The cause of a run that ended by a failure, or did not begin."""


class Urgency(StrEnum):
    """How soon people are told."""

    NOW = "now"
    LASTING = "lasting"
    DIGEST = "digest"


class Kind(StrEnum):
    """What a message is."""

    FAILURE = "failure"
    RECOVERY = "recovery"
    DIGEST = "digest"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Route:
    """What is made of an event that tells of a trouble."""

    urgency: Urgency
    over: tuple[str, ...] = ()
    """The events that end it, of the same bucket where both name one."""
    by: str = ""
    """The field that tells causes apart."""
    eases: str = ""
    """The field that makes it lasting where it is now: `!` before its name where it does so when it is false."""
    over_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The events that end it instead, by the value of the field `by`."""

    def ended_by(self, value: str) -> tuple[str, ...]:
        """Return the events that end the cause with this value of `by`."""
        return self.over_by.get(value, self.over)

    def enders(self) -> set[str]:
        """Return all events that end something."""
        return {*self.over, *(name for names in self.over_by.values() for name in names)}


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, as far as it is of interest here."""

    name: str
    loud: bool
    fields: Mapping[str, Any]

    @property
    def bucket(self) -> str:
        """The bucket it is about; empty where it names none."""
        return str(self.fields.get("bucket", ""))


@dataclass(frozen=True, slots=True)
class Message:
    """One message to people."""

    kind: Kind
    subject: str
    text: str
    bucket: str = ""
    cause: str = ""


@dataclass(slots=True)
class Trouble:
    """Something that is wrong; moments are seconds since 1970."""

    bucket: str
    cause: str
    event: str
    text: str
    urgency: Urgency
    since: float
    last: float
    times: int = 1
    told: bool = False

    @property
    def where(self) -> str:
        """The cause and its bucket, for people."""
        return f"{self.cause} ({self.bucket})" if self.bucket else self.cause


@dataclass(slots=True)
class Ledger:
    """What is open, what was told, and what the next digest will say. Survives as JSON (`saved`, `loaded`)."""

    routes: Mapping[str, Route]
    done: Mapping[str, str] = field(default_factory=dict)
    """Events that the digest counts, and what it calls them."""
    host: str = ""
    program: str = ""
    troubles: dict[str, Trouble] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    sent: list[float] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    digested: float | None = None

    def take(self, happening: Happening, now: datetime) -> list[Message]:
        """Take notice of an event and return what people are told at once, of its beginning or end."""
        messages = [self._over(key, trouble) for key, trouble in self._ended_by(happening)]
        if happening.name in self.done:
            self.counted[f"{self.done[happening.name]} {happening.bucket}".strip()] += 1
        if happening.loud:
            self._open(happening, now)
        return self._within_bounds([message for message in messages if message is not None], now)

    def tick(self, now: datetime, digest_at: timedelta | None) -> list[Message]:
        """Return what is due at `now`: troubles by now worth telling, what was held back, the daily digest."""
        messages = []
        for trouble in self.troubles.values():
            if not trouble.told and self._is_due(trouble):
                trouble.told = True
                messages.append(self._failure(trouble))
        self._forget(now)
        found = self._within_bounds(messages, now)
        if self.held and self._room(now):
            found.append(self._held_back(now))
        if digest_at is not None and self._digest_due(now, digest_at):
            found.append(self._digest(now))
        return found

    def end(self, cause: str, now: datetime) -> list[Message]:
        """Close the troubles of one cause; return what people are told of that."""
        keys = [key for key, trouble in self.troubles.items() if trouble.cause == cause]
        messages = [self._over(key, self.troubles[key]) for key in keys]
        return self._within_bounds([message for message in messages if message is not None], now)

    def saved(self) -> dict[str, Any]:
        """Return what has to survive, for JSON."""
        return {
            "troubles": [asdict(trouble) for trouble in self.troubles.values()],
            "counted": dict(self.counted),
            "sent": self.sent,
            "held": self.held,
            "digested": self.digested,
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go on from what was saved. Raises `KeyError`, `TypeError` or `ValueError` where that is something else."""
        found = [Trouble(**{**each, "urgency": Urgency(each["urgency"])}) for each in saved["troubles"]]
        self.troubles = {_key(each.bucket, each.cause): each for each in found}
        self.counted = Counter(saved["counted"])
        self.sent, self.held, self.digested = list(saved["sent"]), list(saved["held"]), saved["digested"]

    def _open(self, happening: Happening, now: datetime) -> None:
        route = self.routes.get(happening.name, Route(Urgency.DIGEST))
        cause = happening.name + (f" {happening.fields.get(route.by, '')}" if route.by else "")
        self.counted[f"{cause} {happening.bucket}".strip()] += 1
        key, moment = _key(happening.bucket, cause), now.timestamp()
        known, urgency = self.troubles.get(key), _urgency(route, happening.fields)
        if known is not None:
            known.last, known.text = moment, _text(happening)
            known.times += 1
            known.urgency = min(known.urgency, urgency, key=list(Urgency).index)
        elif len(self.troubles) < MOST_TROUBLES:
            text = _text(happening)
            self.troubles[key] = Trouble(happening.bucket, cause, happening.name, text, urgency, moment, moment)

    def _ended_by(self, happening: Happening) -> list[tuple[str, Trouble]]:
        return [
            (key, trouble)
            for key, trouble in self.troubles.items()
            if happening.name in self._enders(trouble)
            and (not trouble.bucket or not happening.bucket or trouble.bucket == happening.bucket)
        ]

    def _enders(self, trouble: Trouble) -> tuple[str, ...]:
        return self.routes.get(trouble.event, Route(Urgency.DIGEST)).ended_by(trouble.cause.partition(" ")[2])

    def _over(self, key: str, trouble: Trouble) -> Message | None:
        del self.troubles[key]
        if not trouble.told:
            return None
        subject = f"{self.program} on {self.host}: over: {trouble.where}"
        text = f"{trouble.text}\nSeen {_times(trouble.times)} since {_moment(trouble.since)}, and it is over."
        return Message(Kind.RECOVERY, subject, text, trouble.bucket, trouble.cause)

    @staticmethod
    def _is_due(trouble: Trouble) -> bool:
        lasted = trouble.last - trouble.since >= PATIENCE.total_seconds()
        return trouble.urgency is Urgency.NOW or (trouble.urgency is Urgency.LASTING and lasted)

    def _failure(self, trouble: Trouble) -> Message:
        subject = f"{self.program} on {self.host}: {trouble.where}"
        text = f"{trouble.text}\nSeen {_times(trouble.times)} since {_moment(trouble.since)}."
        return Message(Kind.FAILURE, subject, text, trouble.bucket, trouble.cause)

    def _forget(self, now: datetime) -> None:
        """Forget what no event ends and nobody has seen for long."""
        before = (now - FORGOTTEN_AFTER).timestamp()
        for key, trouble in list(self.troubles.items()):
            lasts = self._enders(trouble) and trouble.urgency is not Urgency.DIGEST
            if trouble.last < before and not lasts and trouble.cause != RUN:
                del self.troubles[key]

    def _room(self, now: datetime) -> bool:
        self.sent = [moment for moment in self.sent if now.timestamp() - moment < BURST_WINDOW.total_seconds()]
        return len(self.sent) < BURST

    def _within_bounds(self, messages: list[Message], now: datetime) -> list[Message]:
        """Return those that may go now; the others are held back."""
        found = []
        for message in messages:
            if self._room(now):
                self.sent.append(now.timestamp())
                found.append(message)
            else:
                self.held.append(message.subject)
        return found

    def _held_back(self, now: datetime) -> Message:
        held, self.held = self.held, []
        self.sent.append(now.timestamp())
        lines = [*held[:MOST_LINES], *([f"... and {len(held) - MOST_LINES} more"] if len(held) > MOST_LINES else [])]
        return Message(Kind.DIGEST, f"{self.program} on {self.host}: {len(held)} more messages in one", "\n".join(lines))

    def _digest_due(self, now: datetime, digest_at: timedelta) -> bool:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        latest = midnight + digest_at
        latest -= timedelta(days=1) if latest > now else timedelta()
        if self.digested is None:  # the first one comes at the next of these moments
            self.digested = now.timestamp()
        return self.digested < latest.timestamp()

    def _digest(self, now: datetime) -> Message:
        since = _moment(self.digested or now.timestamp())
        self.digested = now.timestamp()
        lines = [f"Since {since}:", *(f"  {count:,} {name}" for name, count in sorted(self.counted.items())[:MOST_LINES])]
        lines += [] if self.counted else ["  nothing happened"]
        lines += ["Open:", *(f"  {line}" for line in self._lines())] if self.troubles else ["Nothing is open."]
        self.counted = Counter()
        return Message(Kind.DIGEST, f"{self.program} on {self.host}: the day", "\n".join(lines))

    def _lines(self) -> Iterator[str]:
        for trouble in list(self.troubles.values())[:MOST_LINES]:
            yield f"{trouble.where}: {_times(trouble.times)} since {_moment(trouble.since)}: {trouble.text.splitlines()[0]}"


def _urgency(route: Route, fields: Mapping[str, Any]) -> Urgency:
    if route.urgency is not Urgency.NOW or not route.eases:
        return route.urgency
    eased = bool(fields.get(route.eases.removeprefix("!"))) is not route.eases.startswith("!")
    return Urgency.LASTING if eased else Urgency.NOW


def _text(happening: Happening) -> str:
    """Return an event as a person reads it: what was wrong and what to do first, then its fields."""
    first = " ".join(
        str(happening.fields[name]) for name in ("subject", "wrong", "detail", "why") if happening.fields.get(name)
    )
    rest = ", ".join(f"{name}={value}" for name, value in happening.fields.items())
    return "\n".join(line for line in (first or happening.name, str(happening.fields.get("hint") or ""), rest) if line)


def _key(bucket: str, cause: str) -> str:
    return f"{bucket}\0{cause}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M UTC}"
