"""Every query and aggregation of the saved objects, asked of a real node as Dashboards asks them.

Rendering was not tried: no Dashboards can be had where this is tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from s3batch.catalogue.arrange import arrange
from s3batch.catalogue.board import Board
from s3batch.catalogue.bulks import DONE, BulkIndex
from s3batch.catalogue.cluster import Hits
from s3batch.catalogue.contract import Entry
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.outbox import Behind
from s3batch.catalogue.template import REQUESTS_INDEX
from s3batch.operate.cards import attention_cards, host_card, request_cards
from tests.catalogue import legacy
from tests.catalogue.examples import BEGIN, documents_of, members, record
from tests.dashboards.test_objects import pattern_of, shipped
from tests.operate.test_board import REQUEST

pytestmark = pytest.mark.slow

OBJECTS = {one["id"]: one for one in shipped()}


@pytest.fixture(
    params=[
        pytest.param("opensearch", marks=pytest.mark.live("opensearch")),
        pytest.param("opensearch3", marks=pytest.mark.live("opensearch3")),
    ]
)
def cluster(request: pytest.FixtureRequest) -> OpenSearchCluster:
    """A cluster with the original's index, two archives of two buckets and days, and a board."""
    made: OpenSearchCluster = request.getfixturevalue(request.param)
    legacy.index(made)
    arrange(made)
    archives = [(record("one", 2), members("in/a", "in/b")), (record("two", 1, bucket="other", day=1), members("c"))]
    documents = [
        documents_of(Entry(member, archive), number) for archive, inside in archives for number, member in enumerate(inside)
    ]
    assert [DONE] * 3 == BulkIndex(made).create(documents)
    late = Behind(3, BEGIN - timedelta(hours=1), 0)
    cards = [*request_cards([REQUEST], "h1"), *attention_cards(["look"], "h1", BEGIN, 2)]
    Board(made).pin([*cards, host_card(late, "h1", BEGIN), host_card(Behind(0, None, 0), "h2", BEGIN)], 1)
    made.refresh("s3-batch*")
    made.refresh(REQUESTS_INDEX)
    return made


def asked(cluster: OpenSearchCluster, name: str, **more: object) -> Hits:
    """Ask what a saved object asks, as Dashboards puts it."""
    one = OBJECTS[name]
    query = one["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"]["query"]
    assert "lucene" == query["language"]
    every = {"query_string": {"query": query["query"], "analyze_wildcard": True}} if query["query"] else {"match_all": {}}
    return cluster.search(OBJECTS[pattern_of(one)]["attributes"]["title"], {"query": {"bool": {"must": [every]}}, **more})


def found(cluster: OpenSearchCluster, name: str) -> list[dict[str, Any]]:
    """Return the rows of a saved search, in its order."""
    sort = [{field: {"order": order, "unmapped_type": "boolean"}} for field, order in OBJECTS[name]["attributes"]["sort"]]
    return [dict(hit.source) for hit in asked(cluster, name, sort=sort, size=500).hits]


def counted(cluster: OpenSearchCluster, name: str) -> dict[tuple[str, ...], float]:
    """Return what a visualisation draws: each bucket's names, and its number."""
    aggs = OBJECTS[name]["attributes"]["visState"]["aggs"]
    (metric,) = [agg for agg in aggs if agg["schema"] == "metric"]
    inner: dict[str, Any] = {} if metric["type"] == "count" else {"1": {metric["type"]: {"field": metric["params"]["field"]}}}
    for agg in reversed([agg for agg in aggs if agg is not metric]):
        inner = {agg["id"]: {**_bucketed(agg, inner), **({"aggs": inner} if inner else {})}}
    return dict(_leaves(asked(cluster, name, size=0, aggs=inner).aggregations, ()))


def _bucketed(agg: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    params = agg["params"]
    if agg["type"] == "date_histogram":
        return {"date_histogram": {"field": params["field"], "calendar_interval": "1d", "min_doc_count": 1}}
    assert "terms" == agg["type"]
    by = params["orderBy"] if params["orderBy"] in inner else "_count"
    return {"terms": {"field": params["field"], "order": {by: params["order"]}, "size": params["size"]}}


def _leaves(level: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float]]:  # noqa: ANN401 - JSON
    buckets = [(key, value["buckets"]) for key, value in level.items() if isinstance(value, dict) and "buckets" in value]
    for _, inside in buckets:
        for bucket in inside:
            yield from _leaves(bucket, (*names, str(bucket.get("key_as_string", bucket["key"]))[:10]))
    if not buckets:
        yield names, level["1"]["value"] if "1" in level else level["doc_count"]


def test_members_show_everybodys_files(cluster: OpenSearchCluster) -> None:
    """Newest first, and what the original wrote after them, in the columns it has."""
    rows = found(cluster, "s3batch-members-search")

    assert ["c", "in/a", "in/b", *legacy.NAMES] == [row["archive_content"] for row in rows[:1]] + sorted(
        row["archive_content"] for row in rows[1:3]
    ) + sorted(row["archive_content"] for row in rows[3:])
    assert all(row["url"].startswith("https://") and row["bucket"] for row in rows)
    assert all(row["restore_command"].startswith("s3batch restore ") for row in rows[:3])


def test_requests_and_attention_show_what_is_open(cluster: OpenSearchCluster) -> None:
    """A closed sentence is not shown; a request is, with its state."""
    assert ["look"] == [row["sentence"] for row in found(cluster, "s3batch-attention")]
    assert [("r-1", "thawing")] == [(row["request"], row["state"]) for row in found(cluster, "s3batch-restore-requests")]


def test_charts_count_what_is_there(cluster: OpenSearchCluster) -> None:
    """Bytes by day and bucket, files an archive by day, requests by state, lag by host."""
    drawn = {name: counted(cluster, name) for name, one in OBJECTS.items() if one["type"] == "visualization"}

    assert {
        "s3batch-bytes-a-day": {("2026-03-01", "bucket"): 200.0, ("2026-03-02", "other"): 100.0},
        "s3batch-files-per-archive": {("2026-03-01",): 2.0, ("2026-03-02",): 1.0},
        "s3batch-restores-by-state": {("thawing",): 1},
        "s3batch-outbox-lag": {("h1",): 3600.0, ("h2",): 0.0},
    } == drawn
