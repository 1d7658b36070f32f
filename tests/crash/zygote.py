"""A process with the program imported and the counter preloaded, which forks a child for every run.

Importing takes longer than a run, and a preloaded library must be there from a process's start: hence this one, started once.
A job is a line of JSON on standard input (see `tests.crash.counter.Job`), its answer the child's exit code on standard output.
Points are counted from the program's first statement on, so what Python itself does at its start is not among them.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

import tests.crash.preloaded  # noqa: F401 - what a child finds ready
from s3batch.cli import main
from tests.crash import driver

_PR_SET_PDEATHSIG = 1
"""prctl(2): a run that waits for something must not outlive the test that gave it up."""


def serve() -> None:
    """Run jobs until standard input ends, or whoever started us does."""
    _die_with_parent()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(job)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _child(job: dict[str, Any]) -> None:
    _die_with_parent()
    os.environ.clear()
    os.environ.update(job["environment"])
    fd = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(fd, standard)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    driver.one_thread()
    shim = ctypes.CDLL(None)
    below = ":".join(job["below"]).encode()
    shim.sweep_arm(ctypes.c_long(job["die_at"]), int(job["torn"]), job["points"].encode(), below, job["grave"].encode())
    code = 1
    try:
        code = main(job["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
