"""What pytest is told about live parts: fetch before the first test, skip with the reason, and name them in the last lines.

Which parts took part is read off the tests' reports, so it is the same whether they ran here or in xdist's worker processes.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from tests.live.fetch import cache_folder
from tests.live.parts import PARTS, LiveParts

ASKED = "live part"
"""The property of a report that names a part its test asked for."""
_KEY = pytest.StashKey[LiveParts]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing fetched. The environment is read now: tests run without it."""
    config.stash[_KEY] = LiveParts(cache_folder(os.environ))


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that names a part's fixture asks for the part."""
    for name in getattr(item, "fixturenames", ()):
        if name in PARTS:
            item.add_marker(pytest.mark.live(name))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch what the selected tests ask for, outside any test's time limit."""
    if session.config.option.collectonly:
        return
    session.config.stash[_KEY].fetch_all(name for item in session.items for name in _asked(item))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose part could not be had."""
    for name, needed in _asked(item).items():
        reason = item.config.stash[_KEY].reason(name)
        item.user_properties.append((ASKED, [name, reason]))
        if reason is not None and needed:
            pytest.skip(f"{PARTS[name].label}: {reason}")


@pytest.fixture(scope="session")
def live_parts(request: pytest.FixtureRequest) -> LiveParts:
    """Where the parts lie."""
    return request.config.stash[_KEY]


class LastLines:
    """Listens to the reports, and prints the last lines: where there is a terminal."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        """Print with `reporter`."""
        self._reporter = reporter
        self._live: set[str] = set()
        self._missing: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take over what a report says of parts: one whose test was called took part."""
        for key, value in report.user_properties:
            if key == ASKED and isinstance(value, list | tuple):
                name, reason = value
                if reason is not None:
                    self._missing[name] = reason
                elif report.when == "call":
                    self._live.add(name)
                elif report.failed:
                    self._missing.setdefault(name, "it is there, and no test got as far as using it")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """Print after everybody else."""
        yield
        if not self._reporter.config.option.collectonly:
            for line in self.lines():
                self._reporter.write_line(line)

    def lines(self) -> Iterator[str]:
        """Return what took part, and what did not and why."""
        yield "live: " + (" ".join(PARTS[name].label for name in sorted(self._live)) or "none")
        for name, part in sorted(PARTS.items()):
            if name not in self._live:
                yield f"not live: {part.label} ({self._missing.get(name, 'no test of this run asked for it')})"


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen, in the process that reports."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(LastLines(reporter), "live-last-lines")


def _asked(item: pytest.Item) -> dict[str, bool]:
    """Return the parts a test asks for, and whether it cannot do without."""
    return {name: not marker.kwargs.get("optional", False) for marker in item.iter_markers("live") for name in marker.args}
