"""What can go wrong, sorted by what a person should do about it.

Three kinds and no more: *transient* (leave it, the next pass tries again), *permanent* (set aside, somebody must look),
*usage* (yours to correct). Every failure names its subject, says what was wrong with it, and begins its hint with a verb.
Provider codes are sorted into this family at the edge that receives them, so that engines only ever meet these three.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """The published exit codes of both programs."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    NOT_FOUND = 4
    INDEX_BEHIND = 5
    PENDING = 6
    PREFLIGHT = 7
    MISMATCH = 8
    LOCKED = 11
    COST_LIMIT = 12
    INTERRUPTED = 130


EXIT_MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done (nothing to do is done)",
    Exit.FAILED: "failed",
    Exit.USAGE: "usage or settings",
    Exit.PARTIAL: "partial: some refused or failed, the rest done",
    Exit.NOT_FOUND: "not found",
    Exit.INDEX_BEHIND: "index unreachable: the work is done, the search is behind",
    Exit.PENDING: "still pending",
    Exit.PREFLIGHT: "preflight refused",
    Exit.MISMATCH: "integrity mismatch",
    Exit.LOCKED: "another agent holds the lock",
    Exit.COST_LIMIT: "cost limit",
    Exit.INTERRUPTED: "interrupted",
}

_GRAVEST_FIRST = (
    Exit.INTERRUPTED,
    Exit.USAGE,
    Exit.MISMATCH,
    Exit.LOCKED,
    Exit.PREFLIGHT,
    Exit.COST_LIMIT,
    Exit.FAILED,
    Exit.PARTIAL,
    Exit.INDEX_BEHIND,
    Exit.PENDING,
    Exit.NOT_FOUND,
    Exit.DONE,
)


def gravest(codes: Iterable[Exit]) -> Exit:
    """Return the one code to exit with where several apply; `DONE` for none."""
    return min(codes, key=_GRAVEST_FIRST.index, default=Exit.DONE)


class Failure(Exception):
    """The root: what it is about, what was wrong, what to do."""

    exit = Exit.FAILED

    def __init__(self, subject: str, wrong: str, hint: str = "") -> None:
        """`subject` names the thing, `wrong` says what was wrong with it, `hint` begins with a verb."""
        super().__init__(subject, wrong, hint)
        self.subject = subject
        self.wrong = wrong
        self.hint = hint

    def __str__(self) -> str:
        """One line for people: subject, what was wrong, what to do."""
        sentence = f"{self.subject}: {self.wrong}"
        return f"{sentence.rstrip('.')}. {self.hint}" if self.hint else sentence  # a library's sentence has its full stop


class Transient(Failure):
    """Will be tried again by the next pass without anybody's help."""


class Permanent(Failure):
    """Trying again would fail the same way; it is set aside and a person is told."""


class Usage(Failure):
    """The caller's to correct: an argument, a setting, a file they gave us."""

    exit = Exit.USAGE


class NotFound(Usage):
    """The thing asked for is not there."""

    exit = Exit.NOT_FOUND


class Preflight(Failure):
    """The agent refuses to start: something it depends on is not as it must be."""

    exit = Exit.PREFLIGHT


class Locked(Failure):
    """Another agent works on this state folder or drop zone."""

    exit = Exit.LOCKED


class Unheard(Failure):
    """Standard output takes no more of what a command has to say; its work is another matter."""

    def __init__(self, error: OSError) -> None:
        """`error` is what writing there ended with."""
        super().__init__("standard output", f"cannot be written: {error.strerror}", "Give it room")


class Mismatch(Permanent):
    """Bytes differ from what was recorded of them."""

    exit = Exit.MISMATCH


class CostLimit(Usage):
    """The estimate is above what the caller allows to be spent."""

    exit = Exit.COST_LIMIT
