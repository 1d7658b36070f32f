"""The member list: what the spool remembers of each member and the original it was copied from.

It lies beside the tar and outlives it until the originals are released, because a restart needs it: to write the manifest,
to fill the catalogue, and to know which originals may go. It is internal and short-lived, so it is made for speed: a first
line with its version, then four fields a member, each ended by NUL (no name can hold one): the numbers, the original's
path, user, group. The last field counts the members and bears a CRC-32 of everything before it, so that a torn list is
never taken for a whole one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from s3batch.model import Member, SpooledMember
from s3batch.pack.tar import Attributes, Written
from s3sync.dropzone.candidate import Identity
from s3sync.errors import Permanent

_FIRST_LINE = b"s3batch member list 1\n"
_CHUNK_BYTES = 1 << 20


_RECORD = b"%d %d %b %d %d %d %d %b %d\0%b\0%b"
"""Offset, size, SHA-256, device, inode, mtime, ctime, mode, uid, gid, where the key begins; path; user and group."""


class ListedOwner:
    """A member's mode and owner as the list has them, made ready once for all files that share them."""

    __slots__ = ("names", "numbers")

    def __init__(self, attributes: Attributes) -> None:
        """Make `attributes` ready."""
        self.numbers = b"%d %d %d" % (attributes.mode, attributes.uid, attributes.gid)
        self.names = b"%b\0%b\0" % (attributes.user.encode(), attributes.group.encode())


class MemberListWriter:
    """Collects members in the order they lie in the archive and hands them out as bytes."""

    def __init__(self) -> None:
        """Begin with the first line."""
        self._pending = [_FIRST_LINE]
        self._crc = 0
        self.count = 0
        """How many members were added."""

    def add(self, path: bytes, key_at: int, identity: Identity, place: Written, owner: ListedOwner) -> None:
        """Append the file at `path`, whose key begins at `key_at` in it, copied to `place`."""
        device, inode, size, mtime_ns, ctime_ns = identity
        numbers = (place.offset, size, place.sha256.encode(), device, inode, mtime_ns, ctime_ns, owner.numbers, key_at)
        self._pending.append(_RECORD % (*numbers, path, owner.names))
        self.count += 1

    def take(self) -> bytes:
        """Return what has been added since the last call."""
        piece = b"".join(self._pending)
        self._pending.clear()
        self._crc = zlib.crc32(piece, self._crc)
        return piece

    def finish(self) -> bytes:
        """Return the rest, ended by the count and the checksum."""
        end = b"end %d " % self.count
        self._pending.append(end)
        piece = self.take()
        return b"%b%d\0" % (piece, self._crc)


def read_member_list(path: Path) -> Iterator[SpooledMember]:
    """Yield the members of a whole list, in constant memory.

    Checked first and yielded after, so that nothing is done on the strength of a torn list. Raises `Permanent` where the list
    is torn, of another version, or gone.
    """
    _check(path)
    numbers: list[bytes] = []
    for field in _fields(path):
        numbers.append(field)
        if len(numbers) == 4:  # noqa: PLR2004 - the four fields of the format above
            yield _parse(*numbers)
            numbers.clear()


def _parse(numbers: bytes, path: bytes, user: bytes, group: bytes) -> SpooledMember:
    offset, size, sha256, device, inode, mtime_ns, ctime_ns, mode, uid, gid, key_at = numbers.split(b" ")
    member = Member(
        key=path[int(key_at) :],
        offset=int(offset),
        size=int(size),
        sha256=sha256.decode(),
        mtime_ns=int(mtime_ns),
        mode=int(mode),
        uid=int(uid),
        gid=int(gid),
        user=user.decode(),
        group=group.decode(),
    )
    return SpooledMember(member, path, Identity(int(device), int(inode), int(size), int(mtime_ns), int(ctime_ns)))


def _fields(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(len(_FIRST_LINE))
        rest = b""
        while chunk := file.read(_CHUNK_BYTES):
            *fields, rest = (rest + chunk).split(b"\0")
            yield from fields


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if file.readline() != _FIRST_LINE:
                raise _torn(path, "it is not a member list of this version")
            crc, tail = zlib.crc32(_FIRST_LINE), b""
            while chunk := file.read(_CHUNK_BYTES):
                whole = tail + chunk
                tail = whole[-64:]
                crc = zlib.crc32(whole[:-64], crc)
    except OSError as error:
        raise _torn(path, error.strerror or str(error)) from error
    at = tail.rfind(b" ") + 1
    crc = zlib.crc32(tail[:at], crc)
    if tail[at:] != b"%d\0" % crc:
        raise _torn(path, "it is not whole")


def _torn(path: Path, wrong: str) -> Permanent:
    return Permanent(
        str(path), f"cannot use this member list: {wrong}", "Leave it; the batch is built again under another name"
    )
