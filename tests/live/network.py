"""A network of its own, with nothing but a loopback: servers on ports 21 and 22 there are in nobody's way here."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_UP = "ip link set lo up && echo up && exec sleep infinity"
_CLONE_NEWNET = 0x40000000


class Network:
    """It lasts as long as the process that was started in it."""

    def __init__(self, holder: int) -> None:
        """Name it by a process that is in it."""
        self.path = Path(f"/proc/{holder}/ns/net")
        self.enter = ("nsenter", f"--net={self.path}", "--")
        """What a command begins with that is to run in it, on our files."""

    def within(self, make: Callable[[], T]) -> T:
        """Return what is made by a thread that is in it: a socket belongs for good to the network it was made in."""
        with ThreadPoolExecutor(1, initializer=self._join) as thread:
            return thread.submit(make).result()

    def _join(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)


@contextmanager
def own_network() -> Iterator[Network]:
    """Have one for the length of the block. Needs root and `ip`."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", _UP], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert b"up\n" == holder.stdout.readline()
        yield Network(holder.pid)
    finally:
        holder.kill()
        holder.communicate()
