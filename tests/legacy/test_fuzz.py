"""What the original program and others left is somebody else's bytes: tars, JSON. Only our own family of errors comes out."""

from __future__ import annotations

import gzip
import json
import tarfile
from contextlib import suppress

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from s3batch.legacy.sources import Known, from_manifests
from s3batch.legacy.tarscan import LeftOut, TarScan
from s3sync.errors import Permanent
from s3sync.store.contract import ObjectRef
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore
from tests.legacy.test_tarscan import END, forged, tar

bounded = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

UUID = "0f4e1d9c-1111-4111-8111-111111111111"
ADDRESS = "https://s3.console.aws.amazon.com/s3/object/bucket/"
WHOLE = {kind: tar(kind=kind) for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.text(st.characters(), max_size=12).map(lambda folder: f"{ADDRESS}{folder}/{UUID}.tar") | st.text(max_size=40)


def _scan(data: bytes, chunk: int = 700) -> None:
    """Read a tar; a `ValueError` with a phrase is an answer too. What is found lies inside."""
    with suppress(ValueError):
        for one in TarScan((data[at : at + chunk] for at in range(0, len(data), chunk)), len(data)).entries():
            assert isinstance(one, LeftOut) or 512 <= one.offset <= one.offset + one.size <= len(data)


@bounded
@given(data=st.binary(max_size=2000), chunk=st.integers(1, 700))
def test_any_bytes_as_a_tar(data: bytes, chunk: int) -> None:
    """Bytes that are no tar are refused, with a sound end as without."""
    _scan(data, chunk)
    _scan(data.ljust(2048, b"\0") + END, chunk)


@bounded
@given(size=st.binary(max_size=12), kind=st.binary(min_size=1, max_size=1), name=st.binary(max_size=100))
@example(size=b"\xff" * 12, kind=b"0", name=b"a")
@example(size=b"-0000000001", kind=b"0", name=b"a")
@example(size=b"", kind=b"x", name=b"a")
@example(size=b"", kind=b"0", name=b"")
def test_any_fields_in_a_sound_header(size: bytes, kind: bytes, name: bytes) -> None:
    """A header whose checksum is right may claim what it likes."""
    _scan(forged(size, kind, name) + bytes(1024) + END)


@bounded
@given(said=st.binary(max_size=600), kind=st.sampled_from([b"x", b"g", b"L", b"K"]))
@example(said=b"0 a=b\n", kind=b"x")
@example(said=b"3 =\n", kind=b"x")
@example(said=b"99999999999999999999 path=a\n", kind=b"g")
@example(said=b"22 mtime=1e-999999999\n", kind=b"x")
@example(said=b"14 mtime=sNaN\n", kind=b"x")
@example(said=b"20 mtime=-99999999999\n", kind=b"x")
@example(said=b"23 GNU.sparse.name=../a\n", kind=b"x")
def test_any_extended_header(said: bytes, kind: bytes) -> None:
    """Records of any kind before a file are understood or refused."""
    size = b"%011o\0" % len(said)
    _scan(forged(size, kind) + said.ljust(-(-len(said) // 512) * 512, b"\0") + forged() + bytes(512) + END)


@bounded
@given(record=st.sampled_from([b"path", b"size", b"mtime", b"uid", b"gid", b"uname"]), value=st.binary(max_size=40))
@example(record=b"mtime", value=b"1e-999999999")
@example(record=b"mtime", value=b"-0")
@example(record=b"mtime", value=b"0e999999999999999999")
@example(record=b"uid", value=b"99999999999999999999")
@example(record=b"path", value=b"\0")
def test_any_value_of_a_pax_record(record: bytes, value: bytes) -> None:
    """Well-formed records may say anything."""
    body = b" %s=%s\n" % (record, value)
    length = next(count for count in range(len(body), len(body) + 5) if count == len(body) + len(str(count)))
    said = str(length).encode() + body
    _scan(forged(b"%011o\0" % len(said), b"x") + said.ljust(512, b"\0") + forged() + bytes(512) + END)


@bounded
@given(kind=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_a_damaged_tar(kind: int, data: st.DataObject) -> None:
    """Some bytes changed, or the rest missing."""
    whole = bytearray(WHOLE[kind])
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    _scan(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


def _known(body: bytes) -> Known:
    """Read a fallback manifest; a `Permanent` is an answer too."""
    store, known = MemoryStore(FakeClock(), buckets=("back",)), Known()
    store.seed(ObjectRef("back", "s3-batch/manifests/2021-03-05.json.gz"), body)
    with suppress(Permanent):
        from_manifests(store, "back", known)
    return known


@bounded
@given(body=st.binary(max_size=200))
@example(gzip.compress(b"[" * 100_000))
@example(gzip.compress(b"[" + b"9" * 5000 + b"]"))
@example(gzip.compress(b'["\xff"]'))
@example(gzip.compress(b"[NaN, 1e999]"))
@example(gzip.compress(b"[]") + b"more")
def test_any_bytes_as_a_fallback_manifest(body: bytes) -> None:
    """Bytes that are none are refused, packed or not; nothing is known of them."""
    assert not _known(body).archives
    assert not _known(gzip.compress(body)).archives


@bounded
@given(document=JSON | st.fixed_dictionaries({"bucket": JSON | st.just("bucket"), "url": JSON | KEYS, "archive_content": JSON}))
@example({"bucket": "bucket", "url": f"{ADDRESS}\ud800/{UUID}.tar", "archive_content": "a"})
@example({"bucket": "bucket", "url": f"{ADDRESS}a/{UUID}.tar", "archive_content": "\ud800"})
def test_any_document_of_a_fallback_manifest(document: object) -> None:
    """A document names an archive that S3 can be asked for, or is counted as odd."""
    known = _known(gzip.compress(json.dumps([document]).encode()))

    assert 1 == len(known.archives) + known.odd
    for ref in known.archives:
        assert 0 < len(ref.key.encode("utf-8")) <= 1024
