"""Each fault, at each request of one batch's life and of one restore's: done, or done by the next pass. Nothing else.

Nothing is lost, nothing is in the catalogue twice, no object is replaced, no archive and no thaw is paid for twice, and no
upload is left behind. A fixed sample runs with the quick suite, another with the slow tests, the rest with the long ones.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.doubles.clock import FakeClock
from tests.doubles.cold_front import S3Server, running
from tests.doubles.network_faults import EVERY, Fault
from tests.faults.lives import Life, quick
from tests.faults.requests import Kind
from tests.faults.stories import STORIES
from tests.faults.table import CELL, DONE, NEXT, OUTCOME

SAMPLE = 9
"""Every so many-th combination belongs to the quick suite; odd, so that both of each pair have their turn."""

SLOW_SAMPLE = 8
"""Of the rest, every eighth is for CI."""


@dataclass(frozen=True, slots=True)
class Combination:
    """A fault at a request of a story, once or for the whole pass."""

    story: str
    kind: Kind
    fault: Fault
    lasting: bool

    def __str__(self) -> str:
        """Return the test's id."""
        return f"{self.story}-{self.kind}-{self.fault}-{'lasting' if self.lasting else 'once'}"


def combinations() -> list[object]:
    """Return every fault at every request it can happen to, most of them for the long run."""
    every = [
        Combination(name, kind, fault, lasting)
        for name, story in STORIES.items()
        for kind in story.requests
        for fault in kind.faults
        for lasting in (False, True)
    ]
    return [pytest.param(one, id=str(one), marks=_mark(at)) for at, one in enumerate(every)]


def _mark(at: int) -> pytest.MarkDecorator | tuple[()]:
    """Return in which suite the combination runs."""
    if at % SAMPLE == 0:
        return ()
    return pytest.mark.slow if at % SLOW_SAMPLE == 1 else pytest.mark.long


@pytest.mark.live("versitygw", optional=True)
@pytest.mark.parametrize("name", STORIES)
def test_the_requests_of_a_story_are_all_its_requests(
    server: tuple[str, S3Server], base: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without a fault each story makes exactly the requests that the faults strike, in this order, and ends as it should."""
    story = STORIES[name]
    with ExitStack() as stack:
        front = stack.enter_context(running(server[1], FakeClock()))
        stack.enter_context(quick(monkeypatch, front, stalled=False))
        life = stack.enter_context(Life(base, front))
        story.begin(life)
        front.http.asked.clear()

        done = story.step(life)

        if not story.struck_already:
            assert done
            assert [str(kind) for kind in story.requests] == life.kinds_asked()
        if not done:
            story.step(life)
        story.judge(life)


@pytest.mark.live("versitygw", optional=True)
@pytest.mark.parametrize("struck", combinations())
def test_whatever_happens_to_a_request_the_next_pass_is_done(
    server: tuple[str, S3Server],
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    struck: Combination,
) -> None:
    """Struck once, or for a whole pass (then the program is started again): done now, or after the next pass."""
    record_property(CELL, [struck.story, str(struck.kind), str(struck.fault), struck.lasting, server[0]])
    story, kind = STORIES[struck.story], struck.kind
    with ExitStack() as stack:
        front = stack.enter_context(running(server[1], FakeClock()))
        stack.enter_context(quick(monkeypatch, front, stalled=struck.fault is Fault.STALL))
        life = stack.enter_context(Life(base, front))
        story.begin(life)
        before = front.faults.struck
        times = EVERY if struck.lasting else 1
        front.faults.on(kind.operation, kind.matches).at(kind.number).strike(struck.fault, times=times)

        at_once = story.step(life)

        assert before < front.faults.struck
        front.heal()
        life.assert_nothing_lost()
        if not at_once:
            if struck.lasting:
                life.restart()
            assert story.step(life)
        story.judge(life)
        record_property(OUTCOME, DONE if at_once else NEXT)
