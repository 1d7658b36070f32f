"""`s3sync` beside s5cmd and boto3: one file, one object, at an S3 that answers after 15 ms, with equal connections.

Ours creates conditionally, sends a checksum, proves by HEAD what lies in S3, journals, and removes by way of the quarantine.
The plain boto3 loop puts and removes. The null S3 delays its answers as the way to S3 does, and takes no time of its own: a
HEAD that is sent right behind its PUT is answered right behind it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.whole import BUCKET, Peer

CONNECTIONS = 16
LATENCY_SECONDS = 0.015
SYNC_FILES = 5_000
"""At scale 1: enough that starting does not count for much, and few enough for a coffee."""

SYNC_PEERS: Mapping[str, Peer] = {
    "s3sync run --once": Peer(sys.executable, f'S3SYNC_UPLOAD_THREADS={CONNECTIONS} "{sys.executable}" -m s3sync run --once'),
    "s5cmd mv": Peer("s5cmd", f'"$PROGRAM" --numworkers {CONNECTIONS} --log error mv "$1/*" s3://{BUCKET}/'),
    "boto3 put_object": Peer(sys.executable, f'"{sys.executable}" -m tests.bench.sync "$1"'),
}


def by_boto3(folder: Path) -> None:
    """Put and remove every file below `folder`."""
    import boto3
    from botocore.config import Config

    client = boto3.client("s3", config=Config(max_pool_connections=CONNECTIONS))

    def move(path: Path) -> None:
        with path.open("rb") as file:
            client.put_object(Bucket=BUCKET, Key=str(path.relative_to(folder)), Body=file)
        path.unlink()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        paths = (Path(top) / name for top, _, names in os.walk(folder) for name in names)
        list(pool.map(move, list(paths)))


if __name__ == "__main__":
    by_boto3(Path(sys.argv[1]))
