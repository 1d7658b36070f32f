"""An index of the original program beside ours: what a search has to ask so that both answer, and none fails."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from s3batch.catalogue import template
from s3batch.catalogue.arrange import arrange
from s3batch.catalogue.bulks import DONE, BulkIndex
from s3batch.catalogue.contract import Entry
from s3batch.catalogue.fleet_catalogue import FleetCatalogue
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.commands import find
from s3batch.legacy.former import Former
from s3sync.store.contract import ObjectRef
from tests.catalogue import legacy
from tests.catalogue.examples import documents_of, members, record
from tests.catalogue.test_commands import Ran

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


@pytest.mark.slow
def test_found_by_find(cluster: OpenSearchCluster, catalogue: SqliteCatalogue) -> None:
    """By parts of names and folders, in either case, within its day, beside ours; never by size, nor once imported."""
    long = f"in/{'deep/' * 60}0f4e1d9c-6a52-4a3e-9b6f-0d8f6d0f8a22.tar"
    put(cluster, legacy.documents(archive=long, names=["Ähre.txt"]), "s3-batch-2021.03.05")
    put(cluster, legacy.documents(), "s3-batch-2021.03.06")  # sent again, a day later

    def said(*argv: str) -> list[tuple[str, bool]]:
        given = {"fleet": FleetCatalogue(cluster), "former": Former(cluster)}
        ran = Ran(find, catalogue, *argv, "--catalogue", "opensearch", as_json=True, **given)
        return [(one["key"], one.get("former", False)) for one in ran.records]

    old = ("in/2021/Zahlung.pdf", True)
    assert [(OURS, False), old] == said("ZAHL", ".pdf")
    assert [("in/2021/IMG 1.JPG", True)] == said("in/2021", "img 1")
    assert [(f"in/{'deep/' * 60}Ähre.txt", True)] == said("ähr", "deep/deep")
    assert [old] == said("zahlung", "--prefix", "in/2021/", "--bucket", "bucket")
    assert [] == said("zahlung", "--prefix", "in/2021/", "--bucket", "other")
    assert [old] == said("zahlung", "--since", "2021-03-05", "--until", "2021-03-06")
    assert [] == said("zahlung", "--until", "2021-03-04")
    assert [(OURS, False)] == said("zahlung", "--larger", "1")
    assert [(OURS, False)] == said("zahlung", "--limit", "1")

    imported = replace(record("imported-1", 1), ref=ObjectRef("bucket", legacy.ARCHIVE))
    (member,) = members("in/2021/Zahlung.pdf")
    assert [DONE] == BulkIndex(cluster).create([documents_of(Entry(member, imported), 0)])
    cluster.refresh("s3-batch*")
    assert {(OURS, False), ("in/2021/Zahlung.pdf", False)} == set(said("zahlung"))


def put(cluster: OpenSearchCluster, documents: list[dict[str, object]], index: str) -> None:
    """Send documents as the original did."""
    lines = [f"{json.dumps({'index': {'_index': index}})}\n{json.dumps(said)}\n" for said in documents]
    assert {""} == {reply.kind for reply in cluster.bulk("".join(lines))}
    cluster.refresh(index)
