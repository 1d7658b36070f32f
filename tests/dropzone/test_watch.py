from __future__ import annotations

import errno
import os
import threading
import warnings
from pathlib import Path
from typing import NoReturn

import pytest

from s3sync.dropzone import watch
from s3sync.dropzone.watch import Watcher
from s3sync.events import Degraded, Event

PATIENCE_SECONDS = 30
SHORT_SECONDS = 0.5


@pytest.fixture(autouse=True)
def _filters_as_they_were() -> object:
    with warnings.catch_warnings():
        yield


def test_a_file_closed_after_writing_wakes_the_loop(tmp_path: Path) -> None:
    """In a folder that was there, and in one made later."""
    (tmp_path / "bucket").mkdir()
    wake = threading.Event()

    with Watcher(tmp_path, wake) as watcher:
        assert watcher.watching
        for folder in ("bucket", "bucket/new/deeper"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "file").write_text("x")
            assert wake.wait(PATIENCE_SECONDS), folder
            wake.clear()

    assert not watcher.watching


def test_reading_moving_and_removing_wake_nobody(tmp_path: Path) -> None:
    """What a scan and a release do must not call for the next pass; nor what happens under hidden names."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / ".s3batch-quarantine").mkdir()
    file = tmp_path / "bucket/file"
    file.write_text("x")
    wake = threading.Event()

    with Watcher(tmp_path, wake):
        file.read_text()
        (tmp_path / ".s3batch-quarantine/batch").mkdir()
        moved = tmp_path / ".s3batch-quarantine/batch/0"
        file.rename(moved)
        moved.unlink()
        (tmp_path / "bucket/.s3batch-probe-1").write_text("")
        os.listdir(tmp_path / "bucket")

        assert not wake.wait(SHORT_SECONDS)


@pytest.mark.parametrize(("number", "words"), [(errno.EMFILE, "max_user_instances"), (errno.ENOSPC, "max_user_watches")])
def test_where_the_kernel_has_no_more_watches_the_agent_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    """Falling back to scanning alone is a degraded state, not an error."""
    told: list[Event] = []

    def refuse(root: Path) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(watch, "_ask_for_one_more", refuse)
    before = threading.active_count()

    with Watcher(tmp_path, threading.Event(), told.append) as watcher:
        assert not watcher.watching

    [event] = told
    assert isinstance(event, Degraded)
    assert "no_watch" == event.cause
    assert words in event.detail
    assert before == threading.active_count()


def test_a_root_that_cannot_be_watched_is_told(tmp_path: Path) -> None:
    """The real refusal of a real folder."""
    told: list[Event] = []

    with Watcher(tmp_path / "missing", threading.Event(), told.append) as watcher:
        assert not watcher.watching

    assert 1 == len(told)


def test_many_folders_made_at_once_make_no_noise(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """New folders race with their watches; neither warnings nor dead threads come of it."""
    wake = threading.Event()

    with Watcher(tmp_path, wake):
        for number in range(100):
            folder = tmp_path / f"b/{number}/x/y"
            folder.mkdir(parents=True)
            (folder / "file").write_text("x")
        assert wake.wait(PATIENCE_SECONDS)

    assert "" == capfd.readouterr().err


def test_starting_and_stopping_again(tmp_path: Path) -> None:
    """Stopping twice is harmless, and a watcher can be started again."""
    wake = threading.Event()
    watcher = Watcher(tmp_path, wake)

    for _ in range(2):
        assert watcher.start()
        watcher.stop()
        watcher.stop()

    assert not watcher.watching
