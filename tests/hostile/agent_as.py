"""Run `s3batch` as somebody else: `python -m tests.hostile.agent_as UID GID CAPABILITIES WORDS...`.

Everything is imported, by a pass over an empty drop zone, before the rights are given up: the interpreter may lie where the
other user may not look. Archives are built in line for the same reason, and what was dropped a moment ago counts as quiet, also
where the quiet period counts four times.
CAPABILITIES are numbers with commas between, of those kept; `-` for none.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
import tempfile
import time
from collections.abc import Collection

import psutil

from s3batch import app
from s3batch.cli import main
from s3batch.pack import carriers
from tests.doubles.workers import InLineWorkers

AHEAD_NS = 10 * 10**9
"""More than four times the second that the tests have for a quiet period."""
_VERSION_3 = 0x20080522
"""Of capset(2), from linux/capability.h."""
_PR_SET_KEEPCAPS = 8


def become(uid: int, gid: int, capabilities: Collection[int]) -> None:
    """Give up everything but `capabilities` (below 32), for good. Raises `OSError`."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    bits = sum(1 << number for number in capabilities)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bits, bits, 0, 0, 0, 0)
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def run_as(words: list[str]) -> int:
    """Warm up, become, run."""
    uid, gid, capabilities, *command = words
    vars(app)["Workers"] = InLineWorkers
    vars(carriers)["CARRIERS"] = 1
    real_time_ns = time.time_ns
    time.time_ns = lambda: real_time_ns() + AHEAD_NS
    _warm_up()
    become(int(uid), int(gid), [] if capabilities == "-" else [int(each) for each in capabilities.split(",")])
    return main(command)


def _warm_up() -> None:
    real = dict(os.environ)
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        os.makedirs(f"{scratch}/zone/{os.environ['WARM_UP_BUCKET']}")
        for name in ("file", "another"):
            with open(f"{scratch}/zone/{os.environ['WARM_UP_BUCKET']}/{name}", "wb") as file:
                file.write(b"x")
        os.environ.update(S3BATCH_FOLDER=f"{scratch}/zone", S3BATCH_STATE=f"{scratch}/state")
        for command in (["run", "--once", "--json"], ["status", "--json"], ["find", "file"]):
            main(command)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                process.open_files()
    os.environ.clear()
    os.environ.update(real)


if __name__ == "__main__":
    sys.exit(run_as(sys.argv[1:]))
