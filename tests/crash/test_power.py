"""What the power cut of the sweep takes back, and what it leaves: shown with single acts of a small program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.counter import build, missing, names
from tests.crash.power import Cut, cut_power

_ARM = """
import ctypes, os, sys
grave, points, tree = sys.argv[1:4]
os.chdir(tree)
die_at, torn = int(sys.argv[4]), int(sys.argv[5])
ctypes.CDLL(None).sweep_arm(ctypes.c_long(die_at), torn, points.encode(), tree.encode(), grave.encode())

def flush(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)

def write(path, content, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    fd = os.open(path, flags)
    os.write(fd, content)
    return fd

def syncfs():
    fd = os.open(".", os.O_RDONLY)
    ctypes.CDLL(None).syncfs(fd)
    os.close(fd)

"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preloaded library."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    return build(tmp_path_factory.mktemp("shim"))


class Machine:
    """A folder with one old file and one old folder, and a program that may lose its power."""

    def __init__(self, base: Path, shim: Path) -> None:
        """Lay out what is on the disk before."""
        self.tree, self.grave, self.points = base / "tree", base / "grave", base / "points"
        (self.tree / "folder").mkdir(parents=True)
        (self.tree / "old").write_bytes(b"old")
        self.grave.mkdir()
        self._shim = shim

    def run(self, program: str, *, die_at: int = 0, torn: bool = False) -> int:
        """Run a few lines of Python below the tree."""
        words = [sys.executable, "-c", _ARM + program, str(self.grave), str(self.points), str(self.tree), str(die_at)]
        environment = {**os.environ, "LD_PRELOAD": str(self._shim)}
        return subprocess.run([*words, str(int(torn))], env=environment, check=False).returncode

    def after(self, program: str, cut: Cut = Cut.ALL) -> dict[str, bytes]:
        """Run a program, cut the power, and return what is on the disk."""
        assert self.run(program) == 0
        cut_power(self.grave, self.tree, cut)
        return self.files()

    def files(self) -> dict[str, bytes]:
        """Return every file and what it holds."""
        paths = (path for path in self.tree.rglob("*") if path.is_file())
        return {str(path.relative_to(self.tree)): path.read_bytes() for path in paths}


@pytest.fixture
def machine(tmp_path: Path, shim: Path) -> Machine:
    """A machine."""
    return Machine(tmp_path, shim)


@pytest.mark.parametrize(
    ("program", "left"),
    [
        ('write("old", b"new")', {"old": b"old"}),
        ('os.fsync(write("old", b"new"))', {"old": b"new"}),
        ('fd = write("old", b"1"); os.fdatasync(fd); os.write(fd, b"2")', {"old": b"1"}),
        ('os.fsync(write("new", b"new"))', {"old": b"old"}),
        ('os.fsync(write("new", b"new")); flush(".")', {"old": b"old", "new": b"new"}),
        ('write("new", b"new"); flush(".")', {"old": b"old", "new": b""}),
        ('write("new", b"new"); syncfs()', {"old": b"old", "new": b"new"}),
        ('os.fsync(write("new", b"new")); os.rename("new", "old")', {"old": b"old"}),
        ('os.fsync(write("new", b"new")); os.rename("new", "old"); flush(".")', {"old": b"new"}),
        ('os.rename("old", "folder/old")', {"old": b"old"}),
        ('os.rename("old", "folder/old"); flush("folder")', {"folder/old": b"old"}),
        ('os.unlink("old")', {"old": b"old"}),
        ('os.unlink("old"); flush(".")', {}),
        ('os.mkdir("new"); os.fsync(write("new/file", b"new")); flush("new")', {"old": b"old"}),
        ('os.mkdir("new"); os.fsync(write("new/file", b"new")); syncfs()', {"old": b"old", "new/file": b"new"}),
        ('os.mkdir("new"); os.rename("old", "new/old"); os.unlink("new/old"); os.rmdir("new")', {"old": b"old"}),
        ('os.mkdir("new"); os.rename("old", "new/old"); os.unlink("new/old"); os.rmdir("new"); flush(".")', {}),
    ],
)
def test_what_was_flushed_stays_and_nothing_else(machine: Machine, program: str, left: dict[str, bytes]) -> None:
    """Contents go back to their last flush, names to the last flush of their folder."""
    assert left == machine.after(program)


@pytest.mark.parametrize(
    ("cut", "left"),
    [
        (Cut.CONTENTS, {"folder/old": b"old", "new": b""}),
        (Cut.NAMES, {"old": b"old"}),
        (Cut.BLOCKS, {"folder/old": b"old", "new": b"\0" * 4096 + b"n" * 4096 + b"\0" * 1808}),
    ],
)
def test_other_ways_of_losing(machine: Machine, cut: Cut, left: dict[str, bytes]) -> None:
    """Names may be kept while contents are lost, and the other way round."""
    assert left == machine.after('write("new", b"n" * 10000); os.rename("old", "folder/old")', cut)


def test_brought_back_file_is_the_same_file(machine: Machine) -> None:
    """An inode number that changed would be noticed by the program; a power cut does not change it."""
    before = (machine.tree / "old").stat().st_ino

    machine.after('os.rename("old", "folder/old"); os.unlink("folder/old")')

    assert before == (machine.tree / "old").stat().st_ino


def test_dies_before_the_chosen_change(machine: Machine) -> None:
    """The list says what would have come."""
    program = 'write("new", b"new"); os.unlink("old"); os.mkdir("more")'

    assert machine.run(program, die_at=3) == -9

    assert {"old": b"old", "new": b"new"} == machine.files()
    changes = [name.partition(" ")[0] for name in names(machine.points)]
    assert ["open", "write", "unlink"] == changes


def test_dies_within_the_chosen_write(machine: Machine) -> None:
    """The first half is there."""
    assert machine.run('write("new", b"12345678")', die_at=2, torn=True) == -9

    assert b"1234" == machine.files()["new"]
