"""Read somebody else's tar from front to back, once, and tell what lies where in it. A tar is untrusted input.

Not `tarfile`: that takes a header's word for how much memory an extended header needs. Here a header's checksum must be right,
sizes must be numbers that end inside the object, extended headers are small, and the archive must end as archives do.
Understood are ustar, pax (`path`, `size`, `mtime`, owners) and GNU's long names: what Python, GNU and BSD tar write of ordinary
files. Whatever has no bytes of its own (links, folders, devices) is told of by name and no member.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from s3batch.catalogue.manifest_fields import clamped_ns
from s3batch.model import Member
from s3sync.store.checksum import Crc64Nvme

BLOCK = 512
MOST_EXTENDED_BYTES = 1 << 20
"""Of one extended header; a name of 1,024 bytes and its fellows need two blocks."""
MOST_ID = 1 << 32
_MOST_TEXT = 1024
_SPARSE = b"GNU.sparse"
_USED = (b"path", b"size", b"mtime", b"uid", b"gid", b"uname", b"gname")
_NOTHING = bytes(BLOCK)
_FILE = (b"0", b"\0", b"7")
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_NUMBER_OFFSETS = {"mode": (100, 108), "uid": (108, 116), "gid": (116, 124), "size": (124, 136), "mtime": (136, 148)}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in the tar that is no ordinary file, and what it is."""

    name: bytes
    what: str


class TarScan:
    """One reading of a tar of `size` bytes that come as `chunks`. `crc64nvme` is right when `entries` has ended."""

    def __init__(self, chunks: Iterator[bytes], size: int) -> None:
        """Read nothing yet."""
        self._chunks = chunks
        self._size = size
        self._at = 0
        self._waiting = memoryview(b"")
        self._crc = Crc64Nvme()

    @property
    def crc64nvme(self) -> str:
        """The checksum of all bytes read so far."""
        return self._crc.base64()

    def entries(self) -> Iterator[Member | LeftOut]:
        """Yield what is in it, members under their names there. Raises `ValueError` with a phrase, and what reading raises."""
        shared: dict[bytes, bytes] = {}
        own: dict[bytes, bytes] = {}
        while (header := self._block()) != _NOTHING:
            numbers = _numbers(header)
            kind = header[156:157]
            if kind in {b"x", b"g", b"L", b"K"}:
                said = self._extended(numbers["size"])
                if kind == b"g":
                    shared |= _records(said)
                else:
                    own |= _records(said) if kind == b"x" else {b"path" if kind == b"L" else b"linkpath": said.rstrip(b"\0")}
                continue
            yield self._entry(header, kind, numbers, {**shared, **own})
            own = {}
        self._take(self._size - self._at, lambda _bytes: None)

    def _entry(self, header: bytes, kind: bytes, numbers: dict[str, int], said: dict[bytes, bytes]) -> Member | LeftOut:
        name = said.get(b"path") or _name(header)
        if _SPARSE in said:
            kind = b"S"
        has_bytes = kind in _FILE or kind not in _KINDS or kind == b"S"
        size = _whole(said[b"size"]) if b"size" in said else numbers["size"]
        digest = hashlib.sha256()
        offset = self._at
        if has_bytes:
            self._take(size, digest.update)
            self._take(-size % BLOCK, lambda _bytes: None)
        if kind not in _FILE or (kind != b"7" and name.endswith(b"/")):
            return LeftOut(name[:_MOST_TEXT], _KINDS.get(kind, "a folder" if kind in _FILE else "of a kind that is not known"))
        return Member(
            key=name,
            offset=offset,
            size=size,
            sha256=digest.hexdigest(),
            mtime_ns=_mtime(said[b"mtime"]) if b"mtime" in said else clamped_ns(numbers["mtime"] * 10**9),
            mode=numbers["mode"] & 0o7777,
            uid=min(_whole(said[b"uid"]) if b"uid" in said else numbers["uid"], MOST_ID),
            gid=min(_whole(said[b"gid"]) if b"gid" in said else numbers["gid"], MOST_ID),
            user=_text(said.get(b"uname", _until_nul(header[265:297]))),
            group=_text(said.get(b"gname", _until_nul(header[297:329]))),
        )

    def _block(self) -> bytes:
        if self._at + BLOCK > self._size:
            raise ValueError(f"it ends at {self._size} without the mark of an end: it is not whole")
        return self._bytes(BLOCK)

    def _extended(self, size: int) -> bytes:
        if size > MOST_EXTENDED_BYTES:
            raise ValueError(f"an extended header before {self._at} claims {size} bytes")
        said = self._bytes(size)
        self._take(-size % BLOCK, lambda _bytes: None)
        return said

    def _bytes(self, count: int) -> bytes:
        pieces: list[bytes] = []
        self._take(count, lambda piece: pieces.append(bytes(piece)))
        return b"".join(pieces)

    def _take(self, count: int, use: Callable[[memoryview], object]) -> None:
        """Give the next `count` bytes to `use`, in pieces."""
        if self._at + count > self._size:
            raise ValueError(f"what begins at {self._at} claims {count} bytes, and the object ends at {self._size}")
        self._at += count
        while count:
            if not self._waiting:
                chunk = next(self._chunks, b"")
                if not chunk:
                    raise ValueError("it ended while it was read")
                self._crc.update(chunk)
                self._waiting = memoryview(chunk)
                continue
            piece, self._waiting = self._waiting[:count], self._waiting[count:]
            use(piece)
            count -= len(piece)


