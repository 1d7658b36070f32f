"""The table of every fault at every request: filled by the tests, in whichever process they ran, printed after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from tests.doubles.network_faults import Fault
from tests.faults.requests import Kind
from tests.faults.stories import STORIES

CELL = "fault"
"""The property of a report that says which combination was tried, and on which server."""
OUTCOME = "outcome of the fault"
DONE, NEXT, FAILED, UNTRIED, IMPOSSIBLE = "=", "+", "!", ".", " "
SHORT: Mapping[Fault, str] = {
    Fault.REFUSED: "rf",
    Fault.RESET: "rs",
    Fault.CUT_REQUEST: "cb",
    Fault.LOST_REPLY: "lr",
    Fault.TRUNCATED: "tr",
    Fault.TRICKLE: "sl",
    Fault.STALL: "st",
    Fault.INTERNAL: "50",
    Fault.INTERNAL_AFTER: "5a",
    Fault.SLOW_DOWN: "sd",
    Fault.FORBIDDEN: "40",
    Fault.EXPIRED: "ex",
    Fault.SKEWED: "sk",
    Fault.PRECONDITION: "12",
    Fault.CONFLICT: "09",
    Fault.ERROR_IN_200: "2e",
    Fault.PAGE: "2p",
    Fault.BAD_GATEWAY: "5p",
}

Cell = tuple[str, str, str, bool]
"""Story, request, fault, and whether it lasts for the whole pass."""


class Table:
    """What was tried and how it ended."""

    def __init__(self) -> None:
        """Begin with nothing tried."""
        self._cells: dict[Cell, str] = {}
        self._servers: set[str] = set()

    def take(self, report: pytest.TestReport) -> None:
        """Take over what a report says, if it is of a combination that was tried."""
        said = dict(report.user_properties)
        cell = said.get(CELL)
        if report.when != "call" or not isinstance(cell, list | tuple):
            return
        story, kind, fault, lasting, server = cell
        self._servers.add(server)
        self._cells[story, kind, fault, lasting] = FAILED if report.failed else str(said[OUTCOME])

    def lines(self) -> list[str]:
        """Return the table for people; nothing where nothing was tried."""
        if not self._cells:
            return []
        return [*self._summary(), "", f"{'':<32}" + " ".join(SHORT[fault] for fault in Fault), *self._rows()]

    def _summary(self) -> Iterable[str]:
        seen = Counter(self._cells.values())
        of = sum(2 * len(kind.faults) for story in STORIES.values() for kind in story.requests)
        yield f"{len(self._cells)} of {of} combinations of request and fault tried on {', '.join(sorted(self._servers))}:"
        yield f"  {seen[DONE]} done in the pass that was struck, {seen[NEXT]} done by the next pass,"
        yield f"  {seen[FAILED]} failed (something lost, doubled, replaced, paid for twice, or left behind)"
        signs = f"{DONE} done  {NEXT} by the next pass  {FAILED} failed  {UNTRIED} untried"
        yield f"two signs each, struck once and for a whole pass:  {signs}"
        names = [f"{SHORT[fault]} {fault}" for fault in Fault]
        for at in range(0, len(names), 5):
            yield "  " + ", ".join(names[at : at + 5])

    def _rows(self) -> Iterable[str]:
        for name, story in STORIES.items():
            yield name
            for kind in story.requests:
                yield f"  {kind!s:<30}" + " ".join(self._signs(name, kind, fault) for fault in Fault)

    def _signs(self, story: str, kind: Kind, fault: Fault) -> str:
        if fault not in kind.faults:
            return 2 * IMPOSSIBLE
        return "".join(self._cells.get((story, str(kind), fault, lasting), UNTRIED) for lasting in (False, True))


_KEY = pytest.StashKey[Table]()


def pytest_configure(config: pytest.Config) -> None:
    """Listen to the reports, in the process that has them all."""
    if not hasattr(config, "workerinput"):
        config.stash[_KEY] = Table()
        config.pluginmanager.register(_Listener(config.stash[_KEY]), "fault-table")


class _Listener:
    def __init__(self, table: Table) -> None:
        self._table = table

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._table.take(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = self._table.lines()
        if lines:
            terminalreporter.section("faults of the network and of S3")
            for line in lines:
                terminalreporter.write_line(line.rstrip())
