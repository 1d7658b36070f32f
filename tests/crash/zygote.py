"""A process with the program imported and the counter preloaded, which forks a child for every run.

Importing takes longer than a run, and a preloaded library must be there from a process's start: hence this one, started once.
A job is a line of JSON on standard input (see `tests.crash.counter.Job`), its answer the child's exit code on standard output.
Points are counted from the program's first statement on, so what Python itself does at its start is not among them.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
from typing import Any

import boto3
import botocore.session
from botocore.loaders import Loader

import s3batch.app
import s3batch.commands.find
import s3batch.commands.rebuild
import s3batch.commands.requests
import s3batch.commands.restore
import s3batch.commands.run
from s3batch.cli import main
from tests.crash import driver

IMPORTED = (s3batch.app, s3batch.commands)
"""What a child finds ready."""
_PR_SET_PDEATHSIG = 1
"""prctl(2): a run that waits for something must not outlive the test that gave it up."""


def serve() -> None:
    """Run jobs until standard input ends, or whoever started us does."""
    _die_with_parent()
    _read_service_models()
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


def _read_service_models() -> None:
    """Let children find read what each client of S3 reads of botocore's files: more than half of the time of a short run."""
    loader = Loader()
    vars(botocore.session)["create_loader"] = lambda _paths: loader
    boto3.session.Session().client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    gc.freeze()


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
