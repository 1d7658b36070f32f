"""The program is killed at every system call that changes anything, the world moves on, and nothing is lost.

Three samples of every sweep: a handful of points for the quick suite, a fixed selection for CI (`slow`), and all of them in
slices (`long`, `make test-long`). What each came to is in the table at the end of the run. More crashes in a row than these try
are a matter of `CRASH_SEEDS=1000-5000 pytest -m long -k in_a_row`.
"""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.counter import Counter, names
from tests.crash.moves import MOVES, REBUILD_MOVES, RESTORE_MOVES, Move
from tests.crash.power import Cut
from tests.crash.report import Figures
from tests.crash.sweep import SCENARIOS, SweptWorld, clear
from tests.doubles.moto_server import MotoServer

SLICES = 16
"""How many tests a whole sweep of a scenario is."""
LONG_SECONDS = 3600
"""No slice may take longer."""
BUSY_SECONDS = 600
"""No sample may take longer, however busy the machine is; alone on it, it takes a tenth."""

pytestmark = pytest.mark.timeout(BUSY_SECONDS)
CUTS = tuple(Cut)

MOVES_OF: dict[str, tuple[Move, ...]] = {
    "pack": MOVES,
    "restore to a folder": RESTORE_MOVES,
    "restore to S3": RESTORE_MOVES,
    "rebuild": REBUILD_MOVES,
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Some of the points of a sweep."""

    sample: int = 0
    """So many, evenly spread; 0: a slice of all."""
    part: int = 0
    """Which slice, or how far the sample is shifted."""

    def among(self, points: int) -> Iterable[tuple[int, int]]:
        """Yield turn (what rotates rotates by it) and number of each point."""
        if not self.sample:
            yield from ((number, number) for number in range(1 + self.part, points + 1, SLICES))
            return
        for turn in range(self.sample):
            yield turn + self.part, 1 + (2 * turn + 1) * points // (2 * self.sample)


def selections(quick: dict[str, int], sample: dict[str, int]) -> list[object]:
    """Return the parameters of a sweep: scenario and what is chosen of its points."""
    found: list[object] = []
    for scenario in SCENARIOS:
        if scenario in quick:
            found.append(pytest.param(scenario, Chosen(quick[scenario]), id=f"{scenario}-quick"))
        if scenario in sample:
            found.append(pytest.param(scenario, Chosen(sample[scenario], 1), id=f"{scenario}-sample", marks=pytest.mark.slow))
        marks = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(LONG_SECONDS)]
        found += [pytest.param(scenario, Chosen(part=part), id=f"{scenario}-{part}", marks=marks) for part in range(SLICES)]
    return found


@dataclass(frozen=True, slots=True)
class Bench:
    """What a sweep works with."""

    base: Path
    moto: MotoServer
    counter: Counter
    node: pytest.Item

    def world(self, scenario: str) -> SweptWorld:
        """Make a fresh world."""
        self.moto.reset()
        self.base.mkdir()
        return SCENARIOS[scenario](self.base, self.moto, self.counter)

    def points(self, scenario: str) -> list[str]:
        """Return what the points of a scenario are."""
        world = self.world(scenario)
        found = names(world.points())
        clear(self.base)
        return found

    def sweep(self, figures: Figures, tries: Iterable[tuple[str, Callable[[SweptWorld], None]]]) -> None:
        """Try one after the other in a world of its own; fail at the end where anything was wrong after one of them."""
        for point, attempt in tries:
            world = self.world(figures.scenario)
            try:
                attempt(world)
            except AssertionError as error:
                figures.count(
                    point, str(error).partition("\n")[0] or f"not so: {traceback.extract_tb(error.__traceback__)[-1].line}"
                )
            else:
                figures.count(point, None)
            clear(self.base)
        figures.record(self.node)
        assert [] == figures.wrong


@pytest.fixture
def bench(tmp_path: Path, moto: MotoServer, counter: Counter, request: pytest.FixtureRequest) -> Bench:
    """The counter, S3, and a place for worlds."""
    return Bench(tmp_path / "world", moto, counter, request.node)


@pytest.mark.parametrize("scenario", ["pack", *(pytest.param(each, marks=pytest.mark.slow) for each in list(SCENARIOS)[1:])])
def test_two_runs_have_the_same_points(bench: Bench, scenario: str) -> None:
    """What a run changes, and in which order, is the same in every run, so that the n-th change is one thing."""
    first = bench.points(scenario)

    assert first == bench.points(scenario)
    assert len(first) > 100


@pytest.mark.parametrize(
    ("scenario", "chosen"),
    selections(
        {"pack": 3, "restore to a folder": 1},
        {"pack": 14, "restore to a folder": 5, "restore to S3": 5, "rebuild": 4},
    ),
)
def test_killed_before_any_change_nothing_is_lost_or_doubled(bench: Bench, scenario: str, chosen: Chosen) -> None:
    """Killed before its n-th change, the world moved on, started again: the promise holds, judged from outside."""
    points = bench.points(scenario)
    moves = MOVES_OF[scenario]

    bench.sweep(
        Figures("killed", scenario, len(points)),
        (
            (f"{number} {points[number - 1]}, {moves[turn % len(moves)].__name__}", killed(number, moves[turn % len(moves)]))
            for turn, number in chosen.among(len(points))
        ),
    )


@pytest.mark.parametrize(("scenario", "chosen"), selections({}, {"pack": 4, "restore to a folder": 1}))
def test_killed_within_any_write_nothing_is_lost_or_doubled(bench: Bench, scenario: str, chosen: Chosen) -> None:
    """Killed when its n-th write was done by half: the same."""
    points = bench.points(scenario)
    writes = [number for number, name in enumerate(points, start=1) if name.startswith(("write ", "pwrite "))]
    moves = MOVES_OF[scenario]

    bench.sweep(
        Figures("killed within a write", scenario, len(writes)),
        (
            (f"{writes[at - 1]} {points[writes[at - 1] - 1]}", killed(writes[at - 1], moves[turn % len(moves)], torn=True))
            for turn, at in chosen.among(len(writes))
        ),
    )


@pytest.mark.parametrize(
    ("scenario", "chosen"),
    selections({"pack": 2}, {"pack": 8, "restore to a folder": 3, "restore to S3": 2, "rebuild": 2}),
)
def test_power_cut_at_any_change_nothing_is_lost_or_doubled(bench: Bench, scenario: str, chosen: Chosen) -> None:
    """The machine loses power before the n-th change, and what was not flushed is gone: the same."""
    points = [*bench.points(scenario), "after its end"]

    bench.sweep(
        Figures("power cut", scenario, len(points)),
        (
            (f"{number} {points[number - 1]}, lost {CUTS[turn % len(CUTS)].value}", powered_off(number, CUTS[turn % len(CUTS)]))
            for turn, number in chosen.among(len(points))
        ),
    )


def test_flush_that_was_forgotten_is_found(bench: Bench) -> None:
    """A program that calls a member delivered and has not flushed it fails the sweep: it can find what it is for."""
    world = bench.world("restore to a folder")
    world.environment["CRASH_NO_FLUSH"] = "1"
    world.die(0, power=Cut.CONTENTS)

    with pytest.raises(AssertionError, match="lost"):
        world.finish()


def killed(point: int, move: Move, *, torn: bool = False) -> Callable[[SweptWorld], None]:
    """Return a try: kill, hold that every byte is somewhere, let the world move, go on."""

    def attempt(world: SweptWorld) -> None:
        world.die(point, torn=torn)
        world.judge_bytes_only()
        move(world)
        world.finish()

    return attempt


def powered_off(point: int, cut: Cut) -> Callable[[SweptWorld], None]:
    """Return a try: lose power, hold that every byte is somewhere, go on."""

    def attempt(world: SweptWorld) -> None:
        world.die(point, power=cut)
        world.judge_bytes_only()
        world.finish()

    return attempt


def seeds() -> list[object]:
    """Return the seeds of crashes in a row: two in CI, some dozens in the long run, whichever are asked for by hand."""
    asked = os.environ.get("CRASH_SEEDS")
    if asked:
        first, _, last = asked.partition("-")
        marks = [pytest.mark.slow, pytest.mark.long]
        return [pytest.param(seed, marks=marks) for seed in range(int(first), int(last or first) + 1)]
    marks = [pytest.mark.slow]
    return [pytest.param(seed, marks=marks if seed < 3 else [*marks, pytest.mark.long]) for seed in range(1, 61)]


@pytest.mark.parametrize("seed", seeds())
def test_crashes_in_a_row(bench: Bench, seed: int) -> None:
    """Two to five ends in a row, of whichever kind and also while recovering from the one before, with a move after each."""
    chance = random.Random(seed)
    scenario = chance.choice(["pack", "pack", "restore to a folder", "restore to S3", "rebuild"])

    def attempt(world: SweptWorld) -> None:
        for _ in range(chance.randint(2, 5)):
            power = chance.choice([None, None, *CUTS])
            world.die(chance.randint(1, 650), torn=power is None and chance.random() < 0.3, power=power)
            world.judge_bytes_only()
            chance.choice(MOVES_OF[scenario])(world)
        world.finish()

    bench.sweep(Figures("in a row", scenario, 0), [(f"seed {seed}", attempt)])
