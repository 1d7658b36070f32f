"""What lies in the demo's drop zone: a few hundred varied files, and everything an agent has to be careful with.

The contents are made from the names, so that every run is the same and what comes back can be compared.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INVOICES, CAMERAS, BACKUPS = "demo-invoices", "demo-cameras", "demo-backups"
BUCKETS = (INVOICES, CAMERAS, BACKUPS)
MAX_BATCH_BYTES = 1 << 20

WANTED = "2026/11/Müller & Söhne/invoice 0042.pdf"
"""The file that is asked back."""

_WRITER = """
import sys
file = open(sys.argv[1], "wb")
file.write(b"first half")
file.flush()
print("open", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped: finished files by path (relative to the drop zone, raw), and what must stay, with the reason."""

    finished: dict[bytes, bytes]
    stays: dict[bytes, str]

    @property
    def finished_bytes(self) -> int:
        """The sum of their sizes."""
        return sum(map(len, self.finished.values()))


@contextmanager
def dropped(zone: Path) -> Iterator[Dropped]:
    """Fill `zone` and keep a live writer as long as the block lasts."""
    finished = dict(_finished())
    for path, content in finished.items():
        _write(zone, path, content)
    stays = {f"{CAMERAS}/north/clip-099.mp4.filepart".encode(): "temporary_name"}
    _write(zone, next(iter(stays)), b"half a clip")
    link = zone / INVOICES / "secrets"
    link.symlink_to("/etc/passwd")
    stays[os.fsencode(link.relative_to(zone))] = "symlink"
    growing = zone / CAMERAS / "north" / "still-uploading.mp4"
    command = [sys.executable, "-c", _WRITER, str(growing)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        if writer.stdout is None or writer.stdout.readline() != b"open\n":
            raise RuntimeError("the live writer did not start")
        stays[os.fsencode(growing.relative_to(zone))] = "writer"
        try:
            yield Dropped(finished, stays)
        finally:
            writer.kill()


def _finished() -> Iterator[tuple[bytes, bytes]]:
    for day in range(1, 6):
        for number in range(40):
            yield _drop(f"{INVOICES}/2026/11/{day:02}/invoice {day * 100 + number:04}.pdf", 1500 + 37 * number)
    yield _drop(f"{INVOICES}/{WANTED}", 48_213)
    for camera in ("north", "south"):
        for clip in range(50):
            yield _drop(f"{CAMERAS}/{camera}/2026-11-20/clip-{clip:03}.mp4", 9000 + 411 * clip)
    yield _drop(f"{CAMERAS}/south/2026-11-20/panorama.tiff", 3 * MAX_BATCH_BYTES)
    yield _drop(f"{BACKUPS}/README first.txt", 300)
    yield _drop(f"{BACKUPS}/etc/empty.conf", 0)
    yield f"{BACKUPS}/etc/".encode() + b"caf\xe9.cfg", b"a name from another century"
    for number in range(30):
        yield _drop(f"{BACKUPS}/etc/service-{number}/café.conf", 100 * number)


def _drop(path: str, size: int) -> tuple[bytes, bytes]:
    seed = hashlib.sha256(path.encode()).digest()
    return path.encode(), (seed * (size // len(seed) + 1))[:size]


def _write(zone: Path, path: bytes, content: bytes) -> None:
    target = os.path.join(os.fsencode(zone), path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(content)
