"""An archive's documents in pieces, each a bulk made ahead of its turn, and the thread's side of sending them.

After a piece that has to wait, or where the index as a whole takes nothing, no later one is sent: the sending thread knows that
first, and remembers it here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import islice

from s3batch.catalogue.documents import Documents, bulks
from s3batch.catalogue.index import Answer, Index, Outcome, Prepared
from s3batch.catalogue.manifest import Manifest
from s3batch.catalogue.outbox import Waiting
from s3sync.errors import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some of an archive's documents on their way."""

    waiting: Waiting
    identity: str
    """What the index was when the archive was begun."""
    first: int
    """The ordinal of the first."""
    prepared: Prepared | None
    """None where all was sent before."""
    last: bool
    """Whether the archive ends with it."""


def pieces_of(index: Index, waiting: Waiting, manifest: Manifest, identity: str) -> Generator[Piece, None, None]:
    """Yield what has not been sent of an archive; at least one piece, so that its end is seen."""
    documents = Documents(manifest.record)
    left = islice(enumerate(manifest.members()), waiting.sent, None)
    first = waiting.sent
    for group in bulks(documents.of(member, ordinal) for ordinal, member in left):
        after = first + len(group)
        last = after == manifest.record.members
        yield Piece(waiting=waiting, identity=identity, first=first, prepared=index.prepared(group), last=last)
        first = after
    if first == waiting.sent:
        yield Piece(waiting=waiting, identity=identity, first=first, prepared=None, last=True)


class Sending:
    """Sends the pieces of one drain, in a thread of its own."""

    def __init__(self, index: Index, stopping: Callable[[], bool]) -> None:
        """Send to `index`, until it is time to stop."""
        self._index = index
        self._stopping = stopping
        self._away = False
        self._stuck: set[str] = set()

    def send(self, piece: Piece) -> list[Answer] | None:
        """Send a piece and return its answers; None where it is not to be sent any more. Raises `Transient`."""
        name = piece.waiting.goes_to
        if self._away or name in self._stuck or self._stopping():
            return None
        try:
            answers = [] if piece.prepared is None else self._index.create(piece.prepared)
        except Failure:
            self._away = True
            raise
        if any(one.outcome is Outcome.LATER for one in answers):
            self._stuck.add(name)
        return answers
