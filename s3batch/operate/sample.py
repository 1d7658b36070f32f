"""Which archives a verification looks at: a stretch of a ring on which each has its place for good. Pure.

An archive's place is a number made of its bucket and batch id, so places are evenly spread and no matter of anybody's choice. A
sample is the stretch that begins at a given place and is as long as its share of the ring; the next one begins where this one
ended. So any share comes round: at 1% every archive has been looked at after a hundred runs, those that came meanwhile when
their place is next. A stretch that nobody lies on goes on to the next archive, so that small catalogues are looked at, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

RING = 1 << 64
"""How many places there are."""

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Sample(Generic[Thing]):
    """What is looked at, in the order of the ring, and where the next sample begins."""

    chosen: tuple[Thing, ...]
    next_place: int


def place_of(bucket: str, batch: str) -> int:
    """Return an archive's place on the ring."""
    return int.from_bytes(hashlib.sha256(f"{bucket}/{batch}".encode()).digest()[:8], "big")


def sample(placed: Iterable[tuple[int, Thing]], *, start: int, share: Fraction) -> Sample[Thing]:
    """Return the things on the stretch of `share` (above 0, at most 1) of the ring that begins at the place `start`."""
    width = max(1, round(RING * share))
    in_order = sorted((((place - start) % RING, thing) for place, thing in placed), key=lambda one: one[0])
    within = [thing for distance, thing in in_order if distance < width]
    if within or not in_order:
        return Sample(tuple(within), (start + width) % RING)
    distance, thing = in_order[0]
    return Sample((thing,), (start + distance + 1) % RING)
