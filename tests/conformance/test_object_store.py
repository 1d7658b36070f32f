"""Every object store keeps the sentences of `s3sync.store.contract`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from s3sync.errors import Failure, Permanent
from s3sync.store.checksum import crc64nvme_base64
from s3sync.store.contract import (
    AlreadyThere,
    Frozen,
    Missing,
    ObjectInfo,
    ObjectRef,
    ObjectStore,
    Rejected,
    StorageClass,
    ThawAnswer,
    ThawState,
    Tier,
)
from s3sync.store.parts import MIB
from s3sync.store.stored import NoLog
from tests.conformance.stores import Bench, on_the_bench, params
from tests.doubles.payloads import payload_of

REF = ObjectRef("bucket", "folder/file.bin")
VERSIONED = ObjectRef("versioned", "folder/file.bin")
LARGE = bytes(range(256)) * (11 * MIB // 256) + b"tail"
NOWHERE = ObjectRef("no-such-bucket", "file")


class Log(NoLog):
    """Remembers every id that was ever noted."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str | None] = []

    def note(self, upload_id: str | None, /) -> None:
        self.noted.append(upload_id)
        super().note(upload_id)


@pytest.fixture(params=params())
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each store in turn."""
    with on_the_bench(request, request.param) as opened:
        yield opened


def put(
    bench: Bench,
    data: bytes,
    *,
    ref: ObjectRef = REF,
    storage_class: StorageClass = StorageClass.STANDARD,
    if_match: str | None = None,
) -> ObjectInfo:
    """Store `data` and return what the store says of it."""
    with payload_of(data, storage_class=storage_class, metadata={"s3batch-id": "b-1"}) as payload:
        bench.store.put(ref, payload, NoLog(), if_match=if_match)
    return head(bench.store, ref)


def head(store: ObjectStore, ref: ObjectRef) -> ObjectInfo:
    """Return what the store says of an object that is there."""
    info = store.head(ref)
    assert info is not None
    return info


def read(bench: Bench, info: ObjectInfo, offset: int, length: int) -> bytes:
    """Return the bytes of a range."""
    with bench.store.read(info.ref, offset=offset, length=length, etag=info.etag) as chunks:
        return b"".join(chunks)


# Storing


@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "small", "in parts"])
def test_head_describes_what_was_put(bench: Bench, data: bytes) -> None:
    """Size, full-object checksum and metadata are those of the payload as soon as put returns."""
    with payload_of(data, metadata={"s3batch-id": "b-1"}) as payload:
        bench.store.put(REF, payload, NoLog())

    info = head(bench.store, REF)

    assert (len(data), payload.crc64nvme, "FULL_OBJECT") == (info.size, info.crc64nvme, info.checksum_type)
    assert (REF, {"s3batch-id": "b-1"}) == (info.ref, dict(info.metadata))


@pytest.mark.parametrize("data", [b"x", LARGE], ids=["small", "in parts"])
def test_an_object_is_kept_in_the_class_asked_for(bench: Bench, data: bytes) -> None:
    """Whichever way it was stored."""
    info = put(bench, data, storage_class=StorageClass.DEEP_ARCHIVE)

    assert StorageClass.DEEP_ARCHIVE == info.storage_class


@pytest.mark.parametrize("data", [b"new", LARGE], ids=["small", "in parts"])
def test_nothing_is_replaced(bench: Bench, data: bytes) -> None:
    """A put where an object is raises AlreadyThere, changes nothing, and leaves no upload behind."""
    before = put(bench, b"old")
    log = Log()

    with payload_of(data) as payload, pytest.raises(AlreadyThere):
        bench.store.put(REF, payload, log)

    assert before == head(bench.store, REF)
    assert ([], None) == (list(bench.store.uploads("bucket", "")), log.upload_id)


def test_a_new_version_is_made_only_over_the_version_named(bench: Bench) -> None:
    """With if_match the current version must be that one; the old version stays readable by its id."""
    old = put(bench, b"old", ref=VERSIONED)

    with pytest.raises(AlreadyThere):
        put(bench, b"new", ref=VERSIONED, if_match='"00000000000000000000000000000000"')
    new = put(bench, b"new", ref=VERSIONED, if_match=old.etag)

    assert old.ref.version_id != new.ref.version_id
    assert (b"old", b"new") == (read(bench, old, 0, 3), read(bench, new, 0, 3))


def test_parts_are_stored_only_over_the_version_named(bench: Bench) -> None:
    """The condition holds for an object in parts as well."""
    put(bench, b"old", ref=VERSIONED)

    with pytest.raises(AlreadyThere):
        put(bench, LARGE, ref=VERSIONED, if_match='"00000000000000000000000000000000"')

    assert [] == list(bench.store.uploads("versioned", ""))


def test_if_match_where_nothing_is_raises_already_there(bench: Bench) -> None:
    """What if_match names is not there, so nothing is stored."""
    with pytest.raises(AlreadyThere):
        put(bench, b"new", ref=VERSIONED, if_match='"00000000000000000000000000000000"')

    assert bench.store.head(VERSIONED) is None


def test_bytes_that_are_not_those_of_the_checksum_are_rejected(bench: Bench) -> None:
    """The store compares what arrives with the checksum demanded."""
    with payload_of(b"torn", crc64nvme="AAAAAAAAAAA=") as payload, pytest.raises(Rejected):
        bench.store.put(REF, payload, NoLog())

    assert bench.store.head(REF) is None


def test_parts_that_are_not_those_of_the_checksum_are_rejected_and_leave_nothing_behind(bench: Bench) -> None:
    """The whole object's checksum is demanded when parts are joined; the upload is aborted."""
    log = Log()

    with payload_of(LARGE, crc64nvme="AAAAAAAAAAA=") as payload, pytest.raises(Rejected):
        bench.store.put(REF, payload, log)

    assert bench.store.head(REF) is None
    assert ([], None) == (list(bench.store.uploads("bucket", "")), log.upload_id)


