from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3batch.catalogue import manifest
from s3batch.catalogue.contract import manifest_ref
from s3batch.model import ArchiveRecord, Member
from s3sync.errors import Permanent
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.store.proof import BATCH_MARK
from tests.catalogue.examples import BEGIN, members, record, stored
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore
from tests.goldens import golden

NAMES = st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name)


def example() -> tuple[ArchiveRecord, list[Member]]:
    """Return an archive whose members show every field of the format."""
    plain, odd, broken = members("a/report é.pdf", "a/\x07\n\u2028.txt", b"a/\xff\\x.bin", size=513)
    inside = [
        plain,
        odd._replace(size=0, mtime_ns=1_700_000_000_123_000_000, mode=0o4755, user="", group=""),
        broken._replace(mtime_ns=-1),
    ]
    made = replace(record("20260301T120000-a1b2c3d4", 3), size=10_240)
    return replace(made, ref=replace(made.ref, version_id="v1")), inside


def changed(change: dict[str, Any], *, where: str = "member") -> bytes:
    """Return the example's manifest with some fields changed; None takes a field away."""
    made, inside = example()
    document = json.loads(gzip.decompress(manifest.render(made, inside)))
    part = {"member": document["members"][0], "archive": document["archive"], "top": document}[where]
    for name, value in change.items():
        part[name] = value
        if value is None:
            del part[name]
    return gzip.compress(json.dumps(document).encode())


@pytest.mark.golden
def test_golden_manifest() -> None:
    """The format is the published one, character for character, whichever zlib packed it."""
    rendered = manifest.render(*example())

    assert gzip.decompress(golden("manifest-v1.json.gz", rendered)) == gzip.decompress(rendered)


@pytest.mark.golden
def test_golden_manifest_is_read() -> None:
    """The published manifest is read back into the archive and members it was written from."""
    made, inside = example()

    read = manifest.read(golden("manifest-v1.json.gz", manifest.render(made, inside)), made.manifest)

    assert (made, inside) == (read.record, list(read.members()))


def test_same_manifest_same_bytes() -> None:
    """Rendering twice gives the same bytes, also packed: no clock and no file name gets in."""
    assert manifest.render(*example()) == manifest.render(*example())


def test_one_member_a_line() -> None:
    """Between the first lines and the last, each line is one member."""
    lines = gzip.decompress(manifest.render(*example())).decode().split("\n")

    assert ["a/report é.pdf", "a/\x07\n\u2028.txt", "a/\\xff\\\\x.bin"] == [
        json.loads(line.rstrip(","))["key"] for line in lines[3:6]
    ]
    assert ["]}", ""] == lines[6:]


@given(st.lists(NAMES, min_size=1, max_size=20, unique=True))
def test_what_is_written_is_read(names: list[bytes]) -> None:
    """Any names come back byte for byte."""
    inside = members(*names)
    made = record("batch", len(inside))

    read = manifest.read(manifest.render(made, inside), made.manifest)

    assert (made, inside) == (read.record, list(read.members()))


def test_times_beyond_64_bits() -> None:
    """A modification time that 64 bits of nanoseconds cannot say becomes the nearest one they can."""
    far = [members("a")[0]._replace(mtime_ns=10**20)]

    read = manifest.read(manifest.render(record("batch", 1), far), record("batch", 1).manifest)

    assert [2**63 - 1] == [member.mtime_ns for member in read.members()]


@pytest.mark.parametrize("indent", [None, 2])
def test_any_layout_is_read(indent: int | None) -> None:
    """A manifest that somebody reformatted says the same."""
    made, inside = example()
    document = json.loads(gzip.decompress(manifest.render(made, inside)))

    read = manifest.read(gzip.compress(json.dumps(document, indent=indent).encode()), made.manifest)

    assert (made, inside) == (read.record, list(read.members()))


def test_unknown_fields_are_let_be() -> None:
    """A later writer may say more under the same version."""
    read = manifest.read(changed({"colour": "blue"}), ObjectRef("bucket", "x"))

    assert read.record.members == 3


