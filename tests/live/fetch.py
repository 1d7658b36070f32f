"""How a live part comes onto this machine: through its own package client, three tries, kept outside the repository.

The folder is `$S3BATCH_TEST_CACHE`, or `s3batch-tests` in the user's cache. What is fetched is made beside its place and
renamed when it is whole, under a lock, so that parallel test processes fetch it once and a broken-off fetch leaves nothing
that looks done. A part that could not be fetched in this run is not tried again by the run's other processes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TRIES = 3
LONGEST_SECONDS = 900
_RUN = "PYTEST_XDIST_TESTRUNUID"
"""xdist's name of one run, equal in all its processes."""


class Unfetched(Exception):
    """A part cannot be had here; the text says why, on one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A real server or program that tests may use."""

    name: str
    """What a test asks for: `@pytest.mark.live(name)`, or a fixture of that name."""
    role: str
    """What it is to us: `s3`, `opensearch`, `sshd`."""
    get: Callable[[Path], Path]
    """Return where it lies; fetch it into the cache folder given, where it must be. Raises `Unfetched`."""

    version: str = ""
    """Of which of several versions this is one."""

    @property
    def label(self) -> str:
        """What the last lines of a run call it."""
        which = self.version or self.name
        return self.role if self.role == which else f"{self.role}({which})"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return where fetched parts are kept."""
    chosen = environment.get("S3BATCH_TEST_CACHE")
    user = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(chosen or os.path.join(user, "s3batch-tests"))


def kept(cache: Path, name: str, fetch: Callable[[Path], None]) -> Path:
    """Return the folder `name` of `cache`, filled by `fetch` where it is not there yet. Raises `Unfetched`.

    `name` carries the version, so that another version is another folder.
    """
    place = cache / name
    with _locked(cache, name):
        if not place.is_dir():
            failed = cache / f"{name}.failed"
            _refuse_what_failed_in_this_run(failed)
            try:
                _fetch(cache, place, fetch)
            except Unfetched as why:
                failed.write_text(f"{os.environ.get(_RUN)}\n{why}")
                raise
    return place


def run(words: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    """Run a package client with `environment` added to ours. Raises `Unfetched` with the last line it said."""
    program = shutil.which(words[0])
    if program is None:
        raise Unfetched(f"{words[0]} is not installed")
    try:
        ended = subprocess.run(
            [program, *words[1:]],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONGEST_SECONDS,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise Unfetched(f"{words[0]} took more than {LONGEST_SECONDS} s") from None
    if ended.returncode:
        said = ended.stdout.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise Unfetched(f"{words[0]}: {said[-1].strip()}")


def _fetch(cache: Path, place: Path, fetch: Callable[[Path], None]) -> None:
    for attempt in range(1, TRIES + 1):
        beside = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=cache))
        try:
            fetch(beside)
            beside.rename(place)
        except Unfetched:
            if attempt == TRIES:
                raise
            time.sleep(attempt)
        else:
            return
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _refuse_what_failed_in_this_run(failed: Path) -> None:
    run_id = os.environ.get(_RUN)
    if run_id is None or not failed.exists():
        return
    failed_in, _, why = failed.read_text().partition("\n")
    if failed_in == run_id:
        raise Unfetched(why)


@contextmanager
def _locked(cache: Path, name: str) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fd = os.open(cache / f"{name}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unfetched(f"{cache} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
