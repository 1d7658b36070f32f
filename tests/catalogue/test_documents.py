from __future__ import annotations

import json
import posixpath
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.documents import Documents, Source, bulks, document_id, index_name
from s3batch.catalogue.manifest_fields import clamped_ns, plain
from s3batch.catalogue.targets import member_uri
from s3sync import keys
from s3sync.store.contract import ObjectRef
from s3sync.times import rfc3339, rfc3339_ns
from tests.catalogue.examples import documents_of, members, record
from tests.goldens import golden


def entry(key: str | bytes = "in/my report é.tar.gz", archive: str = "in/a b/batch.tar") -> Entry:
    """Return a member to make a document of."""
    made = record("batch", 1)
    return Entry(members(key)[0], replace(made, ref=ObjectRef("bucket", archive)))


def fields(made: Entry, ordinal: int) -> Source:
    """Return what the document of a member says."""
    said: Source = json.loads(documents_of(made, ordinal).source)
    return said


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


NAMES = st.text(max_size=20).filter(lambda text: "\0" not in text)
"""Lone surrogates among them: a user's name that is not UTF-8 arrives with some."""


@given(
    st.binary(min_size=1, max_size=60).filter(lambda raw: b"\0" not in raw)
    | st.text("a/.'\"#\\é\n", min_size=1).map(str.encode),
    st.text("b/. 'é\"#", min_size=1),
    st.tuples(NAMES, st.sampled_from(["", "\udc80"]), NAMES).map("".join),
    st.integers(-(2**70), 2**70),
    st.integers(0, 0o7777),
)
def test_written_as_an_encoder_would(key: bytes, archive: str, user: str, mtime_ns: int, mode: int) -> None:
    """Whatever names hold, the text put together piece by piece is what a JSON encoder makes of the fields, in their order."""
    first = entry(key, archive)
    one = replace(first, member=first.member._replace(user=user, mtime_ns=mtime_ns, mode=mode))
    documents = Documents(one.archive)
    documents.of(first.member, 0)

    made = documents.of(one.member, 7)

    assert json.dumps(plainly(one, 7), separators=(",", ":")) == made.source
    assert (document_id(one, 7), index_name(one.archive)) == (made.id, made.index)


def plainly(one: Entry, ordinal: int) -> dict[str, object]:
    """Return the fields of a document, each from its own source."""
    member, archive = one.member, one.archive
    shown = keys.display(member.key)
    raw = keys.to_base64(member.key)
    return {
        "bucket": one.bucket,
        "url": f"https://s3.console.aws.amazon.com/s3/object/{one.bucket}?prefix={quote(archive.ref.key, safe='/')}",
        "name": posixpath.splitext(posixpath.basename(archive.ref.key))[0],
        "archive_content": shown,
        "archive_content_name": posixpath.splitext(posixpath.basename(shown))[0],
        "archive_content_extension": posixpath.splitext(posixpath.basename(shown))[1],
        "key": shown,
        "archive": archive.ref.key,
        "ordinal": ordinal,
        "offset": member.offset,
        "size": member.size,
        "sha256": member.sha256,
        "mtime": rfc3339_ns(clamped_ns(member.mtime_ns)),
        "mode": f"{member.mode:04o}",
        "uid": member.uid,
        "gid": member.gid,
        "user": plain(member.user),
        "group": plain(member.group),
        "archived_at": rfc3339(archive.created),
        "storage_class": archive.storage_class.value,
        "host": archive.host,
        "batch": archive.batch,
        "tool": archive.tool,
        "version_id": archive.ref.version_id,
        "archive_size": archive.size,
        "checksum_crc64nvme": archive.crc64nvme,
        "members": archive.members,
        "manifest": str(archive.manifest),
        "schema": 1,
        "restore_command": f"s3batch restore {shlex.quote(member_uri(one))} --to .",
    } | ({} if raw is None else {"key_base64": raw})


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 10), st.integers(500, 5000))
def test_bulks(sizes: list[int], most: int, most_bytes: int) -> None:
    """Groups hold everything in order, within both limits unless one document alone is above."""
    made = [replace(documents_of(entry(), number), source="x" * size) for number, size in enumerate(sizes)]

    groups = list(bulks(made, most, most_bytes))

    assert made == [document for group in groups for document in group]
    assert all(len(group) <= most for group in groups)
    assert all(len(group) == 1 or sum(len(one.source) for one in group) <= most_bytes for group in groups)
