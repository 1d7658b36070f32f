"""Bringing members of one archive back from a real S3 server (versitygw), beside fetching the whole tar and extracting it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench.sets import SETS, make
from tests.bench.turns import Turn, take_turn
from tests.bench.whole import BUCKET, QUIET_SECONDS, Place
from tests.live.fetch import cache_folder
from tests.live.versitygw import KEY, PART, SECRET, running

FEW = 10
"""One member in so many is what `few` asks for."""


@contextmanager
def archived(base: Path, scale: float) -> Iterator[tuple[Place, str]]:
    """Archive 100,000 x `scale` files of one folder into a real S3 server; yield the place and the archive's key."""
    (base / "s3").mkdir()
    with running(PART.get(cache_folder(os.environ)), base / "s3") as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        place = Place(base / "zone", base / "state", server.endpoint)
        environment = _environment(place)
        place.state.mkdir()
        make("flat", place.zone / BUCKET, scale)
        time.sleep(QUIET_SECONDS + 0.2)
        subprocess.run(
            [sys.executable, "-m", "s3batch", "run", "--once"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        keys = [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
        (archive,) = (key for key in keys if key.endswith(".tar"))
        yield place, archive


def programs(place: Place, archive: str, scale: float, *, few: bool) -> dict[str, Callable[[], Turn]]:
    """Return our turn at bringing back one member in ten, or all, and that of fetching the tar."""
    wanted = place.state / "wanted"
    step = FEW if few else 1
    names = [f"s3://{BUCKET}/{path}" for number, path in enumerate(_paths(scale)) if number % step == 0]
    wanted.write_text("\n".join(names) + "\n")
    ours = [sys.executable, "-m", "s3batch", "restore", "--to", "out", "--yes", "--wait"]
    ours += ["--from-file", str(wanted)] if few else [f"s3://{BUCKET}/{archive}"]
    whole = ["sh", "-ec", f'aws s3 cp "s3://{BUCKET}/{archive}" - | tar -xf - -C out']
    return {
        "s3batch restore": partial(_into, ours, place),
        "aws s3 cp | tar x": partial(_into, whole, place),
    }


def _paths(scale: float) -> Iterator[str]:
    return (path for path, _ in SETS["flat"][1](scale))


def _into(command: list[str], place: Place) -> Turn:
    """Let a program deliver to a folder of its own.

    What was delivered stays until the end: where files were removed a moment ago, ext4 without a journal looks long for the
    number of a new one, and the next turn would pay for that. It would also pay for what `tar` leaves unwritten, for we flush.
    """
    os.sync()
    room = Path(tempfile.mkdtemp(dir=place.state))
    (room / "out").mkdir()
    return take_turn(command, environment=_environment(place), cwd=str(room))


def _environment(place: Place) -> dict[str, str]:
    # versitygw forgets storage classes.
    own = {
        "S3BATCH_STORAGE_CLASS": "STANDARD",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "S3BATCH_BUCKET_OWNER": "any",
    }
    return {**place.environment, **own}
