"""The layout of the index as a real server applies it: what each field can be asked, and what is refused."""

from __future__ import annotations

import json

import pytest

from s3batch.catalogue import template
from s3batch.catalogue.bulks import DONE, BulkIndex
from s3batch.catalogue.contract import Entry
from s3batch.catalogue.documents import Document, Source
from s3batch.catalogue.index import Outcome
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3sync import keys
from tests.catalogue.examples import documents_of, members, record

KEYS = (
    "photos/2026/Été au lac/IMG_0042.JPG",
    "photos/2026/E\u0301te\u0301/late.jpg",
    "photos/2026.txt",
    "invoices/acme-corp/InvoiceMarch2026.pdf",
    "photos",
    b"raw/\xff\\name",
    "long/" + "x" * 1019,
)


@pytest.fixture(
    params=[
        pytest.param("opensearch", marks=pytest.mark.live("opensearch")),
        pytest.param("opensearch3", marks=pytest.mark.live("opensearch3")),
    ]
)
def cluster(request: pytest.FixtureRequest) -> OpenSearchCluster:
    """A cluster of each line with the templates, and a member of every kind of key in it."""
    made: OpenSearchCluster = request.getfixturevalue(request.param)
    wildcard = made.server().has_wildcard_fields
    made.put_component_template(template.COMPONENT_TEMPLATE, template.component_template(wildcard=wildcard))
    made.put_index_template(template.INDEX_TEMPLATE, template.index_template())
    documents = [documents_of(entry, number) for number, entry in enumerate(entries())]
    assert [DONE] * len(documents) == BulkIndex(made).create(documents)
    made.refresh(template.ALIAS)
    return made


def entries() -> list[Entry]:
    """Return one archive's members."""
    inside = members(*KEYS)
    return [Entry(member, record("batch", len(inside))) for member in inside]


def found(cluster: OpenSearchCluster, query: dict[str, object]) -> list[object]:
    """Return the keys that are found, in the order they lie in the archive."""
    hits = cluster.search(template.ALIAS, {"query": query, "sort": ["offset"]}).hits
    return [hit.source["key"] for hit in hits]


def test_every_field_of_a_document_has_its_type() -> None:
    """A field without a type would make every document a refused one."""
    for wildcard in (True, False):
        assert set(Source.__annotations__) == set(template.properties(wildcard=wildcard))


@pytest.mark.slow
def test_documents_come_back_as_they_were_sent(cluster: OpenSearchCluster) -> None:
    """Field by field, through the alias, from the archive's month."""
    hits = cluster.search(template.ALIAS, {"sort": ["offset"]}).hits

    sent = [documents_of(entry, number) for number, entry in enumerate(entries())]
    assert [(one.index, one.id, json.loads(one.source)) for one in sent] == [(hit.index, hit.id, hit.source) for hit in hits]


ASKED: list[tuple[dict[str, object], list[int]]] = [
    ({"term": {"key": KEYS[0]}}, [0]),
    ({"term": {"key": KEYS[6]}}, [6]),
    ({"prefix": {"key": "photos/"}}, [0, 1, 2]),
    ({"term": {"key.tree": "photos/2026"}}, [0, 1]),
    ({"term": {"key.tree": "photos"}}, [0, 1, 2, 4]),
    ({"match": {"key.words": {"query": "ete lac", "operator": "and"}}}, [0]),
    ({"match": {"key.words": "été"}}, [0, 1]),
    ({"match": {"key.words": {"query": "invoice 2026 acme", "operator": "and"}}}, [3]),
    ({"match": {"key.words": "img"}}, [0]),
    ({"match": {"key.words": "invoicemarch2026"}}, [3]),
    ({"wildcard": {"key.folded": "*mg_00*"}}, [0]),
    ({"wildcard": {"key.folded": "*ÉTÉ AU*"}}, [0]),
    ({"exists": {"field": "key_base64"}}, [5]),
    ({"match": {"archive_content": "photos"}}, [0, 1, 2, 4]),
    ({"term": {"archive_content.keyword": KEYS[3]}}, [3]),
    ({"term": {"archive_content_extension.keyword": ".jpg"}}, [1]),
    ({"term": {"archive_content_name.keyword": "late"}}, [1]),
    (
        {"range": {"archived_at": {"gte": "2026-03-01T12:00:00.000000Z", "lte": "2026-03-01T12:00:00Z"}}},
        [0, 1, 2, 3, 4, 5, 6],
    ),
    ({"range": {"archived_at": {"gt": "2026-03-01T12:00:00.000000Z"}}}, []),
    ({"range": {"mtime": {"lt": "2024-01-01"}}}, [0, 1, 2, 3, 4, 5, 6]),
    ({"range": {"size": {"gt": 100}}}, []),
    ({"term": {"ordinal": 0}}, [0]),
]
"""Queries, and which of the keys they find."""


@pytest.mark.slow
def test_what_each_field_can_be_asked(cluster: OpenSearchCluster) -> None:
    """Exact, below a folder, by words, by any part, by date and size."""
    expected = [(query, [keys.display(_raw(KEYS[number])) for number in numbers]) for query, numbers in ASKED]

    assert expected == [(query, found(cluster, query)) for query, _ in ASKED]


@pytest.mark.slow
def test_unknown_fields_are_refused(cluster: OpenSearchCluster) -> None:
    """A document with a field of its own is set aside, with the server's words."""
    good = documents_of(entries()[0], 99)
    odd = Document(good.index, good.id, good.source[:-1] + ',"odd":1}')

    (answer,) = BulkIndex(cluster).create([odd])

    assert answer.outcome is Outcome.SET_ASIDE
    assert "odd" in answer.reason


@pytest.mark.slow
def test_extreme_values_fit(cluster: OpenSearchCluster) -> None:
    """Times from 1677 to 2262 and sizes of petabytes are no reason to be set aside."""
    extreme = [
        entries()[0].member._replace(mtime_ns=-(2**63), size=2**50, uid=2**32),
        entries()[0].member._replace(mtime_ns=2**63 - 1, size=0),
        entries()[0].member._replace(mtime_ns=1, key=b"\xff" * 1024),
    ]
    documents = [documents_of(Entry(member, record("other", 3)), number) for number, member in enumerate(extreme)]

    assert [DONE] * 3 == BulkIndex(cluster).create(documents)


def _raw(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else key
