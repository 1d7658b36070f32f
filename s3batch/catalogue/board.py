"""The second index: what operators look at beside the members, one small document ("card") for each thing that changes.

Restore requests, what needs a person on each host, and how far each host's outbox is behind. Members' documents never change
and these do, so they live outside the members' pattern and are overwritten. Each write carries the moment it was read as an
external version: one that arrives late, or is sent again, never replaces what is newer.

The index is made with its fields when the first card is sent. Nothing is kept in it that the hosts do not know themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from s3batch.catalogue.arrange import wrong_layout
from s3batch.catalogue.bulks import LEAST_BYTES
from s3batch.catalogue.cluster import Arranges, Json, Writes
from s3batch.catalogue.template import MOST_KEYWORD, REQUESTS_INDEX, meta
from s3sync.errors import Permanent, Transient

MOST_CARDS = 500
"""Sent at once."""
_CONFLICT = 409
_WELL = range(200, 300)

_KEYWORD: Json = {"type": "keyword", "ignore_above": MOST_KEYWORD}
_DATE: Json = {"type": "date"}
_NUMBER: Json = {"type": "long"}


@dataclass(frozen=True, slots=True)
class Card:
    """One document: its id, and what it says (`properties` has the fields)."""

    id: str
    source: Mapping[str, object]


class Cluster(Arranges, Writes, Protocol):
    """What is needed of it."""


def properties() -> dict[str, Json]:
    """Return the fields of a card. `kind` is `request`, `attention` or `host`; each has its own of the others."""
    return {
        "kind": _KEYWORD,
        "host": _KEYWORD,
        "at": _DATE,
        "schema": {"type": "short"},
        # kind request
        "request": _KEYWORD,
        "state": _KEYWORD,
        "user": _KEYWORD,
        "tier": _KEYWORD,
        "days": {"type": "integer"},
        "destination": _KEYWORD,
        "note": {"type": "text", "fields": {"keyword": _KEYWORD}},
        "created": _DATE,
        "members": _NUMBER,
        "bytes": _NUMBER,
        "delivered": _NUMBER,
        "failed": _NUMBER,
        # kind attention
        "open": {"type": "boolean"},
        "sentence": {"type": "text", "fields": {"keyword": _KEYWORD}},
        # kind host
        "archives_behind": _NUMBER,
        "lag_seconds": _NUMBER,
        "refused": _NUMBER,
    }


def index_body() -> Json:
    """Return what the index is made with."""
    return {
        "settings": {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "10s"}},
        "mappings": {"dynamic": "strict", "_meta": meta(), "properties": properties()},
    }


class Board:
    """Pins cards. One thread at a time."""

    def __init__(self, cluster: Cluster) -> None:
        """Ask nothing yet."""
        self._cluster = cluster
        self._ready = False

    def pin(self, cards: Sequence[Card], version: int) -> None:
        """Put each card in place of what its id has, unless that is of this version or newer.

        Raises what the cluster raises, `Permanent` where the index is none of ours, `Transient` where a card was not taken.
        """
        if not self._ready:
            self._make_ready()
        try:
            for begin in range(0, len(cards), MOST_CARDS):
                self._send(cards[begin : begin + MOST_CARDS], version)
        except Transient:
            self._ready = False  # it may have been deleted
            raise

    def _make_ready(self) -> None:
        self._cluster.create_index(REQUESTS_INDEX, index_body())
        for facts in self._cluster.indices(REQUESTS_INDEX):
            problem = wrong_layout(facts)
            if problem is not None:
                hint = f"Delete {facts.name}: every agent pins its cards again"
                raise Permanent(problem.subject, problem.wrong, hint)
        self._ready = True

    def _send(self, cards: Sequence[Card], version: int) -> None:
        lines: list[str] = []
        size = 0
        for card in cards:
            pair = f"{_action(card, version)}\n{json.dumps(card.source, separators=(',', ':'))}\n"
            if lines and size + len(pair) > LEAST_BYTES:
                self._bulk("".join(lines), len(lines))
                lines, size = [], 0
            lines.append(pair)
            size += len(pair)
        self._bulk("".join(lines), len(lines))

    def _bulk(self, body: str, cards: int) -> None:
        replies = self._cluster.bulk(body)
        if len(replies) != cards:
            raise Transient("the index", "gave an answer that is none of a bulk request", "Check that it is OpenSearch")
        for reply in replies:
            if reply.status not in _WELL and reply.status != _CONFLICT:
                wrong = f"did not take it ({reply.status}): {reply.reason}"
                raise Transient(f"index {REQUESTS_INDEX}", wrong, "Wait; it is tried again by itself")


def _action(card: Card, version: int) -> str:
    head = {"_index": REQUESTS_INDEX, "_id": card.id, "version": version, "version_type": "external"}
    return json.dumps({"index": head}, separators=(",", ":"))
