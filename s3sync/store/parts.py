"""How an object is cut into parts: arithmetic only.

S3's limits (User Guide, multipart upload limits): at most 10,000 parts, each 5 MiB to 5 GiB, the last may be smaller. The
wanted part size is kept where it can be, and enlarged to a whole number of MiB where 10,000 parts of it would not reach, so a
larger object is never refused for its parts. Parts depend on nothing but the object's size and the wanted part size: a restart
cuts the same bytes the same way and can compare what has arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

from s3sync.errors import Permanent

MIB = 1 << 20
GIB = 1 << 30
MIN_PART_BYTES = 5 * MIB
MAX_PART_BYTES = 5 * GIB
MAX_PARTS = 10_000
MAX_SINGLE_PUT_BYTES = 5 * GIB


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its number, counted from 1, and which bytes of the object it is."""

    number: int
    offset: int
    size: int


def part_size_for(object_size: int, wanted: int) -> int:
    """Return the part size to use, in bytes: `wanted` brought within S3's limits, a whole number of MiB, 10,000 suffice.

    Raises `Permanent` for an object that no parts can hold.
    """
    needed = max(wanted, MIN_PART_BYTES, -(-object_size // MAX_PARTS))
    part_size = -(-needed // MIB) * MIB
    if part_size > MAX_PART_BYTES and object_size <= MAX_PARTS * MAX_PART_BYTES:
        return MAX_PART_BYTES
    if part_size > MAX_PART_BYTES:
        raise Permanent(f"an object of {object_size} bytes", f"S3 takes at most {MAX_PARTS * MAX_PART_BYTES}")
    return part_size


def cut(object_size: int, part_size: int) -> list[Part]:
    """Return the parts of an object in order; together they are every byte once. An empty object is one empty part."""
    offsets = range(0, max(object_size, 1), part_size)
    return [Part(number, offset, min(part_size, object_size - offset)) for number, offset in enumerate(offsets, start=1)]
