"""What happened, as frozen records handed to listeners.

Engines never log: they tell a `Listener` an `Event`, and the files of `observe/` turn events into log lines, metrics or
messages. An event's `name` is stable and documented; its fields are ids, sizes and reasons, never sentences. Levels: *debug*
per file, *info* one line per archive, *warning* needs a person this week, *error* now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from s3sync.errors import Failure, Permanent


class Level(StrEnum):
    """How loudly an event speaks."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. Subclasses add fields and set `name` and `level`."""

    name: ClassVar[str]
    level: ClassVar[Level] = Level.INFO


class Listener(Protocol):
    """Takes events; must not raise and must not block, for it is called in the middle of the work, from any thread."""

    def __call__(self, event: Event, /) -> None:
        """Take notice of `event`."""


class Listeners:
    """Several listeners as one, told in order."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        """Tell each of `listeners`."""
        self._listeners = tuple(listeners)

    def __call__(self, event: Event) -> None:
        """Hand `event` to every listener."""
        for listener in self._listeners:
            listener(event)


def silent(event: Event) -> None:
    """Take no notice: the listener of those who need none."""
    del event


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded(Event):
    """The work goes on with less than the full protection or reach; `cause` is stable, `detail` is for people."""

    name: ClassVar[str] = "degraded"
    level: ClassVar[Level] = Level.WARNING
    cause: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(Event):
    """A step of one batch, file or request failed and will be tried again, or was set aside if `permanent`."""

    name: ClassVar[str] = "step_failed"
    level: ClassVar[Level] = Level.ERROR
    step: str
    subject: str
    bucket: str
    wrong: str
    hint: str
    permanent: bool

    @classmethod
    def of(
        cls, failure: Failure, *, step: str, bucket: str, subject: str | None = None, permanent: bool | None = None
    ) -> StepFailed:
        """Tell of `failure`, in `step` of something that belongs to `bucket` (empty where it belongs to none).

        `subject` and `permanent` are the failure's own where they are not given: who retries may have decided otherwise.
        """
        return cls(
            step=step,
            subject=failure.subject if subject is None else subject,
            bucket=bucket,
            wrong=failure.wrong,
            hint=failure.hint,
            permanent=isinstance(failure, Permanent) if permanent is None else permanent,
        )
