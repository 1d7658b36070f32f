"""A client that never waits: rewrites its files again and again, and remembers what it was told is safe.

Run as `racing_writer.py FOLDER WAY FIRST COUNT` until its input ends; then writes, as JSON, every content whose `close` (or
rename) returned, and those it overwrote itself. Each content is unique and all are equally long.

`truncate` opens the name and rewrites what is there, as `sftp put` does; `forge` sets the same mtime afterwards, as `put -p`
does; `rename` writes beside and moves over the name, as WinSCP does. What it overwrites is read first, or swapped out rather
than replaced, so that it can be told from what somebody else removed.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import sys
from collections.abc import Callable
from itertools import cycle

_libc = ctypes.CDLL(None, use_errno=True)
NO_REPLACE, EXCHANGE = 1, 2
FORGED_NS = (10**18, 10**18)


class Client:
    """One client and what it was told."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.acknowledged: list[str] = []
        self.overwritten: list[str] = []

    def truncate(self, name: str, content: str) -> None:
        fd = os.open(os.path.join(self._folder, name), os.O_RDWR | os.O_CREAT, 0o666)
        with open(fd, "r+", encoding="ascii") as file:
            before = file.read()
            file.seek(0)
            file.truncate()
            file.write(content)
        self._note(before, content)

    def forge(self, name: str, content: str) -> None:
        fd = os.open(os.path.join(self._folder, name), os.O_RDWR | os.O_CREAT, 0o666)
        with open(fd, "r+", encoding="ascii") as file:
            before = file.read()
            file.seek(0)
            file.truncate()
            file.write(content)
            file.flush()
            os.utime(fd, ns=FORGED_NS)
        self._note(before, content)

    def rename(self, name: str, content: str) -> None:
        target = os.path.join(self._folder, name)
        beside = f"{target}.filepart"
        with open(beside, "w", encoding="ascii") as file:
            file.write(content)
        before = ""
        while True:
            if self._renamed(beside, target, EXCHANGE):
                with open(beside, encoding="ascii") as file:
                    before = file.read()
                os.unlink(beside)
                break
            if self._renamed(beside, target, NO_REPLACE):
                break
        self._note(before, content)

    def _note(self, before: str, content: str) -> None:
        self.acknowledged.append(content)
        if before:
            self.overwritten.append(before)

    def _renamed(self, source: str, target: str, how: int) -> bool:
        if _libc.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), how) == 0:
            return True
        number = ctypes.get_errno()
        if number in {errno.ENOENT, errno.EEXIST}:
            return False
        raise OSError(number, os.strerror(number))


def main(folder: str, way: str, first: str, count: str) -> None:
    """Write until there is something, or an end, to be read."""
    client = Client(folder)
    write: Callable[[str, str], None] = getattr(client, way)
    names = [str(number) for number in range(int(first), int(first) + int(count))]
    sys.stdout.write("\n")
    sys.stdout.flush()
    for number, name in enumerate(cycle(names)):
        write(name, f"{way} {name:>10} {number:>20}\n")
        if number % 50 == 0 and select.select([sys.stdin], [], [], 0)[0]:
            break
    json.dump({"acknowledged": client.acknowledged, "overwritten": client.overwritten}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
