"""Live parts are fetched once, are skipped only where they cannot be had, and are named in the last lines of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.live import fetch, plugin
from tests.live.fetch import TRIES, Unfetched, cache_folder, kept, run

Fetch = Callable[[Path], None]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once, and this is nobody's run."""
    monkeypatch.setattr(fetch, "time", SimpleNamespace(sleep=lambda _seconds: None))
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID", raising=False)


class Fetching:
    """Fetches a file, after failing some times."""

    def __init__(self, failures: int = 0) -> None:
        """Fail `failures` times."""
        self.calls = 0
        self._failures = failures

    def __call__(self, into: Path) -> None:
        """Fetch, or leave half of it and fail."""
        self.calls += 1
        (into / "half").write_text("half")
        if self.calls <= self._failures:
            raise Unfetched("the registry is down")
        (into / "program").write_text("whole")


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    """Not by this process, nor by others at the same time."""
    fetching = Fetching()

    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(lambda _: kept(tmp_path / "cache", "part-v1", fetching), range(8)))

    assert 1 == fetching.calls
    assert {"whole"} == {(place / "program").read_text() for place in places}


def test_it_is_tried_three_times(tmp_path: Path) -> None:
    """The third may succeed, and begins with an empty folder."""
    fetching = Fetching(failures=TRIES - 1)

    place = kept(tmp_path, "part-v1", fetching)

    assert (TRIES, "whole") == (fetching.calls, (place / "program").read_text())
    assert {"part-v1", "part-v1.lock"} == {path.name for path in tmp_path.iterdir()}


def test_what_could_not_be_fetched_leaves_nothing_that_looks_done(tmp_path: Path) -> None:
    """The next run tries again; the other processes of this one do not."""
    fetching = Fetching(failures=TRIES)
    with pytest.raises(Unfetched, match="the registry is down"):
        kept(tmp_path, "part-v1", fetching)
    assert not (tmp_path / "part-v1").exists()

    assert (kept(tmp_path, "part-v1", fetching) / "program").exists()


def test_the_processes_of_a_run_share_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would otherwise wait for the same three failures."""
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "run-1")
    fetching = Fetching(failures=TRIES)
    for _ in range(2):
        with pytest.raises(Unfetched, match="the registry is down"):
            kept(tmp_path, "part-v1", fetching)
    assert TRIES == fetching.calls

    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "run-2")

    assert (kept(tmp_path, "part-v1", fetching) / "program").exists()


def test_a_cache_that_cannot_be_written_is_a_reason(tmp_path: Path) -> None:
    """It skips tests; it breaks none."""
    (tmp_path / "file").write_text("")

    with pytest.raises(Unfetched, match="cannot be written"):
        kept(tmp_path / "file" / "cache", "part-v1", Fetching())


def test_a_client_that_fails_or_is_missing_is_a_reason() -> None:
    """On one line: the last it said."""
    with pytest.raises(Unfetched, match=r"^no-such-client is not installed$"):
        run(["no-such-client", "install"])
    with pytest.raises(Unfetched, match=r": it broke$"):
        run([sys.executable, "-c", "print('working'); print('it broke'); raise SystemExit(3)"])


def test_the_cache_lies_where_the_user_says() -> None:
    """In a variable of ours, or in the user's cache."""
    assert Path("/c") == cache_folder({"S3BATCH_TEST_CACHE": "/c", "XDG_CACHE_HOME": "/x"})
    assert Path("/x/s3batch-tests") == cache_folder({"XDG_CACHE_HOME": "/x"})
    assert Path.home() / ".cache" / "s3batch-tests" == cache_folder({})


# The last lines


def report(name: str, reason: str | None, *, when: str = "call", outcome: str = "passed") -> pytest.TestReport:
    """Return the report of a test that asked for a part."""
    asked = [(plugin.ASKED, [name, reason])]
    return pytest.TestReport("test", ("f", 1, "t"), {}, outcome, None, when, user_properties=asked)  # type: ignore[arg-type]


def lines(request: pytest.FixtureRequest, *reports: pytest.TestReport) -> list[str]:
    """Return the last lines of a run with these reports."""
    last = plugin.LastLines(request.config.get_terminal_writer())  # type: ignore[arg-type]  # it does not print here
    for one in reports:
        last.pytest_runtest_logreport(one)
    return [line for line in last.lines() if line.startswith("live:") or "versitygw" in line]


def test_who_took_part_is_live(request: pytest.FixtureRequest) -> None:
    """Whatever came of the test."""
    assert ["live: s3(versitygw)"] == lines(request, report("versitygw", None, outcome="failed"))


def test_who_did_not_take_part_is_named_with_the_reason(request: pytest.FixtureRequest) -> None:
    """Not to be had, not asked for, or there and of no use."""
    skipped = report("versitygw", "go is not installed", when="setup", outcome="skipped")
    broken = report("versitygw", None, when="setup", outcome="failed")

    assert ["live: none", "not live: s3(versitygw) (go is not installed)"] == lines(request, skipped)
    assert ["live: none", "not live: s3(versitygw) (no test of this run asked for it)"] == lines(request)
    assert ["live: none", "not live: s3(versitygw) (it is there, and no test got as far as using it)"] == lines(request, broken)
