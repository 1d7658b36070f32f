"""Write one tar, hashing every member and the whole, and cut out whatever turns out not to have held still.

The loop is ours because it is where the time goes: `tarfile` takes five times as long as GNU tar, this about as long. What
makes it fast is little: one large buffer that headers, data and padding are laid into; data read straight into it; header
bytes made ready once per (mode, owner); one SHA-256 a member over the bytes where they lie; one CRC64NVME and one write a
full buffer.

The format is POSIX ustar, and PAX records only where ustar cannot say it (a long name, 8 GiB, a huge uid, a time before 1970);
those rare headers are built by the standard library. A member that fits into what is left of the buffer is undone by forgetting
it; a larger one begins at a fresh buffer, so that undoing it is a truncation back to a place whose checksum is known.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from zlib import adler32

from s3sync.dropzone.syscalls import begin_flush
from s3sync.store.checksum import Crc64Nvme

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)
BUFFER_BYTES = 1 << 20
FLUSH_BEHIND_BYTES = 8 << 20
"""So much is on its way to the disk at a time while more is written: the flush at the end has little left to wait for."""
LET_GO_BYTES = 8 << 20
"""In runs of this length, aligned to it: memory that goes beyond one's end is kept by the kernel as a whole."""
THE_REST = 0
"""As a count of bytes, all there are."""

_NAME_BYTES, _PREFIX_BYTES = 100, 155
_MAX_OCTAL_7, _MAX_OCTAL_11 = 8**7 - 1, 8**11 - 1
_MAX_OWNER_BYTES = 31
_ADLER_HOLDS_BYTES = 65_520 // 255 - 1


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a header says of a file besides its name and size. `mode` holds permission bits only."""

    mode: int
    uid: int
    gid: int
    user: str
    group: str


def padded(size: int) -> int:
    """Return `size` rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def footprint(key: bytes, size: int) -> int:
    """Return the bytes a member takes in an archive, header and padding included (exact unless its owner or time needs PAX)."""
    plain = size <= _MAX_OCTAL_11 and (len(key) <= _NAME_BYTES or _split(key))
    extra = 0 if plain else BLOCK + padded(len(key) + 128)
    return BLOCK + extra + padded(size)


def _split(key: bytes) -> tuple[bytes, bytes] | None:
    """Return (prefix, name) as ustar wants a path, or None where it cannot be split."""
    if len(key) <= _NAME_BYTES:
        return b"", key
    slash = key.find(b"/", len(key) - _NAME_BYTES - 1)
    if 0 < slash <= _PREFIX_BYTES and slash < len(key) - 1:
        return key[:slash], key[slash + 1 :]
    return None


class Owner:
    """What a header says of a file besides its name, size and time, made ready once for all files that share it."""

    __slots__ = ("attributes", "before", "behind", "fits", "sum")

    def __init__(self, attributes: Attributes) -> None:
        """Make the header bytes of `attributes` ready."""
        user, group = attributes.user.encode(), attributes.group.encode()
        self.attributes = attributes
        self.fits = max(attributes.uid, attributes.gid) <= _MAX_OCTAL_7 and max(len(user), len(group)) <= _MAX_OWNER_BYTES
        """Whether ustar can say it."""
        self.before = b"%07o\0%07o\0%07o\0" % (attributes.mode, attributes.uid, attributes.gid)
        """The bytes before the size."""
        link = bytes(100)
        self.behind = b"0" + link + b"ustar\x0000" + user.ljust(32, b"\0") + group.ljust(32, b"\0") + b"0000000\0" * 2
        """The bytes from the type flag up to the prefix."""
        self.sum = sum(self.before) + sum(self.behind) + 8 * ord(" ")
        """Their sum, and that of the eight blanks the checksum counts as."""


def header(key: bytes, size: int, mtime: int, owner: Owner) -> bytes:
    """Return the header block(s) of a regular file. `mtime` is whole seconds since the epoch."""
    split = (b"", key) if len(key) <= _NAME_BYTES else _split(key)
    if split is None or not owner.fits or size > _MAX_OCTAL_11 or not 0 <= mtime <= _MAX_OCTAL_11:
        return _pax_header(key, size, mtime, owner.attributes)
    prefix, name = split
    numbers = b"%011o\0%011o\0" % (size, mtime)
    checksum = owner.sum + _sum(name + numbers + prefix)
    name, prefix = name.ljust(100, b"\0"), prefix.ljust(167, b"\0")
    return b"%b%b%b%06o\0 %b%b" % (name, owner.before, numbers, checksum, owner.behind, prefix)


def _sum(text: bytes) -> int:
    """Return the sum of the bytes: the lower half of an Adler-32 less one, as long as that cannot have gone round (65,521)."""
    return (adler32(text) & 0xFFFF) - 1 if len(text) <= _ADLER_HOLDS_BYTES else sum(text)


def _pax_header(key: bytes, size: int, mtime: int, attributes: Attributes) -> bytes:
    info = tarfile.TarInfo(key.decode("utf-8", "surrogateescape"))
    info.size, info.mtime, info.mode = size, mtime, attributes.mode
    info.uid, info.gid, info.uname, info.gname = attributes.uid, attributes.gid, attributes.user, attributes.group
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


Written = tuple[int, bytes]
"""Where a member's data begins in the archive, and the SHA-256 of what was written there."""


class Shrunk(Exception):
    """The file ended before the size its header promises."""


class Unreadable(Exception):
    """The file could not be read; the cause is its OSError."""


class Full(Exception):
    """The archive has no room for the file, and holds something already."""


