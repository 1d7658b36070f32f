"""A drop host's zone with the agent on it, judged from outside as the crash tests judge theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.crash.world import World
from tests.doubles.moto_server import MotoServer
from tests.live.drop_host import DropHost, User


class DropWorld(World):
    """Everything of one test: uploads come from real clients, and are noted here when they are acknowledged."""

    def __init__(self, base: Path, moto: MotoServer, host: DropHost, *logs: Path) -> None:
        """Keep state below `base`; `logs` are the servers' transfer logs."""
        super().__init__(base, moto)
        self.host = host
        self.zone = host.zone
        self.environment["S3BATCH_FOLDER"] = str(host.zone)
        self.environment["S3BATCH_TRANSFER_LOGS"] = ",".join(map(str, logs))

    def acknowledged(self, user: User, name: str, content: bytes) -> None:
        """Note that a client was told that its upload to `/bucket/<name>` is complete."""
        drop = (user.key_prefix + name, content)
        self.drops.append(drop)
        self.ever.append(drop)

    def path(self, user: User, name: str) -> Path:
        """Return where an upload of `user` lies."""
        return self.host.zone / user.folder / name

    def ask(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Return the records of a command that ends with `code`."""
        ended, output = self.run(*words, "--json")
        assert code == ended, output
        return [json.loads(line) for line in output.splitlines() if line.startswith("{")]

    def a_pass(self) -> dict[str, Any]:
        """Run one pass and return its summary."""
        return self.ask("run", "--once")[-1]

    def archived(self) -> dict[str, bytes]:
        """Return the content of every archived key; each must be archived once."""
        members = self.archived_members()
        assert len(members) == len(dict(members)), "a key was archived twice"
        return dict(members)

    @contextmanager
    def agent(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Have the agent run as a process of its own, as on a host, and ask it to leave at the end."""
        environment = self.environment | {f"S3BATCH_{name.upper()}": value for name, value in settings.items()}
        with (self.base / "agent.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "s3batch", "run"], env=environment, stdout=log, stderr=log)
        try:
            yield process
            process.terminate()
            assert 0 == process.wait(60), (self.base / "agent.log").read_text()[-2000:]
        finally:
            process.kill()
            process.wait()