@pytest.mark.parametrize(
    ("where", "change", "wrong"),
    [
        ("top", {"version": 2}, "its version is 2, and this program reads 1; a later release may read it"),
        ("top", {"version": True}, "version is missing or not a number"),
        ("top", {"archive": None}, "archive is not an object"),
        ("top", {"members": []}, "it has no members"),
        ("top", {"members": {}}, "'{' where [ belongs"),
        ("archive", {"bucket": "UPPER"}, "bucket is not as it must be"),
        ("archive", {"key": ""}, "key is empty, longer than 1024 bytes or holds a NUL"),
        ("archive", {"size": -1}, "size is missing or not a number"),
        ("archive", {"size": 1 << 60}, "size is missing or not a number"),
        ("archive", {"checksum_crc64nvme": "AAAA"}, "checksum_crc64nvme is not 64 bits in base64"),
        ("archive", {"storage_class": "ICE"}, "storage_class is not as it must be"),
        ("archive", {"batch": "../x"}, "batch is not as it must be"),
        ("archive", {"created": "yesterday"}, "created is not as it must be"),
        ("archive", {"host": 7}, "host is missing or not text"),
        ("member", {"key": None}, "member 1: key is missing or not text"),
        ("member", {"key": "k" * 1025}, "member 1: key is empty, longer than 1024 bytes or holds a NUL"),
        ("member", {"key": "\ud800"}, "member 1: key is not Unicode text"),
        ("member", {"key_base64": "!"}, "member 1: key_base64 is not base64"),
        ("member", {"key_base64": "YQ=="}, "member 1: key and key_base64 name different keys"),
        ("member", {"offset": -512}, "member 1: offset is missing or not a number"),
        ("member", {"offset": 100}, "member 1: offset 100 overlaps what is before it"),
        ("member", {"offset": 1.0}, "member 1: offset is missing or not a number"),
        ("member", {"size": 9_000}, "member 2: offset 2048 overlaps what is before it"),
        ("member", {"size": 10_000}, "member 1: offset 512 and size 10000 go beyond the archive"),
        ("member", {"sha256": "0" * 63}, "member 1: sha256 is not as it must be"),
        ("member", {"sha256": "Z" * 64}, "member 1: sha256 is not as it must be"),
        ("member", {"mtime": "3000-01-01T00:00:00Z"}, "member 1: mtime is not as it must be"),
        ("member", {"mode": "rw-r--r--"}, "member 1: mode is not as it must be"),
        ("member", {"mode": 420}, "member 1: mode is missing or not text"),
        ("member", {"uid": "alice"}, "member 1: uid is missing or not a number"),
        ("member", {"uid": True}, "member 1: uid is missing or not a number"),
        ("member", {"gid": 100.0}, "member 1: gid is missing or not a number"),
        ("member", {"user": ["alice"]}, "member 1: user is missing or not text"),
        ("member", {"user": "u" * 2000}, "member 1: user is too long"),
    ],
)
def test_wrong_fields_are_refused(where: str, change: dict[str, Any], wrong: str) -> None:
    """A manifest with a field that cannot be is refused, and the sentence names the manifest, the field and what is wrong."""
    with pytest.raises(Permanent) as refused:
        manifest.read(changed(change, where=where), ObjectRef("bucket", "s3-batch/manifests/x"))

    assert refused.value.subject == "manifest s3://bucket/s3-batch/manifests/x"
    assert refused.value.wrong.startswith(wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("packed", "wrong"),
    [
        (b"", "'' where { belongs"),
        (b"not gzip", "it is not whole gzip"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-4], "it is not whole gzip"),
        (gzip.compress(b"\xff\xfe", mtime=0), "it is not UTF-8"),
        (gzip.compress(b'{"version":1,', mtime=0), "not JSON"),
        (gzip.compress(b'{"version":1,"version":1,', mtime=0), "a name is missing or repeated"),
        (gzip.compress(b'{"version":NaN,', mtime=0), "NaN is not JSON"),
        (gzip.compress(b'{"a":' + b"[" * 100_000, mtime=0), "nested too deeply"),
        (gzip.compress(b'{"version":"' + b"x" * (3 << 20), mtime=0), "a value is too long"),
    ],
)
def test_what_is_no_manifest_is_refused(packed: bytes, wrong: str) -> None:
    """Bytes that are no manifest at all are refused in one line, whatever they are."""
    with pytest.raises(Permanent) as refused:
        manifest.read(packed, ObjectRef("bucket", "x"))

    assert refused.value.wrong.startswith(wrong)


