"""Descriptors of removed files: all closed in the end, few open at a time, and closed also where no thread can be had."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import pytest

from s3sync.dropzone import closing
from s3sync.dropzone.closing import LOT, MOST_OPEN, THREADS, Closer


def _opened(path: Path) -> int:
    path.touch()
    return os.open(path, os.O_RDONLY)


def _open_now() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("files", [0, 1, LOT - 1, LOT, LOT * THREADS * 3 + 5])
def test_everything_is_closed_when_it_ends(tmp_path: Path, files: int) -> None:
    """Whether threads were worth it or not."""
    before = _open_now()
    with Closer() as closer:
        for _ in range(files):
            closer.close(_opened(tmp_path / "file"))
    assert _open_now() == before
    assert not [each for each in threading.enumerate() if each.name == "closer"]


def test_what_waits_to_be_closed_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes its time must not use up the descriptors a process may have."""
    disk = threading.Event()
    close_all = closing._close_all

    def slowly(lot: list[int]) -> None:
        disk.wait()
        close_all(lot)

    monkeypatch.setattr(closing, "_close_all", slowly)
    before, most = _open_now(), 0
    relief = threading.Timer(0.3, disk.set)
    relief.start()
    with Closer() as closer:
        for _ in range(MOST_OPEN * 3):
            closer.close(_opened(tmp_path / "file"))
            if not disk.is_set():
                most = _open_now() - before
    relief.join()
    assert 0 < most <= MOST_OPEN
    assert _open_now() == before


def test_where_descriptors_are_few_none_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 are enough for an agent, and none of them must lie about."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    before = _open_now()
    with Closer() as closer:
        for _ in range(LOT * 2):
            closer.close(_opened(tmp_path / "file"))
            assert _open_now() == before


@pytest.mark.parametrize("threads", [0, 2])
def test_where_threads_cannot_be_started_it_goes_with_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """None is no reason to leave anything open."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if len(started) == threads:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    before = _open_now()
    with Closer() as closer:
        for _ in range(LOT * 3):
            closer.close(_opened(tmp_path / "file"))
    assert len(started) == threads
    assert _open_now() == before
