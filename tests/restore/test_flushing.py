"""Files on the disk: together where the filesystem tells of every failure, by themselves everywhere else."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from s3batch.restore import flushing
from s3batch.restore.flushing import AT_ONCE, Flushing
from s3sync.dropzone import syscalls
from s3sync.mounts import Filesystem

MANY = AT_ONCE + 2


class Disk:
    """Files of two filesystems, and what was flushed how."""

    def __init__(self, stack: ExitStack, here: Path, there: Path) -> None:
        self._stack = stack
        self.here, self.there = here, there
        self.alone: list[int] = []
        self.together: list[int] = []

    def files(self, count: int, folder: Path | None = None) -> list[int]:
        """Return so many new files, open."""
        return [self._stack.enter_context(tempfile.TemporaryFile(dir=folder or self.here)).fileno() for _ in range(count)]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk whose filesystems are all ext4, on a Linux that tells of everything."""
    memory = Path("/dev/shm")
    with ExitStack() as stack:
        disk = Disk(stack, tmp_path, memory)
        monkeypatch.setattr(flushing, "filesystem_at", lambda _: Filesystem("ext4", "/"))
        monkeypatch.setattr(platform, "release", lambda: "5.8.0-1-cloud-amd64")
        monkeypatch.setattr(os, "fsync", disk.alone.append)
        monkeypatch.setattr(syscalls, "flush_filesystem", disk.together.append)
        yield disk


def test_many_files_are_flushed_together(disk: Disk) -> None:
    """One flush, by the file that was opened first: it is told of what befell any since."""
    files = disk.files(MANY)

    assert {} == Flushing().failures(files)
    assert ([files[0]], []) == (disk.together, disk.alone)


def test_few_are_flushed_by_themselves(disk: Disk) -> None:
    """A filesystem may have gigabytes to write that are somebody else's."""
    files = disk.files(AT_ONCE - 1)

    assert {} == Flushing().failures(files)
    assert ([], sorted(files)) == (disk.together, sorted(disk.alone))


def test_each_filesystem_is_flushed_for_its_own(disk: Disk) -> None:
    """A mount below the destination is another filesystem."""
    here, there = disk.files(MANY), disk.files(MANY, disk.there)

    assert {} == Flushing().failures([*here, *there])
    assert [here[0], there[0]] == disk.together


@pytest.mark.parametrize(
    ("release", "kind"),
    [("5.7.19", "ext4"), ("4.18.0-553.el8_10.x86_64", "xfs"), ("6.1.0", "nfs4"), ("6.1.0", "fuse.sshfs"), ("6.1.0", "overlay")],
)
def test_where_a_flush_of_all_tells_too_little_each_is_flushed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, release: str, kind: str
) -> None:
    """Older kernels keep failed writes to themselves there, and FUSE does not even pass the flush on."""
    monkeypatch.setattr(flushing, "filesystem_at", lambda _: Filesystem(kind, "/"))
    monkeypatch.setattr(platform, "release", lambda: release)
    files = disk.files(MANY)

    assert {} == Flushing().failures(files)
    assert ([], sorted(files)) == (disk.together, sorted(disk.alone))


def test_where_nothing_says_what_the_filesystem_is_each_is_flushed(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more files may be open, or there is no `/proc`: nothing that fails a delivery."""

    def refuse(_: int) -> Filesystem:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(flushing, "filesystem_at", refuse)
    files = disk.files(MANY)

    assert {} == Flushing().failures(files)
    assert ([], sorted(files)) == (disk.together, sorted(disk.alone))


def test_failure_of_all_is_that_of_one(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose it is, the flush of each says; it may have been a stranger's."""
    files = disk.files(MANY)

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    def one_fails(fd: int) -> None:
        if fd == files[3]:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(syscalls, "flush_filesystem", fails)
    monkeypatch.setattr(os, "fsync", one_fails)

    failures = Flushing().failures(files)

    assert {files[3]: 28} == {fd: failure.errno for fd, failure in failures.items()}


def test_a_real_filesystem_is_asked_what_it_is(tmp_path: Path) -> None:
    """With nothing replaced, whatever this machine's is."""
    with ExitStack() as stack:
        disk = Disk(stack, tmp_path, tmp_path)
        files = disk.files(MANY)
        for fd in files:
            os.write(fd, b"content")

        assert {} == Flushing().failures(files)
