"""What an examination finds, and how one that fails hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from s3sync.errors import Failure


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    """As it should be; the hint says what would be better still."""
    WARNING = "warning"
    """The agent runs, with less than it should have."""
    ERROR = "error"
    """The agent would not start, or could archive nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: how it is, and what to do where it is not as it should be."""

    group: str
    subject: str
    level: Level
    detail: str
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether it is as it should be."""
        return self.level in {Level.OK, Level.NOTE}


Looked = Iterable[tuple[str, Level, str, str]]
"""Subject, level, detail and hint of each thing that one look found."""


def examine(group: str, subject: str, look: Callable[[], Looked], *, fatal: bool = False) -> Iterator[Finding]:
    """Yield what `look` finds; where it raises, that is a finding too, about `subject`. `fatal`: nothing works without it."""
    at_worst = Level.ERROR if fatal else Level.WARNING
    try:
        for name, level, detail, hint in look():
            yield Finding(group=group, subject=name, level=level, detail=detail, hint=hint)
    except Failure as failure:
        about = subject if failure.subject in subject else f"{subject} ({failure.subject})"
        yield Finding(group=group, subject=about, level=at_worst, detail=failure.wrong, hint=failure.hint)
    except OSError as error:
        detail = f"cannot be looked at: {error.strerror or error}"
        yield Finding(group=group, subject=subject, level=at_worst, detail=detail, hint="Look at its rights and its disk")
    except Exception as error:  # noqa: BLE001 - whatever this look ran into, the others are worth taking
        detail = f"the examination itself failed: {type(error).__name__}: {error}"
        yield Finding(group=group, subject=subject, level=at_worst, detail=detail, hint="Report this")
