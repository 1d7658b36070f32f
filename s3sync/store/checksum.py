"""CRC64NVME, the checksum S3 keeps of a whole object however it was uploaded.

The only importer of awscrt, and of nothing heavier, because every worker process that writes a tar imports this file. The
choice of checksum was not ours: of those S3 verifies itself, only CRC64NVME is a full-object value for a single PUT and for
parts alike (User Guide, checking object integrity), and it costs a fifteenth of SHA-256. It guards against accidents, not
against forgers; members carry a SHA-256 beside it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable

from awscrt import checksums

from s3sync.errors import Mismatch

READ_BYTES = 1 << 20
"""How much is read at a time: large enough that the call costs nothing, small enough to stay in the processor's cache."""

Buffer = bytes | bytearray | memoryview


class Crc64Nvme:
    """A running CRC64NVME. Not thread-safe; a copy goes its own way."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Begin with nothing read."""
        self.value = 0

    @classmethod
    def from_value(cls, value: int) -> Crc64Nvme:
        """Continue from the `value` of an earlier one."""
        running = cls()
        running.value = value
        return running

    def update(self, buffer: Buffer) -> None:
        """Take in the bytes of `buffer`."""
        self.value = checksums.crc64nvme(buffer, self.value)

    def copy(self) -> Crc64Nvme:
        """Return one that stands where this one stands."""
        return self.from_value(self.value)

    def base64(self) -> str:
        """Return the value as S3 shows it: base64 of eight bytes, the highest first."""
        return base64.b64encode(self.value.to_bytes(8, "big")).decode("ascii")


def crc64nvme_base64(buffer: Buffer) -> str:
    """Return the CRC64NVME of `buffer` as S3 shows it."""
    running = Crc64Nvme()
    running.update(buffer)
    return running.base64()


def of_fd(fd: int, size: int, *, offset: int = 0, between_blocks: Callable[[], None] = lambda: None) -> Crc64Nvme:
    """Return the checksum of `size` bytes of `fd` from `offset`, without moving its position or holding more than one buffer.

    `between_blocks` is called before each read and may raise. Raises `Mismatch` where the file ends before, `OSError` where it
    cannot be read.
    """
    running = Crc64Nvme()
    view = memoryview(bytearray(min(READ_BYTES, size)))
    done = 0
    while done < size:
        between_blocks()
        count = os.preadv(fd, [view[: size - done]], offset + done)
        if count == 0:
            raise Mismatch(f"open file {fd}", f"it ends after {offset + done} of {offset + size} bytes")
        running.update(view[:count])
        done += count
    return running
