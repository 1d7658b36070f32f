"""The member list: what the spool remembers of each member and the original it was copied from.

It lies beside the tar and outlives it until the originals are released, because a restart needs it: to write the manifest,
to fill the catalogue, and to know which originals may go. It is internal and short-lived, so it is made for speed: a first
line with its version, then a record a member: numbers of fixed width, among them how long the names are that follow (the
original's path; user and group, each ended by NUL). At the end stands a CRC-32 of everything before it, so that a torn list
is never taken for a whole one.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from struct import Struct

from s3batch.model import Member, SpooledMember
from s3batch.pack.tar import Attributes, Written
from s3sync.dropzone.candidate import Identity, Numbers
from s3sync.errors import Permanent

_FIRST_LINE = b"s3batch member list 2\n"
_CHUNK_BYTES = 1 << 20
_CRC_BYTES = 4

_RECORD = Struct("<HHQ32sQQqqqHIIH")
"""Bytes of the path, and of user and group; offset; SHA-256; device, inode, size, mtime, ctime; uid, gid, mode; where in the
path the key begins. """


class ListedOwner:
    """A member's mode and owner as the list has them, made ready once for all files that share them."""

    __slots__ = ("gid", "mode", "names", "uid")

    def __init__(self, attributes: Attributes) -> None:
        """Make `attributes` ready."""
        self.mode, self.uid, self.gid = attributes.mode, attributes.uid, attributes.gid
        self.names = b"%b\0%b\0" % (attributes.user.encode(), attributes.group.encode())


class MemberListWriter:
    """Collects members in the order they lie in the archive and hands them out as bytes."""

    def __init__(self) -> None:
        """Begin with the first line."""
        self._pending = [_FIRST_LINE]
        self._crc = 0
        self.count = 0
        """How many members were added."""

    def add(self, path: bytes, numbers: Numbers, place: Written, owner: ListedOwner) -> None:
        """Append the candidate of `path` and `numbers`, copied to `place`."""
        names = owner.names
        record = _RECORD.pack(len(path), len(names), *place, *numbers, owner.uid, owner.gid, owner.mode)
        self._pending += (record, path, names)
        self.count += 1

    def take(self) -> bytes:
        """Return what has been added since the last call."""
        piece = b"".join(self._pending)
        self._pending.clear()
        self._crc = zlib.crc32(piece, self._crc)
        return piece

    def finish(self) -> bytes:
        """Return the rest and the checksum."""
        piece = self.take()
        return piece + self._crc.to_bytes(_CRC_BYTES, "little")


def read_member_list(path: Path) -> Iterator[SpooledMember]:
    """Yield the members of a whole list, in constant memory.

    Checked first and yielded after, so that nothing is done on the strength of a torn list. Raises `Permanent` where the list
    is torn, of another version, or gone.
    """
    _check(path)
    with path.open("rb") as file:
        file.seek(len(_FIRST_LINE))
        rest = b""
        while chunk := file.read(_CHUNK_BYTES):
            rest = yield from _whole_records(rest + chunk)


def _whole_records(piece: bytes) -> Generator[SpooledMember, None, bytes]:
    """Yield the members whose records are whole in `piece`, which begins with one; return what is left of it."""
    at, last = 0, len(piece) - _RECORD.size
    while at <= last:
        numbers = _RECORD.unpack_from(piece, at)
        path_bytes, names_bytes, offset, sha256, device, inode, size, mtime_ns, ctime_ns, key_at, uid, gid, mode = numbers
        path_at = at + _RECORD.size
        names_at = path_at + path_bytes
        end = names_at + names_bytes
        if end > len(piece):
            break
        path = piece[path_at:names_at]
        user, group = _accounts(piece[names_at:end])
        member = Member(path[key_at:], offset, size, sha256.hex(), mtime_ns, mode, uid, gid, user, group)
        yield SpooledMember(member, path, Identity(device, inode, size, mtime_ns, ctime_ns))
        at = end
    return piece[at:]


@lru_cache(maxsize=1024)
def _accounts(names: bytes) -> tuple[str, str]:
    user, group, _ = names.split(b"\0")
    return user.decode(), group.decode()


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if file.readline() != _FIRST_LINE:
                raise _torn(path, "it is not a member list of this version")
            crc, tail = zlib.crc32(_FIRST_LINE), b""
            while chunk := file.read(_CHUNK_BYTES):
                whole = tail + chunk
                crc, tail = zlib.crc32(memoryview(whole)[:-_CRC_BYTES], crc), whole[-_CRC_BYTES:]
    except OSError as error:
        raise _torn(path, error.strerror or str(error)) from error
    if tail != crc.to_bytes(_CRC_BYTES, "little"):
        raise _torn(path, "it is not whole")


def _torn(path: Path, wrong: str) -> Permanent:
    return Permanent(
        str(path), f"cannot use this member list: {wrong}", "Leave it; the batch is built again under another name"
    )
