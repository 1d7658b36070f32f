"""What the outbox asks of the fleet's index, whichever one it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from s3batch.catalogue.documents import Document


class Outcome(StrEnum):
    """What became of one document."""

    DONE = "done"
    """It is there, now or already before."""
    SET_ASIDE = "set_aside"
    """The index will never take it as it is."""
    LATER = "later"
    """The index cannot take it now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one document, and why where it is not there."""

    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Documents that go together, and the body they go in."""

    documents: Sequence[Document]
    body: bytes
    """As it is sent."""
    size: int
    """Bytes of the body before it was packed."""


class Index(Protocol):
    """Takes documents. Sending one twice is harmless: it is created once and never changed.

    All calls raise `Transient` where the index as a whole cannot be reached or refuses to work.
    """

    def ready(self, name: str) -> str:
        """Make sure that documents can go into the index `name`, and return its identity: another one if it was made anew.

        Raises `Permanent` where that index needs a person; others may do.
        """

    def identity(self, name: str) -> str | None:
        """Return the identity of the index `name`; None where there is none."""

    def prepared(self, documents: Sequence[Document]) -> Prepared:
        """Return what `create` takes: all that can be done before the index is asked. From any thread."""

    def create(self, prepared: Prepared) -> list[Answer]:
        """Send documents and return an answer for each, in their order; where `Transient` is raised some may have arrived."""
