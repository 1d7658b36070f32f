from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from s3sync.errors import Permanent
from s3sync.store.contract import ObjectRef, StorageClass, ThawState, ThawStatus
from s3sync.store.s3_replies import checksum_type, object_info, storage_class, thaw_status, version_id, wrong_range

REF = ObjectRef("b", "k", "asked")
COLD = StorageClass.DEEP_ARCHIVE
DONE = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"'


@pytest.mark.parametrize(
    ("kept_in", "header", "archive_status", "expected"),
    [
        (StorageClass.STANDARD, None, None, ThawStatus(ThawState.READABLE)),
        (StorageClass.GLACIER_IR, None, None, ThawStatus(ThawState.READABLE)),
        (COLD, None, None, ThawStatus(ThawState.FROZEN)),
        (COLD, 'ongoing-request="true"', None, ThawStatus(ThawState.THAWING)),
        (COLD, DONE, None, ThawStatus(ThawState.THAWED, datetime(2012, 12, 21, tzinfo=UTC))),
        (COLD, 'ongoing-request="false"', None, ThawStatus(ThawState.THAWED)),
        (StorageClass.INTELLIGENT_TIERING, None, None, ThawStatus(ThawState.READABLE)),
        (StorageClass.INTELLIGENT_TIERING, None, "DEEP_ARCHIVE_ACCESS", ThawStatus(ThawState.FROZEN)),
        (StorageClass.INTELLIGENT_TIERING, 'ongoing-request="true"', "ARCHIVE_ACCESS", ThawStatus(ThawState.THAWING)),
    ],
)
def test_the_restore_header(
    kept_in: StorageClass, header: str | None, archive_status: str | None, expected: ThawStatus
) -> None:
    """Absent, ongoing, or done with a date; only where the class can be cold."""
    assert expected == thaw_status(kept_in, header, archive_status)


@pytest.mark.parametrize("header", ["", "true", 'ongoing-request="maybe"', DONE + " or so", DONE.replace("21 Dec", "40 Dec")])
def test_a_restore_header_of_another_grammar_is_not_guessed_at(header: str) -> None:
    """A server that says something else is not believed to have thawed anything."""
    with pytest.raises(ValueError, match=r"."):
        thaw_status(COLD, header)


def test_no_storage_class_is_standard() -> None:
    """S3 leaves the header away."""
    assert StorageClass.STANDARD == storage_class(None)


@pytest.mark.parametrize("shown", [{}, {"VersionId": "null"}])
def test_the_null_version_is_no_version(shown: dict[str, str]) -> None:
    """A bucket that keeps no versions has none to name."""
    assert version_id(shown) is None


def test_a_crc64nvme_is_of_the_full_object() -> None:
    """Also where the server does not say so; of other checksums nothing is assumed."""
    assert "FULL_OBJECT" == checksum_type({"ChecksumCRC64NVME": "AAAAAAAAAAA="})
    assert "COMPOSITE" == checksum_type({"ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "COMPOSITE"})
    assert checksum_type({"ChecksumSHA256": "x"}) is None


def test_a_head_reply_becomes_an_object_info() -> None:
    """Every field comes from the reply, the version too."""
    info = object_info(REF, reply(VersionId="v1", StorageClass="DEEP_ARCHIVE", Restore=DONE, Metadata={"s3batch-id": "b"}))

    assert ObjectRef("b", "k", "v1") == info.ref
    assert (3, '"e"', "CCCCCCCCCCC=", "FULL_OBJECT") == (info.size, info.etag, info.crc64nvme, info.checksum_type)
    assert (COLD, ThawState.THAWED, {"s3batch-id": "b"}) == (info.storage_class, info.thaw.state, info.metadata)


@pytest.mark.parametrize("nonsense", [{"StorageClass": "PAPER"}, {"StorageClass": "GLACIER", "Restore": "soon"}])
def test_a_head_reply_that_makes_no_sense_names_the_object(nonsense: dict[str, str]) -> None:
    """Nothing is assumed of a class or a state that nobody here knows."""
    with pytest.raises(Permanent, match="s3://b/k: S3 says of it"):
        object_info(REF, reply(**nonsense))


@pytest.mark.parametrize(
    ("status", "content_range", "content_length", "is_right"),
    [
        (206, "bytes 10-14/100", 5, True),
        (206, "bytes 10-14/15", 5, True),
        (200, None, 100, False),
        (200, "bytes 10-14/100", 5, False),
        (206, None, 5, False),
        (206, "bytes 0-4/100", 5, False),
        (206, "bytes 10-13/14", 4, False),
        (206, "bytes 10-15/100", 6, False),
        (206, "bytes 10-14/100", 4, False),
        (206, "bytes 10-14/14", 5, False),
        (206, "bytes 10-14/*", 5, False),
        (206, "octets 10-14/100", 5, False),
    ],
)
def test_only_the_range_asked_for_is_right(
    status: int, content_range: str | None, content_length: int, *, is_right: bool
) -> None:
    """Another status, range, length or total is named."""
    wrong = wrong_range(status, content_range, content_length, offset=10, length=5)

    assert is_right == (wrong is None)


def reply(**more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a reply to HEAD with `more` in it."""
    return {"ContentLength": 3, "ETag": '"e"', "ChecksumCRC64NVME": "CCCCCCCCCCC=", **more}
