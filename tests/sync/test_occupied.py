"""What becomes of a file whose key is taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s3sync.store.contract import ObjectInfo, ObjectRef, StorageClass, ThawState, ThawStatus
from s3sync.transfer.occupied import READ_UP_TO_BYTES, SHA256_MARK, Content, WayOut, compare, proof_of, way_out, worth_reading

SHA = "ab" * 32
CRC = "AAAAAAAAAAA="
INFO = ObjectInfo(
    ref=ObjectRef("b", "k", "v1"),
    size=5,
    etag='"e"',
    crc64nvme=CRC,
    checksum_type="FULL_OBJECT",
    storage_class=StorageClass.STANDARD,
    thaw=ThawStatus(ThawState.READABLE),
    metadata={SHA256_MARK: SHA},
)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (INFO, Content.SAME),
        (replace(INFO, metadata={}), Content.SAME),
        (replace(INFO, storage_class=StorageClass.DEEP_ARCHIVE), Content.SAME),
        (replace(INFO, size=6), Content.OTHER),
        (replace(INFO, crc64nvme="AAAAAAAAAAE="), Content.OTHER),
        (replace(INFO, metadata={SHA256_MARK: "cd" * 32}), Content.OTHER),
        (replace(INFO, crc64nvme=None), Content.UNCLEAR),
        (replace(INFO, checksum_type="COMPOSITE"), Content.UNCLEAR),
    ],
)
def test_only_what_s3_confirms_makes_content_the_same(info: ObjectInfo, expected: Content) -> None:
    """Size and full-object checksum decide, our SHA-256 may only contradict, and without either nobody knows."""
    assert expected == compare(info, size=5, crc64nvme=CRC, sha256=SHA)


@pytest.mark.parametrize(
    ("content", "versioned", "expected"),
    [
        (Content.SAME, False, WayOut.RELEASE),
        (Content.SAME, True, WayOut.RELEASE),
        (Content.OTHER, True, WayOut.NEW_VERSION),
        (Content.OTHER, False, WayOut.HOLD),
        (Content.UNCLEAR, True, WayOut.NEW_VERSION),
        (Content.UNCLEAR, False, WayOut.HOLD),
    ],
)
def test_nothing_is_ever_replaced(content: Content, *, versioned: bool, expected: WayOut) -> None:
    """Without versions, other content holds the file; with them it becomes a new version."""
    assert expected == way_out(content, versioned=versioned)


def test_a_frozen_or_very_large_object_is_not_read_to_be_compared() -> None:
    """Reading costs a thaw in the one case and hours in the other."""
    frozen = replace(INFO, thaw=ThawStatus(ThawState.FROZEN))
    large = replace(INFO, size=READ_UP_TO_BYTES + 1)

    assert [True, False, False] == [worth_reading(info) for info in (INFO, frozen, large)]


def test_a_proof_names_the_very_version_that_was_seen() -> None:
    """What is released on the strength of an object refers to that version of it."""
    proof = proof_of(INFO, CRC)

    assert (ObjectRef("b", "k", "v1"), 5, CRC, '"e"') == (proof.ref, proof.size, proof.crc64nvme, proof.etag)