@pytest.mark.parametrize("size", [5, 11 * MIB], ids=["small", "in parts"])
def test_a_file_shorter_than_the_payload_is_rejected(bench: Bench, size: int) -> None:
    """A payload that says more bytes than its file holds is never stored."""
    with payload_of(b"four", size=size) as payload, pytest.raises(Rejected):
        bench.store.put(REF, payload, NoLog())

    assert bench.store.head(REF) is None


def test_only_the_payloads_bytes_are_stored(bench: Bench) -> None:
    """What a file grew by after its payload was measured is left alone."""
    with payload_of(b"four and more", size=4, crc64nvme=crc64nvme_base64(b"four")) as payload:
        bench.store.put(REF, payload, NoLog())

    assert b"four" == read(bench, head(bench.store, REF), 0, 4)
    assert 4 == head(bench.store, REF).size


def test_putting_does_not_move_the_descriptor(bench: Bench) -> None:
    """Several threads may share a payload's descriptor."""
    with payload_of(LARGE) as payload:
        bench.store.put(REF, payload, NoLog())

        assert 0 == os.lseek(payload.fd, 0, os.SEEK_CUR)


def test_a_missing_bucket_is_missing(bench: Bench) -> None:
    """Every call that needs a bucket says when there is none; head says there is no object."""
    with payload_of(b"x") as payload, pytest.raises(Missing):
        bench.store.put(NOWHERE, payload, NoLog())
    with payload_of(LARGE) as payload, pytest.raises(Missing):
        bench.store.put(NOWHERE, payload, NoLog())
    with pytest.raises(Missing):
        list(bench.store.list(NOWHERE.bucket, ""))
    with pytest.raises(Missing):
        list(bench.store.uploads(NOWHERE.bucket, ""))
    with pytest.raises(Missing):
        bench.store.versioned(NOWHERE.bucket)

    assert bench.store.head(NOWHERE) is None


def test_a_key_of_1025_bytes_is_refused(bench: Bench) -> None:
    """S3's limit is kept by the store, whatever its caller thinks."""
    with pytest.raises(Permanent):
        put(bench, b"x", ref=ObjectRef("bucket", "é" * 512 + "x"))


# Uploads in parts


def test_the_upload_id_is_noted_before_the_first_part_and_cleared_at_the_end(bench: Bench) -> None:
    """A crash at any moment leaves a log that names the upload, or no upload."""
    log = Log()

    with payload_of(LARGE) as payload:
        bench.store.put(REF, payload, log)

    assert 2 == len(log.noted)
    assert log.noted[0]
    assert log.noted[1] is None


def test_an_upload_somebody_ended_is_begun_anew(bench: Bench) -> None:
    """A log that names an upload which is no more does not keep the object from being stored."""
    log = Log()
    log.note("gone" * 10)

    with payload_of(LARGE) as payload:
        bench.store.put(REF, payload, log)

    assert len(LARGE) == head(bench.store, REF).size


def test_aborting_twice_is_no_error(bench: Bench) -> None:
    """Repeating an abort, or aborting what never was, is harmless."""
    bench.store.abort(REF, "never" * 8)
    bench.store.abort(REF, "never" * 8)


# Reading


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (0, 11 * MIB + 4), (5 * MIB - 3, 7), (11 * MIB, 4)])
def test_exactly_the_bytes_asked_for_are_read(bench: Bench, offset: int, length: int) -> None:
    """A range is what lies there, across parts too."""
    info = put(bench, LARGE)

    assert LARGE[offset : offset + length] == read(bench, info, offset, length)


def test_nothing_is_asked_for_no_bytes(bench: Bench) -> None:
    """Length 0 yields nothing, even of an object that is not there."""
    with bench.store.read(NOWHERE, offset=0, length=0, etag='"x"') as chunks:
        assert [] == list(chunks)


