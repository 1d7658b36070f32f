"""Storing over a network that breaks: moto behind a proxy that spoils what a test tells it to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from s3sync.errors import Permanent, Transient
from s3sync.store.checksum import crc64nvme_base64
from s3sync.store.contract import AlreadyThere, ObjectRef, Payload, Rejected, Stopped, StorageClass
from s3sync.store.parts import MIB
from s3sync.store.s3 import S3Store
from s3sync.store.stored import NoLog, store_and_prove
from tests.doubles.http_server import LOST, Answer, Asked, HttpServer, Reply, answering, forward
from tests.doubles.moto_server import MotoServer
from tests.doubles.payloads import payload_of

REF = ObjectRef("bucket", "folder/file.bin")
LARGE = b"0123456789abcdef" * (21 * MIB // 16) + b"tail"
MARK = {"s3batch-id": "b-1"}

PUT = "PUT"
BEGIN = "POST uploads"
PART = "PUT partNumber uploadId"
LIST_PARTS = "GET uploadId"
JOIN = "POST uploadId"
ABORT = "DELETE uploadId"


@pytest.fixture
def proxy(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """A proxy before moto, which has the bucket, and to which AWS's own variable points."""
    moto.client().create_bucket(Bucket="bucket")
    with answering(forward(moto.endpoint)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        yield server


@pytest.fixture
def store(proxy: HttpServer) -> Iterator[S3Store]:
    """A store that sends parts of 5 MiB, one at a time."""
    made = a_store()
    yield made
    made.close()


@pytest.fixture
def payload() -> Iterator[Payload]:
    """A payload of five parts."""
    with payload_of(LARGE, metadata=MARK) as opened:
        yield opened


def a_store(stopping: Callable[[], bool] = lambda: False, *, threads: int = 1) -> S3Store:
    """Return a store with small parts."""
    return S3Store(part_size=5 * MIB, threshold=6 * MIB, upload_threads=threads, stopping=stopping)


def spoil(proxy: HttpServer, call: str, reply: Callable[[Asked, Answer], Reply], *, times: int = 1, after: int = 0) -> None:
    """Answer `call` by `reply`, `times` times after the first `after` of them; let everything else through."""
    through = proxy.answer
    seen = {"count": 0}

    def answer(asked: Asked) -> Reply:
        if asked.call == call:
            seen["count"] += 1
            if after < seen["count"] <= after + times:
                return reply(asked, through)
        return through(asked)

    proxy.answer = answer


def lost_after_effect(asked: Asked, through: Answer) -> Reply:
    """Do it, and say nothing."""
    through(asked)
    return LOST


def refused(status: int, code: str) -> Callable[[Asked, Answer], Reply]:
    """Answer with an error, without effect."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return lambda _asked, _through: Reply(status=status, headers={"Content-Type": "application/xml"}, body=body)


def parts_sent(proxy: HttpServer) -> list[str]:
    """Return the numbers of the parts sent, in order."""
    return [asked.query["partNumber"] for asked in proxy.asked if asked.call == PART]


# What goes over the wire


def test_a_single_put_says_everything_at_once(store: S3Store, proxy: HttpServer) -> None:
    """One request with checksum, condition, class and metadata, and none of botocore's own checksums."""
    with payload_of(b"bytes", storage_class=StorageClass.DEEP_ARCHIVE, metadata=MARK) as payload:
        store.put(REF, payload, NoLog())

    assert [PUT] == proxy.calls()
    headers = {name.lower(): value for name, value in proxy.asked[0].headers.items()}
    assert crc64nvme_base64(b"bytes") == headers["x-amz-checksum-crc64nvme"]
    assert ("*", "DEEP_ARCHIVE", "b-1") == (
        headers["if-none-match"],
        headers["x-amz-storage-class"],
        headers["x-amz-meta-s3batch-id"],
    )
    assert ["x-amz-checksum-crc64nvme"] == [name for name in headers if name.startswith("x-amz-checksum")]


def test_an_upload_in_parts_demands_the_whole_checksum_and_size(store: S3Store, proxy: HttpServer, payload: Payload) -> None:
    """Begun as a full-object checksum, each part with its own, joined with the whole value, size and condition."""
    store.put(REF, payload, NoLog())

    assert [BEGIN, *[PART] * 5, JOIN] == proxy.calls()
    begin, first, *_, join = [{name.lower(): value for name, value in asked.headers.items()} for asked in proxy.asked]
    assert ("CRC64NVME", "FULL_OBJECT") == (begin["x-amz-checksum-algorithm"], begin["x-amz-checksum-type"])
    assert crc64nvme_base64(LARGE[: 5 * MIB]) == first["x-amz-checksum-crc64nvme"]
    assert (payload.crc64nvme, "FULL_OBJECT", str(len(LARGE)), "*") == (
        join["x-amz-checksum-crc64nvme"],
        join["x-amz-checksum-type"],
        join["x-amz-mp-object-size"],
        join["if-none-match"],
    )
    assert crc64nvme_base64(LARGE[: 5 * MIB]).encode() in proxy.asked[-1].body


def test_several_parts_are_under_way_at_once(proxy: HttpServer, payload: Payload) -> None:
    """With more threads the object is the same."""
    store = a_store(threads=4)

    proof = store_and_prove(store, REF, payload, NoLog())

    assert {"1", "2", "3", "4", "5"} == set(parts_sent(proxy))
    assert (len(LARGE), payload.crc64nvme) == (proof.size, proof.crc64nvme)
    store.close()


# Broken connections


@pytest.mark.parametrize("call", [BEGIN, PART, JOIN])
def test_a_request_that_breaks_once_is_tried_again(store: S3Store, proxy: HttpServer, payload: Payload, call: str) -> None:
    """Bounded retries are the store's own affair; bodies are sent again from their beginning."""
    spoil(proxy, call, lambda _asked, _through: LOST)

    proof = store_and_prove(store, REF, payload, NoLog())

    assert payload.crc64nvme == proof.crc64nvme


def test_our_own_put_retried_after_a_lost_reply_is_proved(store: S3Store, proxy: HttpServer) -> None:
    """The retry is answered 412: the object is looked at, and it is ours."""
    spoil(proxy, PUT, lost_after_effect)

    with payload_of(b"bytes", metadata=MARK) as payload:
        proof = store_and_prove(store, REF, payload, NoLog())

    assert [PUT, PUT, "HEAD"] == proxy.calls()
    assert payload.crc64nvme == proof.crc64nvme


def test_somebody_elses_object_stays_already_there(store: S3Store, proxy: HttpServer) -> None:
    """The same bytes with another mark are not ours."""
    with payload_of(b"bytes", metadata={"s3batch-id": "b-2"}) as theirs:
        store.put(REF, theirs, NoLog())

    with payload_of(b"bytes", metadata=MARK) as payload, pytest.raises(AlreadyThere):
        store_and_prove(store, REF, payload, NoLog())


def test_a_completion_whose_reply_is_lost_is_proved(store: S3Store, proxy: HttpServer, payload: Payload) -> None:
    """However often its reply is lost, the object is there and is looked at."""
    spoil(proxy, JOIN, lost_after_effect, times=99)
    log = NoLog()

    proof = store_and_prove(store, REF, payload, log)

    assert payload.crc64nvme == proof.crc64nvme
    assert log.upload_id is None


def test_a_beginning_whose_reply_is_lost_leaves_no_second_upload(
    store: S3Store, proxy: HttpServer, payload: Payload, moto: MotoServer
) -> None:
    """The library's retry begins another one; those whose ids nobody heard are aborted, and nothing of another key."""
    before = moto.client().create_multipart_upload(Bucket="bucket", Key=f"{REF.key}.other")["UploadId"]
    spoil(proxy, BEGIN, lost_after_effect, times=2)

    store_and_prove(store, REF, payload, NoLog())

    assert 3 == proxy.calls().count(BEGIN)
    assert [before] == [upload.upload_id for upload in store.uploads("bucket", "")]


def test_a_second_upload_that_cannot_be_looked_for_costs_an_attempt(
    store: S3Store, proxy: HttpServer, payload: Payload
) -> None:
    """The next attempt goes on with the upload that is known; without the right to list, the other is a lifecycle rule's."""
    spoil(proxy, BEGIN, lost_after_effect)
    spoil(proxy, "GET encoding-type prefix uploads", refused(403, "AccessDenied"))
    log = NoLog()

    with pytest.raises(Transient, match="unheard"):
        store_and_prove(store, REF, payload, log)
    proof = store_and_prove(store, REF, payload, log)

    assert (payload.crc64nvme, 2) == (proof.crc64nvme, proxy.calls().count(BEGIN))


def test_an_error_in_a_200_reply_to_a_completion_is_an_error(store: S3Store, proxy: HttpServer, payload: Payload) -> None:
    """S3 begins its reply before it is done; the error comes in the body."""
    spoil(proxy, JOIN, refused(200, "InternalError"), times=99)
    log = NoLog()

    with pytest.raises(Transient):
        store.put(REF, payload, log)

    assert log.upload_id is not None


# Resuming


def test_an_upload_that_broke_off_sends_only_what_is_missing(
    store: S3Store, proxy: HttpServer, payload: Payload, moto: MotoServer
) -> None:
    """Parts that arrived and are our bytes are kept."""
    spoil(proxy, PART, refused(500, "InternalError"), times=99, after=2)
    log = NoLog()
    with pytest.raises(Transient):
        store.put(REF, payload, log)
    proxy.answer = forward(moto.endpoint)
    proxy.asked.clear()

    proof = store_and_prove(store, REF, payload, log)

    assert ["3", "4", "5"] == parts_sent(proxy)
    assert BEGIN not in proxy.calls()
    assert (payload.crc64nvme, None) == (proof.crc64nvme, log.upload_id)


def test_parts_of_other_bytes_are_sent_again(store: S3Store, proxy: HttpServer, payload: Payload, moto: MotoServer) -> None:
    """Whatever an earlier process sent under this id, what is joined is what we have."""
    log = NoLog()
    other = LARGE[: 5 * MIB] + b"X" + LARGE[5 * MIB + 1 :]
    spoil(proxy, JOIN, refused(500, "InternalError"), times=99)
    with payload_of(other, metadata=MARK) as earlier, pytest.raises(Transient):
        store.put(REF, earlier, log)
    proxy.answer = forward(moto.endpoint)
    proxy.asked.clear()

    proof = store_and_prove(store, REF, payload, log)

    assert ["2"] == parts_sent(proxy)
    assert LARGE == moto.client().get_object(Bucket=REF.bucket, Key=REF.key)["Body"].read()
    assert payload.crc64nvme == proof.crc64nvme


@pytest.mark.parametrize("listed", ["true", "false"])
def test_a_checksum_listed_for_a_part_decides(
    store: S3Store, proxy: HttpServer, payload: Payload, moto: MotoServer, listed: str
) -> None:
    """Where the server lists checksums the ETag, which encryption changes, is not looked at."""
    log = NoLog()
    spoil(proxy, PART, refused(500, "InternalError"), times=99, after=3)
    with pytest.raises(Transient):
        store.put(REF, payload, log)

    def with_checksums(asked: Asked, through: Answer) -> Reply:
        reply = through(asked)

        def add(match: re.Match[bytes]) -> bytes:
            number = int(match[1])
            data = LARGE[(number - 1) * 5 * MIB : number * 5 * MIB] if listed == "true" else b"other bytes"
            return match[0] + f"<ChecksumCRC64NVME>{crc64nvme_base64(data)}</ChecksumCRC64NVME>".encode()

        body = re.sub(rb"<PartNumber>(\d+)</PartNumber>", add, reply.body)
        return replace(reply, body=body, says_length=None)

    proxy.answer = forward(moto.endpoint)
    spoil(proxy, LIST_PARTS, with_checksums)
    proxy.asked.clear()

    store_and_prove(store, REF, payload, log)

    assert {"true": ["4", "5"], "false": ["1", "2", "3", "4", "5"]}[listed] == parts_sent(proxy)


def test_an_upload_ended_while_it_was_sent_is_begun_anew_next_time(store: S3Store, proxy: HttpServer, payload: Payload) -> None:
    """A lifecycle rule may abort it; the log forgets it, and the failure is transient."""
    spoil(proxy, PART, refused(404, "NoSuchUpload"), after=2)
    log = NoLog()

    with pytest.raises(Transient):
        store.put(REF, payload, log)

    assert log.upload_id is None


def test_a_race_at_the_completion_ends_the_upload(store: S3Store, proxy: HttpServer, payload: Payload) -> None:
    """After 409 S3 wants all parts again, so the upload is aborted and the next attempt begins anew."""
    spoil(proxy, JOIN, refused(409, "ConditionalRequestConflict"))
    log = NoLog()

    with pytest.raises(Transient):
        store.put(REF, payload, log)

    assert log.upload_id is None
    assert ABORT == proxy.calls()[-1]


@pytest.mark.parametrize(("call", "code"), [(PART, "BadDigest"), (JOIN, "BadDigest"), (JOIN, "InvalidRequest")])
def test_rejected_bytes_end_the_upload(store: S3Store, proxy: HttpServer, payload: Payload, call: str, code: str) -> None:
    """Parts nobody will ever join are not left to be billed."""
    spoil(proxy, call, refused(400, code))
    log = NoLog()

    with pytest.raises(Rejected):
        store.put(REF, payload, log)

    assert log.upload_id is None
    assert [] == list(store.uploads("bucket", ""))


def test_an_upload_that_cannot_be_aborted_stays_in_the_log(store: S3Store, proxy: HttpServer, payload: Payload) -> None:
    """The reason it was given up is what is raised; that it is still there is noted beside it."""
    spoil(proxy, JOIN, refused(400, "BadDigest"))
    spoil(proxy, ABORT, refused(403, "AccessDenied"))
    log = NoLog()

    with pytest.raises(Rejected) as raised:
        store.put(REF, payload, log)

    assert log.upload_id is not None
    assert log.upload_id in raised.value.__notes__[0]


def test_the_first_failure_ends_the_other_parts(proxy: HttpServer, payload: Payload) -> None:
    """What is raised is the reason, not that the others were halted."""
    spoil(proxy, PART, refused(403, "AccessDenied"))
    store = a_store(threads=3)

    with pytest.raises(Permanent, match="AccessDenied"):
        store.put(REF, payload, NoLog())

    store.close()


# Stopping


def test_stopping_leaves_an_upload_that_can_be_resumed(proxy: HttpServer, payload: Payload) -> None:
    """Told to stop between parts, the store raises Stopped; the parts sent so far are kept."""
    store = a_store(lambda: len(parts_sent(proxy)) >= 2)
    log = NoLog()

    with pytest.raises(Stopped):
        store_and_prove(store, REF, payload, log)
    sent = parts_sent(proxy)
    store.close()

    assert log.upload_id is not None
    assert "HEAD" not in proxy.calls()

    later = a_store()
    proxy.asked.clear()
    store_and_prove(later, REF, payload, log)
    later.close()

    assert not {"1"} & set(parts_sent(proxy))
    assert len(sent) + len(parts_sent(proxy)) <= 6


def test_stopping_in_the_middle_of_a_body_ends_it(proxy: HttpServer) -> None:
    """A single put on a slow line is not waited for."""
    asked = {"count": 0}

    def stopping() -> bool:
        asked["count"] += 1
        return asked["count"] > 3

    store = a_store(stopping)
    with payload_of(LARGE[: 5 * MIB]) as payload, pytest.raises(Stopped):
        store.put(REF, payload, NoLog())
    store.close()

    assert [] == [seen for seen in proxy.asked if len(seen.body) == 5 * MIB]


def test_parts_begun_under_a_lower_threshold_are_given_up(store: S3Store, proxy: HttpServer, payload: Payload) -> None:
    """When the same bytes now go in one request, the upload of old is aborted."""
    spoil(proxy, PART, refused(500, "InternalError"), times=99, after=1)
    log = NoLog()
    with pytest.raises(Transient):
        store.put(REF, payload, log)
    whole = S3Store(threshold=64 * MIB)

    whole.put(REF, payload, log)

    assert [ABORT, PUT] == proxy.calls()[-2:]
    assert ([], None) == (list(whole.uploads("bucket", "")), log.upload_id)
    whole.close()
