"""The board as a real node keeps it: what is newer stays, what is over is closed, and nothing of it stops anybody."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from s3batch.catalogue.board import Board, Card
from s3batch.catalogue.opensearch import OpenSearchCluster, Reach
from s3batch.catalogue.outbox import Behind
from s3batch.catalogue.template import REQUESTS_INDEX
from s3batch.operate.cards import MOST_SENTENCES, request_cards
from s3batch.operate.pinning import AGAIN, EVERY, Pinning, Sources
from s3batch.restore.destination import Folder
from s3batch.restore.requests import Deliverer, Request, Requester, State
from s3sync.errors import Permanent
from s3sync.events import Event
from s3sync.store.contract import Tier

NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
REQUEST = Request(
    id="r-1",
    created=NOW,
    requester=Requester("ali\udce9", 1000),
    destination=Folder(b"/in/\xff"),
    deliverer=Deliverer.AGENT,
    tier=Tier.BULK,
    days=3,
    overwrite=False,
    note="the\nnote",
    members=3,
    bytes=10,
    counts={State.THAWING: 2, State.DELIVERED: 1},
)


class Host:
    """What one host would say, changed by the test."""

    def __init__(self, cluster: OpenSearchCluster) -> None:
        self.requests = [REQUEST]
        self.attention = ["bucket a: refused", "2 files are left alone"]
        self.behind = Behind(2, NOW - timedelta(minutes=5), 1)
        self.told: list[Event] = []
        sources = Sources(requests=lambda: self.requests, attention=lambda: self.attention, behind=lambda: self.behind)
        self.pinning = Pinning(Board(cluster), sources, "drop-1", self.told.append)


def cards(cluster: OpenSearchCluster, **wanted: object) -> list[dict[str, object]]:
    """Return what the board says of the cards with these values, sorted by id."""
    cluster.refresh(REQUESTS_INDEX)
    body = {"query": {"bool": {"filter": [{"term": {name: value}} for name, value in wanted.items()]}}, "size": 200}
    hits = cluster.search(REQUESTS_INDEX, body).hits
    return [dict(hit.source) for hit in sorted(hits, key=lambda hit: hit.id)]


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_what_a_host_says_is_on_the_board(opensearch: OpenSearchCluster) -> None:
    """Requests with their state, open sentences, the lag; and all of it again after a change."""
    host = Host(opensearch)
    host.pinning.keep(NOW)

    (request,) = cards(opensearch, kind="request")
    assert ("thawing", 1, "ali\\udce9") == (request["state"], request["delivered"], request["user"])
    assert host.attention == [card["sentence"] for card in cards(opensearch, kind="attention", open=True)]
    (lag,) = cards(opensearch, kind="host")
    assert (2, 300, 1) == (lag["archives_behind"], lag["lag_seconds"], lag["refused"])

    host.requests = [replace(REQUEST, counts={State.DELIVERED: 3})]
    host.attention = ["1 file is left alone"]
    host.behind = Behind(0, None, 0)
    host.pinning.keep(NOW + EVERY)

    assert ["delivered"] == [card["state"] for card in cards(opensearch, kind="request")]
    assert ["1 file is left alone"] == [card["sentence"] for card in cards(opensearch, kind="attention", open=True)]
    assert [0] == [card["lag_seconds"] for card in cards(opensearch, kind="host")]
    assert Counter({False: MOST_SENTENCES - 1, True: 1}) == Counter(
        card["open"] for card in cards(opensearch, kind="attention")
    )
    assert [] == host.told


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_an_old_card_never_replaces_a_newer(opensearch: OpenSearchCluster) -> None:
    """Sent late or twice, it changes nothing and is no failure."""
    board = Board(opensearch)
    (new,) = request_cards([replace(REQUEST, counts={State.DELIVERED: 3})], "drop-1")
    (old,) = request_cards([REQUEST], "drop-1")
    board.pin([new], 2_000)
    board.pin([old], 1_000)
    board.pin([old], 2_000)

    assert ["delivered"] == [card["state"] for card in cards(opensearch, kind="request")]


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_a_deleted_board_comes_back(opensearch: OpenSearchCluster) -> None:
    """Within an hour everything is pinned again, into an index with its fields."""
    host = Host(opensearch)
    host.pinning.keep(NOW)
    opensearch.delete_index(REQUESTS_INDEX)
    opensearch.create_index(REQUESTS_INDEX)
    with pytest.raises(Permanent, match="without the template"):
        Board(opensearch).pin([Card("x", {"kind": "host"})], 1)
    opensearch.delete_index(REQUESTS_INDEX)

    Host(opensearch).pinning.keep(NOW + AGAIN)

    assert 1 == len(cards(opensearch, kind="request"))


def test_a_cluster_that_is_away_is_told_once() -> None:
    """Nobody is stopped by it, and nobody is told every minute."""
    host = Host(OpenSearchCluster(Reach(urls=("http://127.0.0.1:9",), timeout_seconds=1)))
    host.pinning.keep(NOW)
    host.pinning.keep(NOW + EVERY)

    assert ["board_away"] == [event.name for event in host.told]
