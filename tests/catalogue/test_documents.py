from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.documents import bulks, document_id, documents_of, fields
from s3sync.store.contract import ObjectRef
from tests.catalogue.examples import members, record
from tests.goldens import golden


def entry(key: str | bytes = "in/my report é.tar.gz", archive: str = "in/a b/batch.tar") -> Entry:
    """Return a member to make a document of."""
    made = record("batch", 1)
    return Entry(members(key)[0], replace(made, ref=ObjectRef("bucket", archive)))


@pytest.mark.golden
def test_golden_document() -> None:
    """The document is the published one, field by field."""
    rendered = json.dumps(fields(entry(), 0), indent=1, ensure_ascii=False) + "\n"

    assert golden("document-v1.json", rendered.encode()).decode() == rendered


def test_original_fields() -> None:
    """The original's six fields keep their meaning: the console's page, names without endings, the ending with its dot."""
    said = fields(entry(), 0)

    assert {
        "bucket": "bucket",
        "url": "https://s3.console.aws.amazon.com/s3/object/bucket?prefix=in/a%20b/batch.tar",
        "name": "batch",
        "archive_content": "in/my report é.tar.gz",
        "archive_content_name": "my report é.tar",
        "archive_content_extension": ".gz",
    } == dict(list(said.items())[:6])


def test_restore_command_is_one_word_each() -> None:
    """The line to copy names exactly this version, quoted for a shell."""
    assert (
        "s3batch restore 's3://bucket/in/a b/batch.tar#in/my report é.tar.gz' --to ." == fields(entry(), 0)["restore_command"]
    )


def test_key_that_is_not_utf8() -> None:
    """A key that is not UTF-8 is shown, and has its bytes beside it; the document is still JSON."""
    made = documents_of(entry(b"in/\xff"), 0)

    said = json.loads(made.source)
    assert ("in/\\xff", "aW4v/w==") == (said["key"], said["key_base64"])


def test_index_is_of_the_archives_month() -> None:
    """A document goes into the index of the month its archive was created in, by UTC."""
    late = replace(entry(), archive=replace(record("b", 1), created=datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)))

    assert "s3-batch-2026.12" == documents_of(late, 0).index


def test_ids_differ() -> None:
    """An id belongs to one member of one archive of one bucket."""
    other_bucket = replace(entry(), archive=replace(entry().archive, ref=ObjectRef("other", "in/a b/batch.tar")))
    ids = {
        document_id(entry(), 0),
        document_id(entry(), 1),
        document_id(entry("other"), 0),
        document_id(entry(archive="in/other.tar"), 0),
        document_id(other_bucket, 0),
    }

    assert (5, {64}) == (len(ids), {len(one) for one in ids})
    assert document_id(entry(), 0) == document_id(entry(), 0)


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 10), st.integers(500, 5000))
def test_bulks(sizes: list[int], most: int, most_bytes: int) -> None:
    """Groups hold everything in order, within both limits unless one document alone is above."""
    made = [replace(documents_of(entry(), number), source="x" * size) for number, size in enumerate(sizes)]

    groups = list(bulks(made, most, most_bytes))

    assert made == [document for group in groups for document in group]
    assert all(len(group) <= most for group in groups)
    assert all(len(group) == 1 or sum(len(one.source) for one in group) <= most_bytes for group in groups)
