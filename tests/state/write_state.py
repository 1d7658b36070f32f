"""Write the state folders of both programs as one version of the code leaves them, for `test_written_by_earlier_versions.py`.

Run once for each version that has a schema of its own, with that version's code in the way, which knows nothing of this file:

    git worktree add /tmp/that-version COMMIT
    PYTHONPATH=/tmp/that-version .venv/bin/python tests/state/write_state.py tests/state/written/NAME

What it leaves: two archives that were released while OpenSearch was away, and a restore request. Each database is copied by
VACUUM INTO and packed by gzip, and is then the golden file of its version.
"""

from __future__ import annotations

import gzip
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import boto3

BUCKET = "written"
NOBODY = "http://127.0.0.1:1"


def main(into: Path) -> None:
    """Write `into`/s3batch-journal.db.gz and its fellows."""
    with tempfile.TemporaryDirectory() as folder, moto() as url:
        home = Path(folder)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ["PYTHONPATH"],
            "HOME": folder,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": url,
            "S3BATCH_FOLDER": str(home / "drop"),
            "S3BATCH_STATE": str(home / "state"),
            "S3BATCH_QUIET_PERIOD": "1s",
            "S3BATCH_BUCKET_OWNER": "any",
            "S3BATCH_OPENSEARCH_URL": NOBODY,
            "S3SYNC_FOLDER": str(home / "sync"),
            "S3SYNC_STATE": str(home / "sync-state"),
            "S3SYNC_QUIET_PERIOD": "1s",
            "S3SYNC_BUCKET_OWNER": "any",
        }
        boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        ).create_bucket(Bucket=BUCKET)
        for zone in ("drop", "sync"):
            for name in ("a/one.txt", "a/two.txt", "b/three.txt"):
                file = home / zone / BUCKET / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{zone} {name}\n")
        time.sleep(1.5)
        run(environment, "s3batch", "run", "--once")
        run(environment, "s3sync", "run", "--once")
        run(environment, "s3batch", "restore", "--to", f"s3://{BUCKET}/back/", "--yes", f"s3://{BUCKET}/a/one.txt")
        into.mkdir(parents=True, exist_ok=True)
        keep(home / "state" / "journal.db", into / "s3batch-journal.db.gz")
        keep(home / "state" / "catalogue.db", into / "s3batch-catalogue.db.gz")
        keep(home / "sync-state" / "journal.db", into / "s3sync-journal.db.gz")


def run(environment: dict[str, str], *words: str) -> None:
    """Run a command of the version in the way, and show what it says."""
    program, *rest = words
    ended = subprocess.run([sys.executable, "-P", "-m", program, *rest], env=environment, check=False)
    sys.stderr.write(f"{' '.join(words)}: {ended.returncode}\n")


def keep(database: Path, packed: Path) -> None:
    """Pack one database as it is, without what only a running program needs."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(database)) as db:
        copy = Path(folder) / "copy.db"
        db.execute("VACUUM INTO ?", (str(copy),))
        packed.write_bytes(gzip.compress(copy.read_bytes(), mtime=0))


@contextmanager
def moto() -> Iterator[str]:
    """Run moto in a process of its own."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = "from moto.server import main; main()"
    with subprocess.Popen([sys.executable, "-P", "-c", program, "-p", str(port)], stderr=subprocess.DEVNULL) as server:
        try:
            while True:
                with closing(socket.socket()) as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
