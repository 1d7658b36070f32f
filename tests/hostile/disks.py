"""Disks for tests, which take root: small ones (a tmpfs of so many bytes), the same one twice, and one that is dead."""

from __future__ import annotations

import ctypes
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


class Quota:
    """A folder on a btrfs whose quota group may be changed."""

    def __init__(self, place: Path) -> None:
        self.place = place
        said = subprocess.run(
            ["btrfs", "inspect-internal", "rootid", str(place)], check=True, capture_output=True, text=True
        ).stdout
        self._group = f"0/{said.strip()}"

    def limit(self, size_bytes: int | None) -> None:
        """Let it hold so many bytes; None: whatever the disk holds. Said at the disk's root: a full folder cannot be told."""
        limit = "none" if size_bytes is None else str(size_bytes)
        subprocess.run(["btrfs", "qgroup", "limit", limit, self._group, str(self.place.parent)], check=True)

    def used(self) -> int:
        """Return the bytes that count."""
        subprocess.run(["btrfs", "filesystem", "sync", str(self.place)], check=True, capture_output=True)
        words = ["btrfs", "qgroup", "show", "--raw", "-f", str(self.place)]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        return int(said.splitlines()[-1].split()[1])


@contextmanager
def quota(disk: Path, image: Path) -> Iterator[Quota]:
    """Mount a btrfs at `disk` and give a folder on it a quota; skip the test where that may not be done.

    Of the quotas Linux knows this is the one that needs nothing beside the filesystem: ext4's wait for a module that many
    kernels lack, and a kernel's tmpfs and XFS may be built without.
    """
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mkfs.btrfs") is None:
        pytest.skip("a quota takes root and mkfs.btrfs")
    with image.open("wb") as file:
        file.truncate(160 << 20)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no btrfs can be mounted here: {done.stderr.strip()}")
    try:
        place = disk / "place"
        subprocess.run(["btrfs", "quota", "enable", str(disk)], check=True, capture_output=True)
        subprocess.run(["btrfs", "subvolume", "create", str(place)], check=True, capture_output=True)
        place.chmod(0o700)
        yield Quota(place)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True, capture_output=True)


@contextmanager
def dead_mount(place: Path) -> Iterator[None]:
    """Mount at `place` what a FUSE filesystem leaves whose server died; skip the test where that may not be done."""
    place.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        server = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error.strerror}")
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
    refused = libc.mount(b"dead", os.fsencode(place), b"fuse", 0, options.encode())
    why = os.strerror(ctypes.get_errno())
    os.close(server)
    if refused:
        pytest.skip(f"FUSE cannot be mounted here: {why}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)
