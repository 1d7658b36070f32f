"""The files that are measured with, by name; `scale` makes every set smaller or larger."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

FOLDERS, SMALL_BYTES = 1_000, 4_096
MIB, GIB = 1 << 20, 1 << 30
_BLOCK = os.urandom(MIB)

Files = Iterator[tuple[str, int]]
"""Path below the bucket's folder, and bytes."""


def _in_folders(count: int) -> Files:
    return ((f"top/{number * FOLDERS // count:04}/file-{number:06}.bin", SMALL_BYTES) for number in range(count))


def _in_one_folder(count: int) -> Files:
    return ((f"top/file-{number:06}.bin", SMALL_BYTES) for number in range(count))


def _sized(count: int, size: int) -> Files:
    return ((f"top/{number // 100:02}/file-{number:06}.bin", size) for number in range(count))


def _mixed(count: int) -> Files:
    """Most files small, most bytes in large ones: median 8 KiB, one in a thousand above 4 MiB."""
    chance = random.Random(7)
    for number in range(count):
        yield f"top/{number * FOLDERS // count:04}/file-{number:06}.bin", min(64 * MIB, int(chance.lognormvariate(9.0, 2.0)))


SETS: Mapping[str, tuple[str, Callable[[float], Files]]] = {
    "small": ("100,000 files of 4 KiB in 1,000 folders", lambda scale: _in_folders(int(100_000 * scale))),
    "flat": ("100,000 files of 4 KiB in one folder", lambda scale: _in_one_folder(int(100_000 * scale))),
    "medium": ("2,000 files of 1 MiB", lambda scale: _sized(int(2_000 * scale), MIB)),
    "large": ("2 files of 1 GiB", lambda scale: _sized(2, int(GIB * scale))),
    "mixed": ("50,000 files, log-normal sizes", lambda scale: _mixed(int(50_000 * scale))),
}


def make(name: str, folder: Path, scale: float = 1.0) -> Path:
    """Make the files of a set below `folder`, which is the bucket's; return it."""
    made: set[Path] = set()
    for path, size in SETS[name][1](scale):
        place = folder / path
        if place.parent not in made:
            place.parent.mkdir(parents=True, exist_ok=True)
            made.add(place.parent)
        _write(place, size)
    return folder


def _write(place: Path, size: int) -> None:
    with place.open("wb", buffering=0) as file:
        while size:
            size -= file.write(memoryview(_BLOCK)[:size])
