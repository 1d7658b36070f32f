"""Read a file once and know it: the CRC64NVME that S3 must confirm, and the SHA-256 that is kept beside the object.

Between blocks somebody else is asked whether to go on, because a client may be waiting in `open` for our lease to be let go.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from s3sync.errors import Transient
from s3sync.store.checksum import READ_BYTES, Crc64Nvme


class Changed(Transient):
    """The file is no longer what was judged: it stays where it is and is judged again by the next pass."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What the bytes of a file are: base64 as S3 shows it, and lower-case hex."""

    crc64nvme: str
    sha256: str


def digest_of(fd: int, size: int, *, between_blocks: Callable[[], None]) -> Digest:
    """Return the digest of exactly `size` bytes of `fd`, without moving its position or holding more than one block.

    `between_blocks` is called before each read and may raise. Raises `Changed` where the file ends before, `OSError` where it
    cannot be read.
    """
    crc, sha = Crc64Nvme(), hashlib.sha256()
    block = memoryview(bytearray(min(READ_BYTES, size)))
    done = 0
    while done < size:
        between_blocks()
        count = os.preadv(fd, [block[: size - done]], done)
        if count == 0:
            raise Changed(f"open file {fd}", f"it ends after {done} of {size} bytes")
        crc.update(block[:count])
        sha.update(block[:count])
        done += count
    return Digest(crc.base64(), sha.hexdigest())