def _numbers(header: bytes) -> dict[str, int]:
    said = _octal(header[148:156])
    summed = sum(header) - sum(header[148:156]) + 8 * 0x20
    if said != summed:
        raise ValueError("it is no tar, or damaged: a header's checksum is wrong")
    return {name: _number(header[begin:end]) for name, (begin, end) in _NUMBER_OFFSETS.items()}


def _number(field: bytes) -> int:
    """Return a number in octal digits, or in base 256 as GNU writes what does not fit; less than nothing becomes nothing."""
    if field[0] & 0x80:
        return 0 if field[0] & 0x40 else int.from_bytes(bytes((field[0] & 0x3F,)) + field[1:], "big")
    return _octal(field)


def _octal(field: bytes) -> int:
    digits = _until_nul(field).strip(b" ")
    if digits and not set(digits) <= set(b"01234567"):
        raise ValueError("it is no tar, or damaged: a header holds a number that is none")
    return int(digits, 8) if digits else 0


def _records(said: bytes) -> dict[bytes, bytes]:
    """Return the records of a pax header that are of use, each `length key=value` and a line's end; no others are kept."""
    found: dict[bytes, bytes] = {}
    while said:
        digits, _, _ = said.partition(b" ")
        length = _whole(digits)
        record = said[len(digits) + 1 : length]
        key, equals, value = record[:-1].partition(b"=")
        if length > len(said) or not equals or record[-1:] != b"\n":
            raise ValueError("a pax header is malformed")
        if key in _USED or key.startswith(_SPARSE):
            found[key if key in _USED else _SPARSE] = value
        said = said[length:]
    return found


def _whole(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 20:  # noqa: PLR2004  more than 64 bits
        raise ValueError("an extended header holds a number that is none")
    return int(digits)


def _mtime(said: bytes) -> int:
    try:
        seconds = Decimal(said.decode("ascii"))
        if not seconds.is_finite() or seconds.adjusted() > 12:  # noqa: PLR2004  beyond any calendar
            raise ValueError("an extended header holds a time that is none")
        return clamped_ns(int(seconds * 10**9))
    except (InvalidOperation, UnicodeDecodeError):
        raise ValueError("an extended header holds a time that is none") from None


def _name(header: bytes) -> bytes:
    name, prefix = _until_nul(header[:100]), _until_nul(header[345:500])
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")[:_MOST_TEXT]
