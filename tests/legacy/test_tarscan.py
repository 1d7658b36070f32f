"""The reader of foreign tars finds what `tarfile` finds, and refuses what would mislead it."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from s3batch.legacy.tarscan import LeftOut, TarScan
from s3batch.model import Member
from s3sync.store.checksum import crc64nvme_base64

FILES = {
    "plain.txt": b"x" * 700,
    "empty": b"",
    "é \n\x07.bin": b"\0" * 512,
    "n" * 255: b"long name",
    "raw\udcff.dat": b"not UTF-8",
    "-f": b"1" * 511,
}


def tar(files: dict[str, bytes] = FILES, *, kind: int = tarfile.PAX_FORMAT, mtime: float = 1_700_000_000.25) -> bytes:
    """Return a tar as the original program made it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=kind) as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode, info.uname = len(data), mtime, 0o640, "ann"
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def scanned(data: bytes, chunk: int = 333) -> tuple[list[Member | LeftOut], str]:
    """Return what is in a tar that comes in small chunks, and the checksum."""
    chunks: Iterator[bytes] = (data[at : at + chunk] for at in range(0, len(data), chunk))
    scan = TarScan(chunks, len(data))
    return list(scan.entries()), scan.crc64nvme


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("chunk", [1, 333, 1 << 20])
def test_finds_every_file_where_it_lies(kind: int, chunk: int) -> None:
    """Names, places, digests and times, whatever the pieces it is read in; and the checksum of the whole."""
    data = tar(kind=kind)
    found, crc = scanned(data, chunk)
    files = [one for one in found if isinstance(one, Member)]

    assert [name.encode("utf-8", "surrogateescape") for name in FILES] == [one.key for one in files]
    assert list(FILES.values()) == [data[one.offset : one.offset + one.size] for one in files]
    assert [hashlib.sha256(content).hexdigest() for content in FILES.values()] == [one.sha256 for one in files]
    fraction = 250_000_000 if kind == tarfile.PAX_FORMAT else 0
    assert {(1_700_000_000 * 10**9 + fraction, 0o640, "ann")} == {(one.mtime_ns, one.mode, one.user) for one in files}
    assert crc64nvme_base64(data) == crc


def test_large_numbers_are_read_in_base_256() -> None:
    """As GNU writes owners that do not fit."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.GNU_FORMAT) as made:
        info = tarfile.TarInfo("a")
        info.uid, info.mtime = 2**31, -5
        made.addfile(info)
    (one,) = scanned(out.getvalue())[0]

    assert isinstance(one, Member)
    assert (2**31, 0) == (one.uid, one.mtime_ns)


def test_what_has_no_bytes_is_told_of() -> None:
    """Links, folders and pipes are no members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as made:
        for name, kind in (("l", tarfile.LNKTYPE), ("s", tarfile.SYMTYPE), ("d", tarfile.DIRTYPE), ("p", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            made.addfile(info)

    assert ["a hard link", "a symbolic link", "a folder", "a pipe"] == [one.what for one in scanned(out.getvalue())[0]]  # type: ignore[union-attr]


def forged(size: bytes = b"00000000010\0", kind: bytes = b"0", name: bytes = b"a") -> bytes:
    """Return one header with the right checksum and what a test puts into it."""
    header = bytearray(512)
    header[: len(name)] = name
    header[124 : 124 + len(size)] = size
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


END = bytes(1024)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "without the mark"),
        (b"<html>".ljust(2048), "no tar"),
        (tar({"a": b"1"})[:1024], "not whole"),
        (forged(b"77777777777\0") + END, "claims 8589934591 bytes"),
        (forged(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff") + END, "claims"),
        (forged(b"77777777777\0", b"x") + END, "extended header"),
        (forged(b"00010000000\0", b"L") + bytes(1 << 22), "extended header"),
        (forged(b"8\0") + END, "number that is none"),
        (forged(b"00000000005\0", b"x") + b"0 a=b".ljust(512, b"\0") + END, "pax header is malformed"),
        (forged(b"00000000011\0", b"x") + b"9 size=x\n".ljust(512, b"\0") + forged() + END, "number that is none"),
        (forged(b"00000000013\0", b"x") + b"11 mtime=x\n".ljust(512, b"\0") + forged() + END, "time that is none"),
        (forged(b"00000000022\0", b"x") + b"18 mtime=1e999999\n".ljust(512, b"\0") + forged() + END, "time that is none"),
    ],
)
def test_hostile_tars_are_refused(data: bytes, words: str) -> None:
    """In a phrase, having taken no more memory than a header may claim."""
    with pytest.raises(ValueError, match=words):
        scanned(data)


def test_what_extended_headers_say_beside_the_matter_is_not_kept() -> None:
    """A tar that is one long row of global headers, each with another record, takes no memory to speak of."""
    count, size = 64, 256 << 10

    def headers() -> Iterator[bytes]:
        for number in range(count):
            body = b" k%03d=" % number
            said = b"%d" % size + body + b"v" * (size - 6 - len(body) - 1) + b"\n"
            yield forged(b"%011o\0" % size, b"g") + said
        yield END

    tracemalloc.start()
    found = list(TarScan(headers(), count * (512 + size) + len(END)).entries())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [] == found
    assert peak < 8 * size


def test_damage_ends_in_a_phrase_and_never_in_a_crash() -> None:
    """Whatever bytes are changed, the reader yields or says `ValueError`; what it yields lies inside."""
    chance = random.Random(5)
    whole = tar()
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(ValueError):
            for one in scanned(bytes(data), 4096)[0]:
                assert isinstance(one, LeftOut) or 512 <= one.offset <= one.offset + one.size <= len(data)
