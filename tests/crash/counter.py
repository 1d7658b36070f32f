"""Count every system call of a program that changes something, and kill the program before the n-th of them.

A preloaded library (`shim.c`) was chosen over strace and ptrace. strace counts per thread, and stops the process at every call,
which makes a sweep several times slower; a ptrace loop of our own would have to decode registers for each architecture, and
neither could keep what a power cut brings back. The library sees the calls where the C library is entered, which is where
Python, SQLite (through its table of C functions) and ctypes all enter it. What would pass it by is a raw system call, of which
the program makes none that changes anything, and a write through a mapping, of which it has only SQLite's `-shm` index, which
is made anew after every crash. `test_two_runs_have_the_same_points` holds the points to being the same in every run.

The process that is counted works in one thread (`driver.one_thread`): with several the n-th call is another one each time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

SOURCE = Path(__file__).with_name("shim.c")
_CHANCE = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6,}|(?<=journal\.db\.)\w+|(?<=catalogue\.db\.)\w+|(?<=s3batch-probe-)\w+|#\d+")
"""What is another one in every run: batch and request ids, temporary names, nameless files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of the program."""

    words: Sequence[str]
    """The command line of s3batch."""
    environment: Mapping[str, str]
    output: str
    """The file that takes standard output and standard error."""
    below: Sequence[str]
    """Changes of files are counted below these folders only."""
    points: str
    """The file that takes the list of points."""
    die_at: int = 0
    """Before which point to die; 0: none, only count."""
    torn: bool = False
    """Whether a write to a file is first done by half."""
    grave: str = ""
    """The folder that takes what a power cut may bring back; empty: nothing is kept."""


def missing() -> str | None:
    """Say why nothing can be counted on this machine, or None where it can."""
    if not sys.platform.startswith("linux"):
        return "a library is preloaded on Linux only"
    return None if _compiler() else "there is no C compiler (cc or gcc)"


def build(folder: Path) -> Path:
    """Compile the library and return where it lies."""
    library = folder / "shim.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Wno-unused-result", "-Werror", "-shared", "-fPIC"]
    subprocess.run([_compiler() or "cc", *flags, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def names(points: Path) -> list[str]:
    """Return what the points of a run were, without what is another one in every run."""
    lines = points.read_text(errors="surrogateescape").splitlines()
    return [_CHANCE.sub("*", line.partition(" ")[2]) for line in lines]


class Counter:
    """The process that forks the runs. A context."""

    def __init__(self, library: Path) -> None:
        """Start it with `library` preloaded."""
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        words = [sys.executable, "-W", "ignore", "-m", "tests.crash.zygote"]
        self._process = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._read() == "ready"

    def run(self, job: Job) -> int:
        """Run a job to its end; return its exit code, negative for the signal it died of."""
        stream = self._process.stdin
        assert stream is not None
        stream.write(json.dumps(asdict(job)) + "\n")
        stream.flush()
        return int(self._read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            _close(stream)
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _close(stream: IO[str] | None) -> None:
    if stream is not None:
        stream.close()


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")