def test_what_follows_is_refused() -> None:
    """A document with something behind it is refused."""
    made, inside = example()
    text = gzip.decompress(manifest.render(made, inside))

    with pytest.raises(Permanent, match="something follows the document"):
        manifest.read(gzip.compress(text + b"{}"), made.manifest)


def test_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest that unpacks to more than the limit is refused while it is being unpacked."""
    monkeypatch.setattr(manifest, "MOST_TEXT_BYTES", 1 << 20)

    with pytest.raises(Permanent, match="the document is too long"):
        manifest.read(gzip.compress(b'{"version":1,' + b" " * (4 << 20)), ObjectRef("bucket", "x"))


def test_writing_streams() -> None:
    """The writer takes members one by one and writes before it has seen them all."""
    out = io.BytesIO()
    written_at = []

    def slowly() -> Iterator[Member]:
        for member in members(*(f"folder/{number:06}" for number in range(10_000))):
            written_at.append(out.tell())
            yield member

    manifest.write(out, record("batch", 10_000), slowly())

    assert written_at[-1] > 0


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty store of two buckets."""
    return MemoryStore(FakeClock(BEGIN), buckets=("bucket", "other"))


def test_believed_on_its_archives_word(store: MemoryStore) -> None:
    """A manifest is believed where it lies in its place and its archive bears its batch id, size and checksum."""
    made = stored(store, "batch", members("a"))
    read = manifest.read(store.data(made.manifest), made.manifest)

    manifest.believe(store, read, made.manifest)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"size": 1 << 30}, "its archive differs: size is 100000 instead of 1073741824"),
        ({"crc64nvme": "AAAAAAAAAAE="}, "its archive differs: CRC64NVME is "),
        ({"ref": ObjectRef("bucket", "in/nowhere.tar")}, "its archive s3://bucket/in/nowhere.tar is not there"),
    ],
)
def test_not_believed_where_the_archive_differs(store: MemoryStore, change: dict[str, Any], wrong: str) -> None:
    """A manifest that says other things than its archive is not believed."""
    made = stored(store, "batch", members("a"))
    lie = replace(made, **change)
    read = manifest.read(manifest.render(lie, members("a")), made.manifest)

    with pytest.raises(Permanent) as refused:
        manifest.believe(store, read, made.manifest)

    assert refused.value.wrong.startswith(wrong)


def test_not_believed_without_the_batch_mark(store: MemoryStore) -> None:
    """Another batch's archive does not vouch for a manifest."""
    made = stored(store, "batch", members("a"))
    store.seed(made.ref, store.data(made.ref), storage_class=StorageClass.DEEP_ARCHIVE, metadata={BATCH_MARK: "another"})
    read = manifest.read(store.data(made.manifest), made.manifest)

    with pytest.raises(Permanent, match="s3batch-id is another instead of batch"):
        manifest.believe(store, read, made.manifest)


def test_not_believed_for_another_bucket(store: MemoryStore) -> None:
    """Who may write manifests for one bucket cannot speak for another."""
    made = stored(store, "batch", members("a"), bucket="other")
    false_place = manifest_ref("bucket", made.batch, made.created, "bucket")
    read = manifest.read(store.data(made.manifest), false_place)

    with pytest.raises(Permanent, match=r"it belongs at s3-batch/manifests/other/2026/03/01/batch\.json\.gz"):
        manifest.believe(store, read, false_place)
