"""Build workers that are killed alone, and agents that are killed while a worker builds: real processes, nothing lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from s3batch.pack.pipeline import BUILDS_AHEAD
from s3sync.dropzone.release import CHUNK
from s3sync.errors import Exit
from tests.crash.world import World
from tests.doubles.moto_server import MotoServer

PATIENCE_SECONDS = 30.0
FOLDERS = 2 * BUILDS_AHEAD
_PROGRAM = (
    "import sys; from tests.crash import driver; driver.set_ahead(); from s3batch.cli import main; sys.exit(main(sys.argv[1:]))"
)

T = TypeVar("T")


@pytest.fixture
def world(tmp_path: Path, moto: MotoServer) -> World:
    """A drop zone from which each folder makes an archive of its own; one worker builds them."""
    world = World(tmp_path, moto)
    world.environment["S3BATCH_BUILD_WORKERS"] = "1"
    for number in range(FOLDERS):
        world.drop(f"{number}/file", b"%d" % number * 1000)
    return world


@contextmanager
def pass_of(world: World) -> Iterator[subprocess.Popen[str]]:
    """Run one pass of the agent with its own worker processes."""
    words = [sys.executable, "-c", _PROGRAM, "run", "--once", "--json"]
    process = subprocess.Popen(words, env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def soon(look: Callable[[], T | None]) -> T:
    """Return what `look` returns once it returns anything."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.001)
    raise AssertionError("it did not come")


def stopped_worker(agent: subprocess.Popen[str]) -> psutil.Process:
    """Return the agent's worker, stopped as soon as there is one: it has not begun."""

    def look() -> psutil.Process | None:
        for child in psutil.Process(agent.pid).children():
            try:
                if any("spawn_main" in word for word in child.cmdline()):
                    child.suspend()
                    return child
            except psutil.NoSuchProcess:
                continue
        return None

    return soon(look)


def stopped_while_building(world: World, agent: subprocess.Popen[str]) -> psutil.Process:
    """Return the agent's worker, stopped when the first archive has appeared in the spool."""
    worker = stopped_worker(agent)
    worker.resume()
    soon(lambda: True if any((world.base / "state").glob("spool/*/archive.tar")) else None)
    worker.suspend()
    return worker


def test_pass_goes_on_without_a_killed_worker(world: World) -> None:
    """What it was to build is left for the next pass; another worker builds what comes after."""
    with pass_of(world) as agent:
        stopped_worker(agent).kill()
        assert agent.stdout is not None
        output = agent.stdout.read()

    summary = json.loads(output.splitlines()[-1])
    assert 1 <= summary["errors"] <= BUILDS_AHEAD
    assert FOLDERS == summary["archives"] + summary["errors"]
    world.judge_bytes_only()
    world.passes()
    world.judge_at_rest()


@pytest.mark.parametrize("when", ["before it begins", pytest.param("while it builds", marks=pytest.mark.slow)])
def test_worker_dies_with_the_agent(world: World, when: str) -> None:
    """Killed with SIGKILL, the agent leaves no process that goes on building, and no lock that keeps the next one out."""
    world.drop("0/large", bytes(range(256)) * (128 << 10))
    with pass_of(world) as agent:
        worker = stopped_worker(agent) if when == "before it begins" else stopped_while_building(world, agent)
        agent.kill()
        agent.wait()
        world.passes()
        if worker.is_running():
            worker.send_signal(signal.SIGCONT)

    soon(lambda: None if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE else True)
    world.judge_at_rest()


@pytest.mark.slow
def test_agent_leaves_a_worker_that_does_not_answer(world: World) -> None:
    """Asked to stop while its worker is stopped within an archive, it leaves within ten seconds, and takes it along."""
    world.drop("0/large", bytes(range(256)) * (128 << 10))
    with pass_of(world) as agent:
        worker = stopped_while_building(world, agent)
        agent.send_signal(signal.SIGTERM)

        assert Exit.INTERRUPTED == agent.wait(10)

    soon(lambda: None if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE else True)
    world.judge_bytes_only()
    world.passes()
    world.judge_at_rest()


@pytest.mark.slow
def test_no_secret_is_in_the_title_of_a_process(world: World) -> None:
    """Everybody on the host may read command lines: neither the agent's nor its helpers' say what only the environment does."""
    secrets = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIsecretKEY", "S3BATCH_OPENSEARCH_URL": "http://user:hushHUSH@127.0.0.1:9"}
    world.environment |= secrets
    world.drop("0/large", bytes(range(256)) * (128 << 10))
    with pass_of(world) as agent:
        stopped_while_building(world, agent)
        processes = [psutil.Process(agent.pid), *psutil.Process(agent.pid).children(recursive=True)]
        titles = [" ".join([process.name(), *process.cmdline()]) for process in processes]

    assert len(titles) > 1
    assert [] == [title for title in titles for secret in ("wJalrXUtnFEMIsecretKEY", "hushHUSH") if secret in title]


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["remover", "agent"])
def test_killed_while_originals_are_removed(world: World, whom: str) -> None:
    """A process that removes dies alone, or with the agent: what lay in its slots is found again, nothing lost or doubled."""
    world.environment["S3BATCH_MAX_BATCH_SIZE"] = "16MiB"
    for number in range(CHUNK + 200):
        world.drop(f"many/{number // CHUNK}/{number}", b"%d" % number)
    with pass_of(world) as agent:
        remover = soon(lambda: next((child for child in children(agent) if is_removing(world, child)), None))
        if whom == "agent":
            agent.kill()
        else:
            remover.kill()
        agent.wait(60)

    world.judge_bytes_only()
    world.passes()
    world.judge_at_rest()


def children(agent: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes the agent has started, as far as it still runs."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(agent.pid).children()
    return []


def is_removing(world: World, process: psutil.Process) -> bool:
    """Tell whether a process has the slots of a batch open."""
    with suppress(FileNotFoundError):
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                if link.readlink().parent == world.zone / ".s3batch-quarantine":
                    return True
    return False
