"""asyncssh, the SFTP client of many a Python program: one process with hundreds of sessions. Fetched, not a dependency of ours.

Run as `python -m tests.live.sftp_library HOST PORT USER KEY` it reads one line of JSON (what to upload, see `Slow`), logs in as
often as there are uploads, all at once, and uploads slowly: piece by piece, with a pause after each. It prints the names that
the server acknowledged, as they come.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.live.fetch import Part, kept, run

VERSION = "2.24.1"
LOGINS_AT_ONCE = 20
"""More only make each other slower."""


def _get(cache: Path) -> Path:
    return kept(cache, f"asyncssh-{VERSION}", _install)


def _install(into: Path) -> None:
    # What it needs (cryptography, typing_extensions) is among what the tests need anyway.
    run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(into), f"asyncssh=={VERSION}"])


PART = Part(name="asyncssh", role="asyncssh", get=_get)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Uploads that all go on at the same time."""

    names: list[str]
    pieces: int
    piece_bytes: int
    pause_seconds: float
    seed: int

    def content(self, name: str) -> bytes:
        """Return what is uploaded under a name; to be had again by whoever judges."""
        return random.Random(f"{self.seed} {name}").randbytes(self.pieces * self.piece_bytes)

    def line(self) -> str:
        """Return it as the line that this program reads."""
        return json.dumps(asdict(self)) + "\n"


async def _upload(asyncssh: Any, target: dict[str, Any], slow: Slow, name: str, gate: asyncio.Semaphore) -> None:  # noqa: ANN401 - a library without a home here
    async with gate:
        connection = await asyncssh.connect(**target)
    async with connection, await connection.start_sftp_client() as sftp, await sftp.open(f"/bucket/{name}", "wb") as file:
        content = slow.content(name)
        for at in range(0, len(content), slow.piece_bytes):
            await file.write(content[at : at + slow.piece_bytes])
            await asyncio.sleep(slow.pause_seconds)
    print(name, flush=True)  # noqa: T201 - how it is told: after the server's answer to the closing


async def _main(host: str, port: str, user: str, key: str) -> None:
    import asyncssh  # type: ignore[import-not-found]  # in the folder of the part, on PYTHONPATH

    slow = Slow(**json.loads(sys.stdin.readline()))
    target = {"host": host, "port": int(port), "username": user, "client_keys": [key], "known_hosts": None, "config": None}
    gate = asyncio.Semaphore(LOGINS_AT_ONCE)
    await asyncio.gather(*(_upload(asyncssh, target, slow, name, gate) for name in slow.names))


if __name__ == "__main__":
    os.environ.setdefault("HOME", "/nonexistent")
    asyncio.run(_main(*sys.argv[1:]))
