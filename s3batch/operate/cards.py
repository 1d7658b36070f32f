"""What this host has to say on the board: its requests, what needs a person, how far its outbox is behind. Pure.

A sentence that needs a person has a slot of its host, so that the number of documents is bounded and what is over is marked
as closed instead of lingering. What only a walk through the drop zone shows (files that are held) is `s3batch status`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from s3batch.catalogue.board import Card
from s3batch.catalogue.documents import SCHEMA
from s3batch.catalogue.manifest_fields import plain
from s3batch.catalogue.outbox import Behind
from s3batch.restore.requests import Request, State
from s3sync.keys import printable
from s3sync.times import rfc3339

MOST_SENTENCES = 50
"""Of one host; more than that many kinds of trouble are not told apart on a page."""


def request_cards(requests: Iterable[Request], host: str) -> Iterator[Card]:
    """Yield a card for each request."""
    for request in requests:
        yield Card(
            f"request:{request.id}",
            {
                "kind": "request",
                "host": plain(host),
                "at": rfc3339(request.created),
                "schema": SCHEMA,
                "request": request.id,
                "state": request.state.value,
                "user": plain(request.requester.user),
                "tier": request.tier.value,
                "days": request.days,
                "destination": printable(str(request.destination)),
                "note": plain(request.note),
                "created": rfc3339(request.created),
                "members": request.members,
                "bytes": request.bytes,
                "delivered": request.counts.get(State.DELIVERED, 0),
                "failed": request.counts.get(State.FAILED, 0),
            },
        )


def attention_cards(sentences: Sequence[str], host: str, now: datetime, before: int) -> Iterator[Card]:
    """Yield a card for each sentence, and closed ones for the slots up to `before` that are not needed any more."""
    for slot in range(max(min(len(sentences), MOST_SENTENCES), before)):
        is_open = slot < len(sentences)
        sentence = plain(printable(sentences[slot])) if is_open else ""
        said = {"kind": "attention", "host": plain(host), "at": rfc3339(now), "schema": SCHEMA}
        yield Card(f"attention:{plain(host)}:{slot}", {**said, "open": is_open, "sentence": sentence})


def host_card(behind: Behind, host: str, now: datetime) -> Card:
    """Return the card that says how far this host's archives are behind in the members' index."""
    lag = 0 if behind.since is None else max(0, int((now - behind.since).total_seconds()))
    return Card(
        f"host:{plain(host)}",
        {
            "kind": "host",
            "host": plain(host),
            "at": rfc3339(now),
            "schema": SCHEMA,
            "archives_behind": behind.archives,
            "lag_seconds": lag,
            "refused": behind.set_aside,
        },
    )
