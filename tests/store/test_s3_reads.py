"""Reading, listing and thawing against a server that answers what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from s3sync.errors import Permanent, Transient
from s3sync.store.contract import Denied, Missing, ObjectRef, ThawAnswer, Tier
from s3sync.store.s3 import READ_CHUNK_BYTES, S3Store
from tests.doubles.http_server import LOST, Asked, HttpServer, Reply, answering

REF = ObjectRef("bucket", "folder/file.bin", "v7")
DATA = bytes(range(250)) * 8192


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """A server without an answer yet, to which AWS's own variable points."""
    with answering(lambda _asked: LOST) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", opened.endpoint)
        yield opened


@pytest.fixture
def store(server: HttpServer) -> Iterator[S3Store]:
    """A store on that server."""
    made = S3Store()
    yield made
    made.close()


def error(status: int, code: str) -> Callable[[Asked], Reply]:
    """Answer with an error."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return lambda _asked: Reply(status=status, headers={"Content-Type": "application/xml"}, body=body)


def part_of(first: int, last: int, *, total: int = len(DATA), status: int = 206) -> Reply:
    """Answer with a range of the data."""
    headers = {"Content-Range": f"bytes {first}-{last}/{total}", "ETag": '"e"'}
    return Reply(status=status, headers=headers, body=DATA[first : last + 1])


def read(store: S3Store, offset: int, length: int) -> bytes:
    """Return the bytes of a range."""
    with store.read(REF, offset=offset, length=length, etag='"e"') as chunks:
        return b"".join(chunks)


# Reading


def test_a_read_names_range_etag_and_version(store: S3Store, server: HttpServer) -> None:
    """One request, for exactly these bytes of exactly this object."""
    server.answer = lambda _asked: part_of(10, 14)

    assert DATA[10:15] == read(store, 10, 5)
    (asked,) = server.asked
    assert ("bytes=10-14", '"e"', "v7") == (asked.headers["Range"], asked.headers["If-Match"], asked.query["versionId"])


def test_a_long_read_comes_in_chunks(store: S3Store, server: HttpServer) -> None:
    """Memory does not grow with the range."""
    server.answer = lambda _asked: part_of(0, len(DATA) - 1)

    with store.read(REF, offset=0, length=len(DATA), etag='"e"') as chunks:
        pieces = list(chunks)

    assert DATA == b"".join(pieces)
    assert max(len(piece) for piece in pieces) <= READ_CHUNK_BYTES


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=200, headers={"ETag": '"e"'}, body=DATA),
        part_of(0, 4),
        part_of(10, 20),
        part_of(10, 14, total=12),
        Reply(status=206, headers={"ETag": '"e"'}, body=DATA[10:15]),
    ],
    ids=["the whole object", "another range", "a longer range", "beyond the end", "no range"],
)
def test_other_bytes_than_those_asked_for_are_never_handed_on(store: S3Store, server: HttpServer, reply: Reply) -> None:
    """A proxy or a cache in between is not believed."""
    server.answer = lambda _asked: reply

    with pytest.raises(Transient, match="Look for a proxy"):
        read(store, 10, 5)


def test_a_reply_that_ends_early_is_transient(store: S3Store, server: HttpServer) -> None:
    """Whoever reads has the bytes that came, and knows that they are not all."""
    server.answer = lambda _asked: Reply(status=206, headers=part_of(0, 999).headers, body=DATA[:600], says_length=1000)
    came: list[bytes] = []

    with pytest.raises(Transient), store.read(REF, offset=0, length=1000, etag='"e"') as chunks:
        came.extend(chunks)

    assert b"".join(came) == DATA[: len(b"".join(came))]


def test_a_read_left_early_lets_go_of_the_connection(store: S3Store, server: HttpServer) -> None:
    """What is not read is not fetched, and the next read works."""
    server.answer = lambda _asked: part_of(0, len(DATA) - 1)
    with store.read(REF, offset=0, length=len(DATA), etag='"e"') as chunks:
        next(chunks)

    assert DATA == read(store, 0, len(DATA))


def test_a_range_beyond_the_end_is_permanent(store: S3Store, server: HttpServer) -> None:
    """416: the object is not what the catalogue thinks it is."""
    server.answer = error(416, "InvalidRange")

    with pytest.raises(Permanent):
        read(store, 10, 5)


def test_a_server_that_does_not_answer_is_transient(store: S3Store, server: HttpServer) -> None:
    """After the bounded number of attempts."""
    with pytest.raises(Transient):
        read(store, 10, 5)

    assert 5 == len(server.asked)


# Looking


def test_a_head_asks_for_the_checksum(store: S3Store, server: HttpServer) -> None:
    """Without asking, S3 does not show it."""
    headers = {"ETag": '"e"', "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=", "x-amz-checksum-type": "FULL_OBJECT"}
    cold = {
        "x-amz-storage-class": "DEEP_ARCHIVE",
        "x-amz-restore": 'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"',
    }
    server.answer = lambda _asked: Reply(headers={**headers, **cold, "x-amz-version-id": "v7"}, says_length=17)

    info = store.head(REF)

    assert info is not None
    assert (17, "AAAAAAAAAAA=", "FULL_OBJECT", REF) == (info.size, info.crc64nvme, info.checksum_type, info.ref)
    assert datetime(2012, 12, 21, tzinfo=UTC) == info.thaw.until
    assert "ENABLED" == server.asked[0].headers["x-amz-checksum-mode"]


@pytest.mark.parametrize(("status", "kind"), [(403, Denied), (400, Transient)])
def test_a_head_without_a_reason_is_no_answer(store: S3Store, server: HttpServer, status: int, kind: type[Exception]) -> None:
    """Only 404 says that nothing is there."""
    server.answer = lambda _asked: Reply(status=status)

    with pytest.raises(kind):
        store.head(REF)


@pytest.mark.parametrize("status", [404, 405])
def test_a_head_of_nothing_is_none(store: S3Store, server: HttpServer, status: int) -> None:
    """404 is nothing, 405 a delete marker."""
    server.answer = lambda _asked: Reply(status=status)

    assert store.head(REF) is None


# Thawing


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (lambda _asked: Reply(status=202), ThawAnswer.BEGUN),
        (lambda _asked: Reply(status=200), ThawAnswer.ALREADY_THAWED),
        (error(409, "RestoreAlreadyInProgress"), ThawAnswer.IN_PROGRESS),
        (error(403, "InvalidObjectState"), ThawAnswer.NOT_ARCHIVED),
        (error(403, "ObjectAlreadyInActiveTierError"), ThawAnswer.NOT_ARCHIVED),
    ],
    ids=["202", "200", "409", "403", "active"],
)
def test_what_a_thaw_is_answered_with(
    store: S3Store, server: HttpServer, reply: Callable[[Asked], Reply], answer: ThawAnswer
) -> None:
    """Each of these is progress of one kind or another; days, tier and version are sent once."""
    server.answer = reply

    assert answer == store.thaw(REF, days=3, tier=Tier.BULK)
    (asked,) = server.asked
    assert "v7" == asked.query["versionId"]
    assert b"<Days>3</Days>" in asked.body
    assert b"<Tier>Bulk</Tier>" in asked.body


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(404, "NoSuchKey"), Missing),
        (error(405, "MethodNotAllowed"), Missing),
        (error(403, "AccessDenied"), Denied),
        (error(409, "OperationAborted"), Transient),
        (error(503, "GlacierExpeditedRetrievalNotAvailable"), Transient),
        (lambda _asked: Reply(status=204), Permanent),
    ],
    ids=["gone", "marker", "denied", "conflict", "capacity", "unknown"],
)
def test_what_a_thaw_fails_with(
    store: S3Store, server: HttpServer, reply: Callable[[Asked], Reply], kind: type[Exception]
) -> None:
    """A conflict of another kind is no progress."""
    server.answer = reply

    with pytest.raises(kind):
        store.thaw(REF, days=3, tier=Tier.STANDARD)


# Listing


def test_unfinished_uploads_are_listed_over_pages(store: S3Store, server: HttpServer) -> None:
    """Keys and markers come URL-encoded; the markers go back as they are."""

    def answer(asked: Asked) -> Reply:
        if "key-marker" not in asked.query:
            return Reply(body=uploads_page("a%2Fb+c%26%01", "u1", truncated=True))
        assert ("a/b c&\x01", "u1") == (asked.query["key-marker"], asked.query["upload-id-marker"])
        return Reply(body=uploads_page("a%2Fd%2Be", "u2", truncated=False))

    server.answer = answer

    found = list(store.uploads("bucket", "a/"))

    assert [("a/b c&\x01", "u1"), ("a/d+e", "u2")] == [(upload.ref.key, upload.upload_id) for upload in found]
    assert datetime(2026, 3, 10, 9, tzinfo=UTC) == found[0].begun


def uploads_page(key: str, upload_id: str, *, truncated: bool) -> bytes:
    """Return a page of ListMultipartUploads."""
    return f"""<?xml version="1.0"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
        <Bucket>bucket</Bucket><EncodingType>url</EncodingType><IsTruncated>{str(truncated).lower()}</IsTruncated>
        <NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{upload_id}</NextUploadIdMarker>
        <Upload><Key>{key}</Key><UploadId>{upload_id}</UploadId><Initiated>2026-03-10T09:00:00.000Z</Initiated></Upload>
        </ListMultipartUploadsResult>""".encode()


def test_objects_are_listed_over_pages(store: S3Store, server: HttpServer) -> None:
    """Keys XML cannot hold come as they are."""

    def answer(asked: Asked) -> Reply:
        if "continuation-token" not in asked.query:
            return Reply(body=objects_page("a%2F%01+1", following="more"))
        return Reply(body=objects_page("a%2Fb", following=None))

    server.answer = answer

    assert ["a/\x01 1", "a/b"] == [ref.key for ref in store.list("bucket", "a/")]


def objects_page(key: str, *, following: str | None) -> bytes:
    """Return a page of ListObjectsV2."""
    more = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
    return f"""<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
        <Name>bucket</Name><EncodingType>url</EncodingType><IsTruncated>{str(bool(following)).lower()}</IsTruncated>{more}
        <Contents><Key>{key}</Key><Size>1</Size></Contents></ListBucketResult>""".encode()


# Replies that are none


PAGE = Reply(headers={"Content-Type": "text/html"}, body=b"<html><body><p>Welcome to <b>this network</body></html>")
NO_ANSWERS = {
    "ends in its header": Reply(cut_in_header=True),
    "is a proxy's page": PAGE,
    "is a well-formed page": Reply(headers={"Content-Type": "text/html"}, body=b"<html><body>Welcome</body></html>"),
}
QUESTIONS: dict[str, Callable[[S3Store], object]] = {
    "head": lambda store: store.head(REF),
    "read": lambda store: read(store, 10, 5),
    "list": lambda store: list(store.list("bucket", "")),
    "uploads": lambda store: list(store.uploads("bucket", "")),
}


@pytest.mark.parametrize("no_answer", NO_ANSWERS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_no_answer_is_transient(store: S3Store, server: HttpServer, question: str, no_answer: str) -> None:
    """Never an object without a size, and never an empty listing."""
    server.answer = lambda _asked: NO_ANSWERS[no_answer]

    with pytest.raises(Transient):
        QUESTIONS[question](store)
