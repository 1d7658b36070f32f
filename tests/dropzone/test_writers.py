from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from s3sync.dropzone import writers
from s3sync.dropzone.writers import (
    Lease,
    Refused,
    Snapshot,
    Writing,
    ignore_lease_signals,
    is_written,
    lease_broken,
    probe,
    snapshot,
)
from tests.dropzone.zones import open_place, root_only, run_as_nobody


@pytest.fixture(autouse=True)
def _nobody_dies_of_a_lease() -> None:
    ignore_lease_signals()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def _file(tmp_path: Path) -> Path:
    place = tmp_path / "file"
    place.write_text("x")
    return place


def test_nobody_writes(tmp_path: Path) -> None:
    """A lease is granted, and nothing is held afterwards."""
    with _opened(_file(tmp_path)) as fd:
        assert probe(fd) is None
        assert lease_broken(fd)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_somebody_writes(tmp_path: Path, flags: int) -> None:
    """Anybody who has it open for writing, whoever they are."""
    place = _file(tmp_path)
    writer = os.open(place, flags)

    with _opened(place) as fd:
        writing = probe(fd)

    os.close(writer)
    assert Writing.SOMEBODY is writing


def test_a_mapping_is_a_writer_too(tmp_path: Path) -> None:
    """A file mapped for writing is being written, though its descriptor was closed."""
    import mmap

    place = _file(tmp_path)
    with place.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 1)

    with mapped, _opened(place) as fd:
        assert Writing.SOMEBODY is probe(fd)


def test_a_writer_who_comes_later_breaks_the_lease_and_goes_on_when_it_is_let_go(tmp_path: Path) -> None:
    """The holder sees it by asking; the writer waits in `open` until then, and no longer."""
    place = _file(tmp_path)
    through = threading.Event()

    def write() -> None:
        with place.open("ab"):
            through.set()

    with _opened(place) as fd, Lease(fd) as lease:
        assert not lease.broken()
        writer = threading.Thread(target=write)
        writer.start()
        while not lease.broken():
            time.sleep(0)
        assert not through.is_set()
        lease.release()
        writer.join()

    assert through.is_set()
    assert lease.broken()


def test_a_lease_is_refused_with_the_reason(tmp_path: Path) -> None:
    """The context is not entered where somebody writes."""
    place = _file(tmp_path)

    with place.open("ab"), _opened(place) as fd, pytest.raises(Refused) as refused, Lease(fd):
        pass

    assert Writing.SOMEBODY is refused.value.writing


def test_what_can_have_no_lease_says_so() -> None:
    """A device knows no leases, as some filesystems do not; that is no answer about writers."""
    with _opened(Path(os.devnull)) as fd:
        assert Writing.UNSUPPORTED is probe(fd)


@root_only
def test_another_users_file_is_forbidden_without_the_capability() -> None:
    """Only the owner, or CAP_LEASE, may ask the kernel."""
    with open_place() as place:
        (place / "file").write_text("x")

        answer = run_as_nobody(
            "from s3sync.dropzone.writers import probe\nresult = probe(os.open(sys.argv[1], os.O_RDONLY))", place / "file"
        )

    assert "forbidden" == answer


def test_a_snapshot_sees_who_has_a_file_open_for_writing(tmp_path: Path) -> None:
    """By device and inode, also where the path it was opened by is gone; readers are not writers."""
    place = _file(tmp_path)
    other = tmp_path / "other"
    other.write_text("x")
    child = "import sys; files = open(sys.argv[1], 'ab'), open(sys.argv[2]); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", child, str(place), str(other)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen, read = place.stat(), other.stat()
        place.unlink()
        taken = snapshot()
        process.communicate()

    assert (seen.st_dev, seen.st_ino) in taken.writing
    assert (read.st_dev, read.st_ino) not in taken.writing


@root_only
def test_processes_that_cannot_be_looked_into_are_counted() -> None:
    """To a user without rights most processes are closed books; they are not taken for harmless."""
    code = "from s3sync.dropzone.writers import snapshot\nresult = snapshot().opaque"

    opaque = run_as_nobody(code)

    assert isinstance(opaque, int)
    assert opaque > 0


@pytest.mark.parametrize("refused", [Writing.UNSUPPORTED, Writing.FORBIDDEN])
def test_without_leases_the_snapshot_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Writing) -> None:
    """Where the kernel cannot be asked, whoever is seen writing is a writer, and nobody seen is no proof."""
    monkeypatch.setattr(writers, "take_lease", lambda _: refused)
    file_id = (1, 2)

    with _opened(_file(tmp_path)) as fd:
        seen = is_written(fd, file_id, lambda: Snapshot(frozenset({file_id}), 0))
        unseen = is_written(fd, file_id, lambda: Snapshot(frozenset(), 3))

    assert (Writing.SOMEBODY, refused) == (seen, unseen)


def test_with_leases_nobody_looks_at_processes(tmp_path: Path) -> None:
    """No psutil is loaded where the kernel answers."""
    code = "import sys; import s3sync.dropzone.writers; import s3sync.dropzone.folders; sys.exit('psutil' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode

    def look() -> Snapshot:
        raise AssertionError("nobody was to look")

    with _opened(_file(tmp_path)) as fd:
        assert is_written(fd, (1, 2), look) is None


def test_what_is_no_answer_is_raised() -> None:
    """A descriptor that is not open says nothing about writers."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        probe(1 << 20)
