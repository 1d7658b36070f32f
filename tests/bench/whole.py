"""The whole job, from a full drop zone to an empty one, beside what else empties a folder into S3.

Everybody is given the same files and the same S3, which forgets what it is sent (`null_s3`). Ours scans, judges, packs, hashes,
uploads, proves, writes the manifest, fills the catalogue and removes; the others do what they do. Settings are the defaults but
for the quiet period, since the files are new.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench import peers
from tests.bench.sets import make
from tests.bench.turns import Turn, take_turn

BUCKET = "bench-bucket"
QUIET_SECONDS = 1.0


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
            "PYTHONPATH": os.pathsep.join(sys.path),
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
            "S3SYNC_FOLDER": str(self.zone),
            "S3SYNC_STATE": str(self.state / "s3sync"),
            "S3SYNC_QUIET_PERIOD": f"{QUIET_SECONDS:g}s",
            "S3SYNC_LOG_LEVEL": "warning",
        }


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that empties the bucket's folder: what it needs, and a line of shell where `$1` is the folder."""

    program: str
    line: str


PEERS: Mapping[str, Peer] = {
    "s3batch run --once": Peer(sys.executable, f'"{sys.executable}" -m s3batch run --once'),
    "rm -rf": Peer("rm", 'rm -rf "$1"'),
    "tar | aws s3 cp && rm -rf": Peer("aws", f'tar -cf - -C "$1" . | aws s3 cp - s3://{BUCKET}/a.tar && rm -rf "$1"'),
    "s5cmd mv": Peer("s5cmd", f'"$PROGRAM" --log error mv "$1/*" s3://{BUCKET}/'),
    "aws s3 mv": Peer("aws", f'aws s3 mv --quiet --recursive "$1" s3://{BUCKET}/'),
    "rclone move": Peer(
        "rclone",
        'RCLONE_S3_PROVIDER=Other RCLONE_S3_ENV_AUTH=true RCLONE_S3_ENDPOINT="$AWS_ENDPOINT_URL_S3" '
        f'"$PROGRAM" move --quiet --no-check-dest --s3-no-check-bucket "$1" :s3:{BUCKET}/',
    ),
}


def available(wanted: Mapping[str, Peer]) -> tuple[dict[str, Peer], list[str]]:
    """Return which peers are here, and the names of those that are missing."""
    here = {name: peer for name, peer in wanted.items() if peers.found(peer.program)}
    return here, [name for name in wanted if name not in here]


def programs(base: Path, name: str, scale: float, url: str, here: Mapping[str, Peer]) -> dict[str, Callable[[], Turn]]:
    """Return each peer's turn at emptying a fresh copy of the set `name`."""
    master = make(name, base / "master" / BUCKET, scale).parent
    return {each: partial(_one, base, master, url, peer) for each, peer in here.items()}


def _one(base: Path, master: Path, url: str, peer: Peer) -> Turn:
    place = Place(base / "zone", base / "state", url)
    shutil.copytree(master, place.zone)
    place.state.mkdir()
    os.sync()
    time.sleep(QUIET_SECONDS + 0.2)
    command = ["sh", "-ec", peer.line, "sh", str(place.zone / BUCKET)]
    environment = {**place.environment, "PROGRAM": peers.found(peer.program) or ""}
    try:
        turn = take_turn(command, environment=environment, cwd=str(place.state))
        left = sum(len(names) for _, _, names in os.walk(place.zone / BUCKET))
        assert left == 0, f"{left} files were left by {peer.line}"
    finally:
        shutil.rmtree(place.zone)
        shutil.rmtree(place.state)
    return turn
