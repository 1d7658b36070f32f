from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from s3sync.dropzone import logfile
from s3sync.dropzone.logfile import BLOCK_BYTES, LogFile, Place

MAX_LINE = 100
FIRST = b"a first line that is long enough to be told from others\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with two lines."""
    path = tmp_path / "log"
    path.write_bytes(FIRST + b"two\n")
    return path


def _file(log: Path, place: Place | None = None) -> LogFile:
    return LogFile(bytes(log), place, max_line=MAX_LINE)


def _append(log: Path, content: bytes) -> None:
    with log.open("ab") as file:
        file.write(content)


def test_lines_come_once_and_in_order(log: Path) -> None:
    """What is new since the last look, and nothing where nothing is."""
    file = _file(log)

    assert [FIRST[:-1], b"two"] == list(file.lines())
    assert [] == list(file.lines())
    _append(log, b"three\n\nfive\n")
    assert [b"three", b"", b"five"] == list(file.lines())


def test_a_place_is_all_that_has_to_be_remembered(log: Path) -> None:
    """Another process goes on where the first one stopped."""
    before = _file(log)
    list(before.lines())
    _append(log, b"three\n")

    assert [b"three"] == list(_file(log, before.place).lines())


def test_a_line_counts_when_its_end_is_written(log: Path) -> None:
    """A server is caught in the middle of writing one."""
    file = _file(log)
    _append(log, b"thr")
    list(file.lines())

    _append(log, b"ee\n")
    assert [b"three"] == list(file.lines())


def test_the_rest_of_a_rotated_log_is_read_first(log: Path) -> None:
    """Renamed by logrotate, with a new one in its place, and whatever was rotated in between."""
    file = _file(log)
    list(file.lines())
    _append(log, b"rest\n")
    log.rename(log.with_name("log.2"))
    log.write_bytes(b"between\n")
    log.rename(log.with_name("log.1"))
    os.utime(log.with_name("log.1"), ns=(2 * 10**18, 2 * 10**18))
    log.write_bytes(b"new\n")

    assert [b"rest", b"between", b"new"] == list(file.lines())
    _append(log, b"newer\n")
    assert [b"newer"] == list(file.lines())


def test_a_log_copied_and_truncated_is_read_on_in_the_copy(log: Path) -> None:
    """What `copytruncate` of logrotate does: it leaves the same file, empty, and a copy with another inode."""
    file = _file(log)
    list(file.lines())
    _append(log, b"rest\n")
    log.with_name("log.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    _append(log, b"new\n")

    assert [b"rest", b"new"] == list(file.lines())


def test_a_log_truncated_and_grown_beyond_where_we_were_begins_anew(log: Path) -> None:
    """It is told by how it begins."""
    file = _file(log)
    list(file.lines())
    log.write_bytes(b"another beginning of another log, and a long one at that\n" + b"x\n" * 20)

    assert 21 == len(list(file.lines()))


def test_a_rotated_log_that_cannot_be_found_is_passed_over(log: Path) -> None:
    """Compressed at once, or gone: the new one counts."""
    file = _file(log)
    list(file.lines())
    log.rename(log.with_name("log.1.gz"))
    (log.parent / "log.d").mkdir()
    os.mkfifo(log.parent / "log.fifo")
    log.write_bytes(b"new\n")

    assert [b"new"] == list(file.lines())


def test_a_line_that_is_too_long_is_skipped_to_its_end(log: Path) -> None:
    """Also when its end comes much later, and after another process took over."""
    file = _file(log)
    list(file.lines())
    _append(log, b"x" * (3 * BLOCK_BYTES))
    assert [] == list(file.lines())

    _append(log, b"x" * BLOCK_BYTES)
    second = _file(log, file.place)
    assert [] == list(second.lines())
    _append(log, b"tail\nnext\n" + b"y" * (MAX_LINE + 1) + b"\nlast\n")
    assert [b"next", b"last"] == list(_file(log, second.place).lines())


def test_of_a_large_log_only_the_end_is_read_at_first(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beginning with a whole line."""
    monkeypatch.setattr(logfile, "FIRST_LOOK_BYTES", 6)
    _append(log, b"three\nfour\n")
    file = _file(log)

    assert [b"four"] == list(file.lines())
    _append(log, b"five\n")
    assert [b"five"] == list(file.lines())


def test_many_blocks_are_read_like_one(log: Path) -> None:
    """Lines that stand across blocks come whole."""
    lines = [b"%07d" % number + b"z" * 60 for number in range(5000)]
    log.write_bytes(b"".join(line + b"\n" for line in lines))

    assert lines == list(_file(log).lines())


@pytest.mark.parametrize("kind", ["missing", "fifo", "folder"])
def test_what_is_no_log_is_an_error_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    """The operator is told; a FIFO does not hang the pass."""
    path = tmp_path / "log"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()

    with pytest.raises(OSError, match=r"log") as raised:
        list(_file(path).lines())

    assert (errno.ENOENT if kind == "missing" else errno.EINVAL) == raised.value.errno


def test_the_place_stays_where_it_was_until_the_log_is_back(log: Path) -> None:
    """Between rename and creation there is no log; nothing is lost by that."""
    file = _file(log)
    list(file.lines())
    _append(log, b"rest\n")
    log.rename(log.with_name("log.1"))
    with pytest.raises(FileNotFoundError):
        list(file.lines())

    log.write_bytes(b"new\n")
    assert [b"rest", b"new"] == list(file.lines())
