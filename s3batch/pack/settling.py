"""How a worker process begins. A file of its own, for every worker imports it, and nothing that only some of them need.

A worker asks the kernel to be killed when its parent dies, and asks again whether the parent is still the one it knew, for the
parent may have died in between. An interrupt meant for the agent is the agent's.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal

from s3sync.dropzone.writers import ignore_lease_signals

_PR_SET_PDEATHSIG = 1
"""prctl(2), from linux/prctl.h."""


def settle_in(parent: int) -> None:
    """Make this process a worker of the process `parent`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    ignore_lease_signals()
    # Neither kind of work makes cycles, and walking a hundred thousand candidates again and again takes its time.
    gc.disable()
