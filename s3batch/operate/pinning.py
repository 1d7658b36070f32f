"""Keep this host's cards on the board true: looked at once a minute, sent where they say something new.

The board is for people's eyes and decides nothing, so what goes wrong with it is told and tried again, and stops nobody:
neither the outbox nor the agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from s3batch.catalogue.board import Board, Card
from s3batch.catalogue.outbox import Behind
from s3batch.operate.cards import MOST_SENTENCES, attention_cards, host_card, request_cards
from s3batch.restore.requests import Request
from s3sync.errors import Failure
from s3sync.events import Event, Level, Listener, silent
from s3sync.times import to_ns

EVERY = timedelta(minutes=1)
AGAIN = timedelta(hours=1)
"""How often every card is sent although nothing is new: the board may have been deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardAway(Event):
    """What operators look at beside the members could not be brought up to date."""

    name: ClassVar[str] = "board_away"
    level: ClassVar[Level] = Level.WARNING
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the cards come from."""

    requests: Callable[[], Iterable[Request]]
    attention: Callable[[], Sequence[str]]
    behind: Callable[[], Behind]


class Pinning:
    """Pins what is new. For one thread at a time."""

    def __init__(self, board: Board, sources: Sources, host: str, listener: Listener = silent) -> None:
        """Pin to `board` in the name of `host`."""
        self._board = board
        self._sources = sources
        self._host = host
        self._listener = listener
        self._sent: dict[str, Card] = {}
        self._slots = MOST_SENTENCES
        """How many slots may be open on the board: all, until we closed them once."""
        self._looked: datetime | None = None
        self._all: datetime | None = None
        self._away = False

    def keep(self, now: datetime) -> None:
        """Look and pin, unless that was done a moment ago."""
        if self._looked is not None and timedelta(0) <= now - self._looked < EVERY:
            return
        self._looked = now
        try:
            self._pin(now)
            self._away = False
        except Failure as failure:
            if not self._away:  # told once, not every minute
                self._listener(BoardAway(wrong=f"{failure.subject}: {failure.wrong}"))
            self._away = True

    def _pin(self, now: datetime) -> None:
        if self._all is None or not timedelta(0) <= now - self._all < AGAIN:
            self._sent, self._slots, self._all = {}, MOST_SENTENCES, now
        sentences = self._sources.attention()
        cards = [
            host_card(self._sources.behind(), self._host, now),
            *attention_cards(sentences, self._host, now, self._slots),
            *request_cards(self._sources.requests(), self._host),
        ]
        news = [card for card in cards if _lasting(self._sent.get(card.id)) != _lasting(card)]
        self._board.pin(news, to_ns(now) // 1000)
        self._slots = min(len(sentences), MOST_SENTENCES)
        self._sent.update((card.id, card) for card in news)


def _lasting(card: Card | None) -> object:
    """Return what a card says but for the moment of looking; a host's card is news by its moment alone."""
    if card is None or card.source["kind"] == "host":
        return card
    return {name: value for name, value in card.source.items() if name != "at"}
