"""What a sweep found, as figures: added up over tests, also over xdist's processes, and printed as a table at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest  # noqa: TC002 - pytest reads the signatures of its hooks

FOUND = "crash sweep"
"""The property of a report that carries a test's figures."""


@dataclass(slots=True)
class Figures:
    """What became of the points that were tried."""

    kind: str
    """How the program was ended."""
    scenario: str
    points: int = 0
    """How many there are in all."""
    tried: int = 0
    lost: int = 0
    """Tries after which a byte was nowhere, or something delivered differed."""
    doubled: int = 0
    """Tries after which the catalogue showed a drop twice."""
    stuck: int = 0
    """Tries after which something else was wrong."""
    wrong: list[str] = field(default_factory=list)
    """What was wrong, a line each."""

    def count(self, point: str, wrong: str | None) -> None:
        """Count a try, and what was wrong after it."""
        self.tried += 1
        if wrong is None:
            return
        self.wrong.append(f"{self.kind}, {self.scenario}, {point}: {wrong}")
        self.lost += wrong.startswith("lost")
        self.doubled += wrong.startswith("doubled")
        self.stuck += not wrong.startswith(("lost", "doubled"))

    def record(self, node: pytest.Item) -> None:
        """Hand the figures to the report of a test."""
        numbers = [self.points, self.tried, self.lost, self.doubled, self.stuck]
        node.user_properties.append((FOUND, [self.kind, self.scenario, *numbers]))


class Table:
    """Adds up the figures of all tests."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: dict[tuple[str, str], list[int]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take over what a report carries."""
        if report.when != "teardown":
            return
        for key, value in report.user_properties:
            if key == FOUND and isinstance(value, list | tuple):
                kind, scenario, points, *counted = value
                before = self._rows.get((kind, scenario), [0, 0, 0, 0, 0])
                self._rows[kind, scenario] = [max(before[0], points), *map(sum, zip(before[1:], counted, strict=True))]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table where there is anything in it."""
        if self._rows:
            terminalreporter.section("crash sweep", sep="-")
            for line in self._lines():
                terminalreporter.write_line(line)

    def _lines(self) -> Iterator[str]:
        shape = "{:<34} {:<22} {:>7} {:>7} {:>7} {:>8} {:>6}"
        yield shape.format("ended", "scenario", "points", "tried", "lost", "doubled", "stuck")
        for (kind, scenario), numbers in sorted(self._rows.items()):
            yield shape.format(kind, scenario, *numbers)
        totals = [sum(column) for column in zip(*self._rows.values(), strict=True)]
        yield shape.format("all", "", "", *totals[1:])


def pytest_configure(config: pytest.Config) -> None:
    """Add up in the process that prints."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(), "crash-sweep-table")
