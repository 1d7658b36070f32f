"""A file seen in a drop zone that every eligibility rule calls finished, and what *the same file* means.

A path alone names whatever lies there now, so a file is known by its `Identity` from the moment it is judged until it is
removed. ctime is the strongest of the five: the kernel sets it at every write, chmod and rename, and no user can set it back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import starmap
from struct import Struct
from typing import NamedTuple, Self

FileId = tuple[int, int]
"""Device and inode: which file, for as long as it exists (ext4 reuses an inode number at once)."""


class Identity(NamedTuple):
    """One state of one file. A tuple because a scan makes millions of them."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Identity:
        """Return the identity a stat call saw."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @property
    def file_id(self) -> FileId:
        """Device and inode."""
        return (self.device, self.inode)

    def same_but_ctime(self, other: Identity) -> bool:
        """Tell whether only ctime may differ: a chmod, a link, our own rename; or a forged mtime, so hash before believing."""
        return self[:4] == other[:4]


class Candidate(NamedTuple):
    """A finished file: where it lies, the key it is dropped under, and its state when it was judged.

    A tuple for the same reason, and because it travels to worker processes, which costs a dataclass five times as much.

    `path` is relative to the drop zone's root, raw bytes, `/`-separated. It is `<bucket>/<key>`, except for a file displaced
    into quarantine, which waits there below its own little `<bucket>/<key>` tree to be archived as a new version.
    """

    bucket: str
    key: bytes
    path: bytes
    identity: Identity


_PACKED = Struct("<QQqqqH")
"""Device, inode, size, mtime, ctime, and where in the path the key begins."""

Numbers = tuple[int, int, int, int, int, int]
"""What is packed of a candidate beside its path: the five of its `Identity`, and where in the path its key begins."""


class Candidates:
    """Candidates of one bucket, in order, packed: a tenth of the memory, and handed to another process in no time.

    Grows by `add`; iterating makes `Candidate`s again, and `rows` gives what they are made of to those who count microseconds.
    """

    __slots__ = ("_numbers", "_paths", "bucket")

    def __init__(self, bucket: str) -> None:
        """Begin with none."""
        self.bucket = bucket
        self._paths = bytearray()
        """Each ended by NUL, which no path can hold."""
        self._numbers = bytearray()

    @classmethod
    def of(cls, bucket: str, candidates: Iterable[Candidate]) -> Self:
        """Pack `candidates`, which are all of `bucket`."""
        packed = cls(bucket)
        for candidate in candidates:
            packed.add(candidate)
        return packed

    def add(self, candidate: Candidate) -> None:
        """Append one."""
        path = candidate.path
        self._paths += path
        self._paths.append(0)
        self._numbers += _PACKED.pack(*candidate.identity, len(path) - len(candidate.key))

    def __len__(self) -> int:
        return len(self._numbers) // _PACKED.size

    def __iter__(self) -> Iterator[Candidate]:
        return starmap(self._unpacked, self.rows())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Candidates):
            return NotImplemented
        return (self.bucket, self._paths, self._numbers) == (other.bucket, other._paths, other._numbers)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def folders(self) -> set[bytes]:
        """Return the folders the keys lie in, as keys say them."""
        return {path[numbers[5] :].rpartition(b"/")[0] for path, numbers in self.rows()}

    def rows(self) -> Iterator[tuple[bytes, Numbers]]:
        """Yield what each is made of."""
        return zip(bytes(self._paths).split(b"\0"), _PACKED.iter_unpack(self._numbers), strict=False)

    def _unpacked(self, path: bytes, numbers: Numbers) -> Candidate:
        return Candidate(self.bucket, path[numbers[5] :], path, Identity(*numbers[:5]))