def _let_go(source: int, begin: int, count: int) -> int:
    """Let the kernel forget `count` bytes of an original from `begin`, and return where they end.

    Nobody will read them again, and the archive is as long as all of them: so it takes the memory they had, and not as much
    again from somebody else.
    """
    with suppress(OSError):  # advice that a filesystem may refuse
        os.posix_fadvise(source, begin, count, os.POSIX_FADV_DONTNEED)
    return begin + count


def _readv(source: int, into: memoryview) -> int:
    try:
        return os.readv(source, (into,))
    except OSError as error:
        raise Unreadable from error


class TarWriter:
    """Writes members into an open file from its beginning: `add`, perhaps `undo`, and `finish` at the end.

    OSErrors of the archive's own file (a full disk) rise as they are; the archive is then of no use.
    """

    def __init__(self, fd: int, max_bytes: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        """Write to `fd`, which is empty, by pwrite, at most `max_bytes` unless the first member alone takes more."""
        self._fd = fd
        self._limit = max_bytes - len(END_OF_ARCHIVE)
        self._buffer = memoryview(bytearray(buffer_bytes))
        self._capacity = buffer_bytes
        self._used = 0
        self._flushed = 0
        self._begun = 0
        """Up to where it is on its way to the disk."""
        self._crc = Crc64Nvme()
        self._undo_to: tuple[int, int, Crc64Nvme | None] | None = None
        """What `undo` goes back to: bytes flushed, bytes in the buffer, and the checksum if something was flushed since."""

    @property
    def size(self) -> int:
        """The bytes written so far, the end-of-archive blocks not counted before `finish`."""
        return self._flushed + self._used

    @property
    def crc64nvme(self) -> str:
        """The checksum of everything, as S3 shows it; true after `finish`."""
        return self._crc.base64()

    def add(self, source: int, head: bytes, size: int, undisturbed: Callable[[int], bool]) -> Written:
        """Append `head` and `size` bytes read from `source`, positioned at its start.

        `undisturbed` is asked (with `source`) between the blocks of a large file; when it says no the copying stops with
        `Shrunk`, since somebody is waiting for the file. The member counts only after the next `add` or `finish`; until then
        `undo` takes it out. Raises `Full`, `Shrunk` or `Unreadable`, which are the file's fault, and `OSError`, which is the
        archive's.
        """
        start, buffer = self._used, self._buffer
        begin = start + len(head)
        end = begin + size
        after = -(-end // BLOCK) * BLOCK
        if after > self._capacity or self._flushed + after > self._limit:
            return self._add_elsewhere(source, head, size, undisturbed)
        self._undo_to = (self._flushed, start, None)
        buffer[start:begin] = head
        data = buffer[begin:end]
        try:
            whole = os.readv(source, (data,)) == size
        except OSError as error:
            raise Unreadable from error
        if not whole:
            self._read_rest(source, data)
        if end != after:
            buffer[end:after] = bytes(after - end)
        self._used = after
        return self._flushed + begin, sha256(data).digest()

    def undo(self) -> None:
        """Take the member added last (or half added) out again."""
        if self._undo_to is None:
            return
        self._flushed, self._used, crc = self._undo_to
        self._undo_to = None
        if crc is not None:
            self._crc = crc
            os.ftruncate(self._fd, self._flushed)
            self._begun = min(self._begun, self._flushed)

    def finish(self) -> None:
        """Write the end-of-archive blocks and everything still in the buffer."""
        self._lay(END_OF_ARCHIVE)
        self._flush()

    def _add_elsewhere(self, source: int, head: bytes, size: int, undisturbed: Callable[[int], bool]) -> Written:
        """Append what does not fit into what is left of the buffer, or of the archive."""
        self._undo_to = None
        needed = len(head) + padded(size)
        if self.size and self.size + needed > self._limit:
            raise Full
        self._flush()
        if needed > self._capacity or needed > self._limit:
            return self._add_large(source, head, size, undisturbed)
        return self.add(source, head, size, undisturbed)

    def _read_rest(self, source: int, data: memoryview) -> None:
        """Read again from the start in as many steps as it takes; a short read is rare and not yet the end."""
        os.lseek(source, 0, os.SEEK_SET)
        got = 0
        while got < len(data):
            count = _readv(source, data[got:])
            if count == 0:
                raise Shrunk
            got += count

    def _add_large(self, source: int, head: bytes, size: int, undisturbed: Callable[[int], bool]) -> Written:
        start = self._flushed
        self._undo_to = (start, 0, self._crc.copy())
        digest = sha256()
        self._lay(head)
        done = held_from = 0
        while done < size:
            if self._used == self._capacity:
                self._flush()
            if not undisturbed(source):
                raise Shrunk
            end = min(self._capacity, self._used + size - done)
            count = _readv(source, self._buffer[self._used : end])
            if count == 0:
                raise Shrunk
            digest.update(self._buffer[self._used : self._used + count])
            self._used += count
            done += count
            if done - held_from >= LET_GO_BYTES:
                held_from = _let_go(source, held_from, LET_GO_BYTES)
        _let_go(source, held_from, THE_REST)
        self._lay(bytes(padded(size) - size))
        return start + len(head), digest.digest()

    def _lay(self, piece: bytes) -> None:
        if len(piece) > self._capacity - self._used:
            self._flush()
        self._buffer[self._used : self._used + len(piece)] = piece
        self._used += len(piece)

    def _flush(self) -> None:
        filled = self._buffer[: self._used]
        self._crc.update(filled)
        while filled:
            written = os.pwrite(self._fd, filled, self._flushed)
            self._flushed += written
            filled = filled[written:]
        self._used = 0
        if self._flushed - self._begun >= FLUSH_BEHIND_BYTES:
            begin_flush(self._fd, self._begun, self._flushed - self._begun)
            self._begun = self._flushed
