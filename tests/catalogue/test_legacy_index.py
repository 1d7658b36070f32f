"""An index of the original program beside ours: what a search has to ask so that both answer, and none fails."""

from __future__ import annotations

import json

import pytest

from s3batch.catalogue import template
from s3batch.catalogue.arrange import arrange
from s3batch.catalogue.bulks import DONE, BulkIndex
from s3batch.catalogue.contract import Entry
from s3batch.catalogue.documents import documents_of
from s3batch.catalogue.opensearch import OpenSearchCluster
from tests.catalogue import legacy
from tests.catalogue.examples import members, record

OURS = "in/Zahlung.pdf"
BOTH = {OURS, "Zahlung.pdf"}


@pytest.fixture(
    params=[
        pytest.param("opensearch", marks=pytest.mark.live("opensearch")),
        pytest.param("opensearch3", marks=pytest.mark.live("opensearch3")),
    ]
)
def cluster(request: pytest.FixtureRequest) -> OpenSearchCluster:
    """A cluster of each line with an index of the original's, arranged, and one of ours."""
    made: OpenSearchCluster = request.getfixturevalue(request.param)
    legacy.index(made)
    arranged = arrange(made)
    assert [] == arranged.problems
    inside = members(OURS, "in/other.txt")
    assert [DONE, DONE] == BulkIndex(made).create(
        [documents_of(Entry(member, record("one", 2)), number) for number, member in enumerate(inside)]
    )
    made.refresh("s3-batch*")
    return made


def found(cluster: OpenSearchCluster, query: dict[str, object]) -> set[object]:
    """Return the names that are found through the alias, newest first where there is a time."""
    sort = [{name: {"order": "desc", "unmapped_type": kind}} for name, kind in SORT]
    return {hit.source["archive_content"] for hit in cluster.search(template.ALIAS, {"query": query, "sort": sort}).hits}


SORT = (("archived_at", "date_nanos"), ("bucket.keyword", "keyword"), ("archive", "keyword"), ("offset", "long"))
ASKED: list[tuple[dict[str, object], set[str]]] = [
    ({"match": {"archive_content": "zahlung.pdf"}}, BOTH),
    ({"term": {"archive_content_name.keyword": "Zahlung"}}, BOTH),
    ({"term": {"archive_content_extension.keyword": ".pdf"}}, BOTH),
    ({"term": {"bucket.keyword": "bucket"}}, {*BOTH, "in/other.txt", "IMG 1.JPG"}),
    ({"term": {"key": OURS}}, {OURS}),
    ({"term": {"key.tree": "in"}}, {OURS, "in/other.txt"}),
    ({"match": {"key.words": "zahlung"}}, {OURS}),
    ({"wildcard": {"key.folded": "*zahl*"}}, {OURS}),
    ({"range": {"size": {"gte": 0}}}, {OURS, "in/other.txt"}),
    ({"bool": {"should": [{"match": {"key.words": "zahlung"}}, {"match": {"archive_content_name": "zahlung"}}]}}, BOTH),
    ({"bool": {"must_not": {"exists": {"field": "schema"}}}}, {"Zahlung.pdf", "IMG 1.JPG"}),
]


@pytest.mark.slow
def test_every_query_bears_both_kinds(cluster: OpenSearchCluster) -> None:
    """A field that one of them has not finds nothing there; `schema` tells them apart; no shard fails."""
    assert ASKED == [(query, found(cluster, query)) for query, _ in ASKED]


@pytest.mark.slow
def test_the_original_may_go_on_writing(cluster: OpenSearchCluster) -> None:
    """Its next daily index gets our template by its name, which takes its six fields, and only these."""
    name = "s3-batch-2026.11.25"
    lines = [f"{json.dumps({'index': {'_index': name}})}\n{json.dumps(said)}\n" for said in legacy.documents()]

    assert ["", ""] == [reply.kind for reply in cluster.bulk("".join(lines))]
