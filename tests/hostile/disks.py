"""Small disks for tests: a tmpfs of so many bytes, which takes root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096
"""What a tmpfs counts in."""


class Disk:
    """A mounted tmpfs."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def resize(self, size_bytes: int) -> None:
        """Let it hold `size_bytes`."""
        self._mount(f"remount,size={size_bytes}")

    def read_only(self, *, on: bool = True) -> None:
        """Let nobody write, or everybody again."""
        self._mount("remount,ro" if on else "remount,rw")

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(self.place)], check=True, capture_output=True)


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Disk]:
    """Mount a disk of `size_bytes` at `place`, made where it is missing; skip the test where that may not be done."""
    place.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "none", str(place)]
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root")
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)


@contextmanager
def bind_mount(source: Path, place: Path) -> Iterator[None]:
    """Mount `source` at `place` too; skip the test where that may not be done."""
    source.mkdir(parents=True, exist_ok=True)
    place.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("a bind mount takes root")
    done = subprocess.run(["mount", "--bind", str(source), str(place)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be bind-mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)


@contextmanager
def small_ext4(place: Path, image: Path, size_bytes: int, *, inodes: int) -> Iterator[None]:
    """Mount an ext4 of `size_bytes` with about `inodes` inodes at `place`; skip the test where that may not be done."""
    place.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("a filesystem in a file takes root and mkfs.ext4")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", str(inodes), str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop device can be mounted here: {done.stderr.strip()}")
    try:
        (place / "lost+found").rmdir()
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)