def test_a_range_beyond_the_end_is_an_error(bench: Bench) -> None:
    """Never fewer bytes than asked for."""
    info = put(bench, b"four")

    with pytest.raises(Failure):
        read(bench, info, 2, 5)


def test_another_object_is_not_read(bench: Bench) -> None:
    """The object must still bear the ETag."""
    info = put(bench, b"four")

    with pytest.raises(AlreadyThere), bench.store.read(info.ref, offset=0, length=1, etag='"another"') as chunks:
        list(chunks)


def test_what_is_not_there_is_missing(bench: Bench) -> None:
    """Reading nothing raises; head answers None."""
    with pytest.raises(Missing), bench.store.read(REF, offset=0, length=1, etag='"x"') as chunks:
        list(chunks)

    assert bench.store.head(REF) is None


def test_objects_are_listed_in_order_of_their_keys(bench: Bench) -> None:
    """Below the prefix only, each once, whatever characters the key has."""
    keys = ["a/1", "a/b c+d%2F&é", "a/z", "b"]
    for key in reversed(keys):
        put(bench, b"x", ref=ObjectRef("bucket", key))

    assert keys == [ref.key for ref in bench.store.list("bucket", "")]
    assert keys[:3] == [ref.key for ref in bench.store.list("bucket", "a/")]


def test_a_bucket_knows_whether_it_keeps_versions(bench: Bench) -> None:
    """Only a bucket that keeps versions gives version ids."""
    assert (False, True) == (bench.store.versioned("bucket"), bench.store.versioned("versioned"))
    assert put(bench, b"x").ref.version_id is None
    assert put(bench, b"x", ref=VERSIONED).ref.version_id is not None


# Thawing


def test_what_is_not_there_cannot_be_thawed(bench: Bench) -> None:
    """Nothing was begun, and nothing is to be paid."""
    with pytest.raises(Missing):
        bench.store.thaw(REF, days=1, tier=Tier.BULK)


def test_what_is_archived_cannot_be_read_until_it_is_thawed(bench: Bench) -> None:
    """Frozen, then thawing, then thawed with a date; only then a read succeeds."""
    info = put(bench, b"cold", storage_class=StorageClass.DEEP_ARCHIVE)

    assert ThawState.FROZEN == info.thaw.state
    with pytest.raises(Frozen):
        read(bench, info, 0, 4)

    assert ThawAnswer.BEGUN == bench.store.thaw(REF, days=3, tier=Tier.BULK)
    bench.hold_thaw(REF)

    assert ThawState.THAWING == head(bench.store, REF).thaw.state
    with pytest.raises(Frozen):
        read(bench, info, 0, 4)

    bench.finish_thaws()

    thawed = head(bench.store, REF).thaw
    assert ThawState.THAWED == thawed.state
    assert thawed.until is not None
    assert thawed.until.tzinfo is not None
    assert b"old" == read(bench, info, 1, 3)


def test_asking_again_while_it_thaws_is_progress(bench: Bench) -> None:
    """No error, and nothing more to pay."""
    put(bench, b"cold", storage_class=StorageClass.DEEP_ARCHIVE)
    bench.store.thaw(REF, days=3, tier=Tier.BULK)
    bench.hold_thaw(REF)

    assert ThawAnswer.IN_PROGRESS == bench.store.thaw(REF, days=3, tier=Tier.BULK)


def test_asking_again_once_thawed_extends_it(bench: Bench) -> None:
    """The copy is there, and its days count from now."""
    put(bench, b"cold", storage_class=StorageClass.DEEP_ARCHIVE)
    bench.store.thaw(REF, days=3, tier=Tier.STANDARD)
    bench.finish_thaws()
    before = head(bench.store, REF).thaw.until

    assert ThawAnswer.ALREADY_THAWED == bench.store.thaw(REF, days=10, tier=Tier.BULK)

    after = head(bench.store, REF).thaw.until
    assert before is not None
    assert after is not None
    assert before < after


def test_what_is_not_archived_needs_no_thaw(bench: Bench) -> None:
    """Readable at once, and asking for a thaw says so."""
    info = put(bench, b"warm")

    assert ThawState.READABLE == info.thaw.state
    assert ThawAnswer.NOT_ARCHIVED == bench.store.thaw(REF, days=1, tier=Tier.BULK)


def test_a_thawed_copy_lapses(bench: Bench) -> None:
    """After its days the object is frozen again, as if it had never been thawed."""
    info = put(bench, b"cold", storage_class=StorageClass.DEEP_ARCHIVE)
    bench.store.thaw(REF, days=1, tier=Tier.BULK)
    bench.finish_thaws()
    bench.lapse_thaws()

    assert ThawState.FROZEN == head(bench.store, REF).thaw.state
    with pytest.raises(Frozen):
        read(bench, info, 0, 4)
