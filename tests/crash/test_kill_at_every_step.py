"""Whatever the agent was doing when it was killed, every byte is still somewhere, and the next pass finishes the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.world import World
from tests.doubles.moto_server import MotoServer

MOST_STEPS = 92
"""At least as many as a pass over this drop zone has; `test_every_step_is_covered` holds it to that."""

LARGE = bytes(range(256)) * (24 * 1024)
"""Six MiB: travels alone, in two parts."""


@pytest.fixture
def world(tmp_path: Path, moto: MotoServer) -> World:
    """A drop zone with small files in two folders, an empty one, and one that is uploaded in parts."""
    world = World(tmp_path, moto)
    world.drop("a/one", b"one" * 500)
    world.drop("a/two", b"two" * 500, mtime=1_000_000_000)
    world.drop("a/empty", b"")
    world.drop("b/three", b"three" * 100)
    world.drop("b/large", LARGE)
    return world


def drop_again(world: World) -> None:
    """Let clients upload some names again, one with an equal size and a forged time, and one new name."""
    world.drop("a/one", b"ONE" * 500)
    world.drop("a/two", b"TWO" * 500, mtime=1_000_000_000)
    world.drop("b/new", b"new")


def steps(first: int, stride: int, quick: int) -> list[object]:
    """Return steps to die at; every `quick`-th is for the quick suite, the others for CI."""
    numbers = range(first, MOST_STEPS + 1, stride)
    return [pytest.param(n, marks=() if at % quick == 0 else pytest.mark.slow) for at, n in enumerate(numbers)]


@pytest.mark.parametrize("step", steps(1, 1, 6))
def test_killed_at_any_step_nothing_is_lost_or_doubled(world: World, step: int) -> None:
    """Killed before its n-th act, then names dropped again, then started: I1 to I6 hold, judged from outside."""
    code, output = world.run("run", "--once", die_at=step)
    assert code in {-9, 0}, output
    world.judge_bytes_only()

    drop_again(world)
    world.passes()

    world.judge_at_rest()


@pytest.mark.parametrize("step", steps(4, 9, 4))
def test_killed_again_while_recovering(world: World, step: int) -> None:
    """A second kill, during the recovery from the first, changes nothing."""
    world.run("run", "--once", die_at=step)
    drop_again(world)
    for second in (3, 11, 17, 29):
        world.run("run", "--once", die_at=second)
    world.passes()

    world.judge_at_rest()


def test_every_step_is_covered(world: World) -> None:
    """The number of steps above is not smaller than what a pass takes."""
    code, output = world.run("run", "--once")

    assert code == 0, output
    done = (world.base / "steps").read_text().splitlines()
    assert 60 < len(done) <= MOST_STEPS
