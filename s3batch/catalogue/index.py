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


class Index(Protocol):
    """Takes documents. Sending one twice is harmless: it is created once and never changed."""

    def create(self, documents: Sequence[Document]) -> list[Answer]:
        """Send `documents` and return an answer for each, in their order.

        Raises `Transient` where the index as a whole cannot be reached or refuses to work; some documents may have arrived.
        """
