"""The whole job, from a full drop zone to an empty one: `make bench ARGS="--whole"`.

Everybody is given the same files and the same S3, which forgets what it is sent (`null_s3`). Ours scans, judges, packs, hashes,
uploads, proves, writes the manifest, fills the catalogue and removes; the others do what they do. Programs that are not on the
PATH are named as missing. Settings are the defaults but for the quiet period, since the files are new.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.null_s3 import null_s3
from tests.bench.turns import Turn, make_files, take_turn

BUCKET = "bench-bucket"
QUIET_SECONDS = 1.0


@dataclass(slots=True)
class Measured:
    """What the turns were, and who could not take one."""

    turns: dict[str, list[Turn]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one turn happens."""

    zone: Path
    state: Path
    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What every program is told."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.state),
            "AWS_ENDPOINT_URL_S3": self.url,
            "S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench-bench",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "S3BATCH_FOLDER": str(self.zone),
            "S3BATCH_STATE": str(self.state / "s3batch"),
            "S3BATCH_QUIET_PERIOD": f"{QUIET_SECONDS:g}s",
            "S3BATCH_LOG_LEVEL": "warning",
        }


Command = Callable[[Place], list[str]]


def _shell(line: str) -> Command:
    return lambda place: ["sh", "-ec", line, "sh", str(place.zone / BUCKET)]


COMMANDS: Mapping[str, tuple[str, Command]] = {
    "s3batch run --once": (sys.executable, lambda _: [sys.executable, "-m", "s3batch", "run", "--once"]),
    "rm -rf": ("rm", lambda place: ["rm", "-rf", str(place.zone / BUCKET)]),
    "tar | aws s3 cp && rm -rf": ("aws", _shell(f'tar -cf - -C "$1" . | aws s3 cp - s3://{BUCKET}/a.tar; rm -rf "$1"')),
    "s5cmd mv": ("s5cmd", _shell(f's5cmd --log error mv "$1/*" s3://{BUCKET}/')),
}
"""By name: the program it takes, and how it is called. `aws s3 mv` would take minutes; it is left to those who want to wait."""


def measure(base: Path, files: int, runs: int) -> Measured:
    """Let every program empty a fresh copy of the same drop zone, in turn, once to warm up and `runs` times."""
    measured = Measured()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    here = {name: command for name, (program, command) in COMMANDS.items() if shutil.which(program, path=path)}
    measured.missing = [name for name in COMMANDS if name not in here]
    measured.turns = {name: [] for name in here}
    master = make_files(base / "master", files, bucket=BUCKET)
    with null_s3() as url:
        for run in range(runs + 1):
            for name, command in here.items():
                turn = _one(base, master, url, command)
                if run:
                    measured.turns[name].append(turn)
    return measured


def _one(base: Path, master: Path, url: str, command: Command) -> Turn:
    place = Place(base / "zone", base / "state", url)
    shutil.copytree(master, place.zone)
    place.state.mkdir()
    os.sync()
    time.sleep(QUIET_SECONDS + 0.2)
    try:
        turn = take_turn(command(place), environment=place.environment)
        left = sum(len(names) for _, _, names in os.walk(place.zone / BUCKET))
        assert left == 0, f"{left} files were left by {command(place)}"
    finally:
        shutil.rmtree(place.zone)
        shutil.rmtree(place.state)
    return turn
