from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from s3batch.pack.accepted import AcceptedFiles
from s3batch.pack.build import BuildJob
from s3batch.pack.transfers import AskedAgain, TransferLogs
from s3batch.pack.workers import InLine
from s3sync.dropzone.candidate import Candidate, Candidates, Identity
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Transient
from s3sync.events import Event
from s3sync.statedb import StateDb
from s3sync.times import rfc3339
from tests.dropzone.zones import everything_old, held, ladder

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Host:
    """A drop zone, a log, and what reads it; `restarted` is another process on the same state."""

    def __init__(self, base: Path) -> None:
        """Make an empty log and a bucket folder."""
        self.base = base
        self.log = base / "log"
        self.log.touch()
        self.zone = base / "zone"
        (self.zone / "bucket").mkdir(parents=True)
        self.events: list[Event] = []
        self.begin()

    def restarted(self) -> None:
        self.db.close()
        self.begin()

    def begin(self) -> None:
        self.db = StateDb.open(self.base / "journal.db")
        self.accepted = AcceptedFiles(self.db, now=lambda: NOW)
        self.logs = TransferLogs(
            self.db,
            [self.log],
            self.accepted,
            now=lambda: NOW,
            zones=(UTC,),
            listener=self.events.append,
        )

    def uploaded(self, name: str, content: bytes, *, broken: bool = True) -> Candidate:
        """Have a file whose upload just ended, and the line its server wrote of that."""
        path = self.zone / "bucket" / name
        path.write_bytes(content)
        self.write(name, len(content), path.stat().st_mtime, broken=broken)
        return self.candidate(name)

    def write(self, name: str, written: int, at: float, *, broken: bool) -> None:
        word = "forced close" if broken else "close"
        when = rfc3339(datetime.fromtimestamp(at, UTC)).replace("Z", "+00:00")
        with self.log.open("a") as log:
            log.write(f'{when} vm internal-sftp[1]: {word} "/bucket/{name}" bytes read 0 written {written}\n')

    def candidate(self, name: str) -> Candidate:
        seen = (self.zone / "bucket" / name).stat()
        return Candidate("bucket", name.encode(), b"bucket/" + name.encode(), Identity.of(seen))

    def stands(self, candidate: Candidate) -> bool:
        """Tell whether the file is held as partial now."""
        return self.logs._standing(candidate.bucket, candidate.key, candidate.path, candidate.identity) is not None


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose journal is closed at the end."""
    host = Host(tmp_path)
    yield host
    host.db.close()


def test_evidence_outlives_the_agent_and_the_log(host: Host) -> None:
    """Restarted, with the log rotated away, what was read still counts, and nothing is read twice."""
    first = host.uploaded("first", b"12345")
    host.logs.begin_pass()
    second = host.uploaded("second", b"123")

    host.restarted()
    host.logs.begin_pass()
    host.log.unlink()
    host.log.touch()
    host.restarted()
    host.logs.begin_pass()

    assert host.stands(first)
    assert host.stands(second)
    assert (5,) == next(one.parts for one in host.logs._broken if one.key.path == b"/bucket/first")


def test_a_resumed_upload_is_whole_for_the_next_process_too(host: Host) -> None:
    """What is over is over in the journal."""
    host.uploaded("file", b"12345")
    host.logs.begin_pass()
    whole = host.uploaded("file", b"1234567", broken=False)
    host.logs.begin_pass()

    host.restarted()
    host.logs.begin_pass()
    assert not host.stands(whole)
    assert 0 == len(host.logs._broken)


def test_whoever_only_looks_leaves_everything_as_it_is(host: Host) -> None:
    """A question sees the newest lines and does not take them from the agent."""
    candidate = host.uploaded("file", b"12345")
    host.logs.look()
    assert host.stands(candidate)

    host.restarted()
    assert not host.stands(candidate)
    host.logs.begin_pass()
    assert host.stands(candidate)


def test_what_the_journal_refused_is_read_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk between reading and writing loses no line and counts none twice."""
    candidate = host.uploaded("file", b"12345")

    def refuse() -> None:
        raise Transient("journal.db", "cannot be used now")

    with monkeypatch.context() as patch:
        patch.setattr(host.db, "write", refuse)
        with pytest.raises(Transient):
            host.logs.begin_pass()
    host.logs.begin_pass()

    assert host.stands(candidate)
    assert [(5,)] == [one.parts for one in host.logs._broken]


def test_accepted_counts_for_one_state_of_a_file(host: Host) -> None:
    """A chmod changes nothing; whoever writes to it makes the log's word count again."""
    candidate = host.uploaded("file", b"12345")
    host.logs.begin_pass()
    host.accepted.accept(candidate.path, candidate.identity, "the log says so")
    host.accepted.accept(candidate.path, candidate.identity, "the log says so")
    assert not host.stands(candidate)

    (host.zone / "bucket" / "file").chmod(0o600)
    host.restarted()
    host.logs.begin_pass()
    assert not host.stands(host.candidate("file"))

    os.utime(host.zone / "bucket" / "file", ns=(1, candidate.identity.mtime_ns + 1))
    assert host.stands(host.candidate("file"))


def test_a_scan_holds_what_broke_off_and_nothing_else(host: Host) -> None:
    """Young or old, and until somebody accepts it; files of other names are not asked about."""
    half = host.uploaded("half", b"12345")
    (host.zone / "bucket" / "whole").write_bytes(b"12345")
    host.logs.begin_pass()
    young = QuietClock(timedelta(minutes=1))
    young.begin_pass(wall_ns=half.identity.ctime_ns, monotonic_ns=0)

    with DropZone.open(host.zone) as zone:
        found = [held(zone, ladder(quiet=clock, partial=host.logs)) for clock in (young, everything_old())]
        host.accepted.accept(half.path, half.identity, "the log says so")
        accepted = held(zone, ladder(partial=host.logs))

    broken_off = {b"bucket/half": "probably_partial"}
    assert [broken_off | {b"bucket/whole": "quiet"}, broken_off, {}] == [*found, accepted]


def test_a_log_that_cannot_be_read_is_told_of_once(host: Host) -> None:
    """It is no reason to stop; when it is back it is read on, and the next trouble is told of again."""
    host.log.rename(host.base / "elsewhere")
    host.logs.begin_pass()
    host.logs.begin_pass()
    (host.base / "elsewhere").rename(host.log)
    host.logs.begin_pass()
    host.log.unlink()
    host.logs.begin_pass()

    assert ["transfer_log_unreadable"] * 2 == [getattr(event, "cause", "") for event in host.events]
    assert all(str(host.log) in getattr(event, "detail", "") for event in host.events)


def test_a_line_that_comes_while_a_batch_is_built_still_counts(host: Host) -> None:
    """The connection was dead for so long that the file could be taken at the moment its server let go of it."""
    whole = host.uploaded("whole", b"123", broken=False)
    host.logs.begin_pass()
    broken = host.uploaded("broken", b"12345")
    job: dict[str, Any] = {"root": str(host.zone), "candidates": Candidates.of("bucket", [broken, whole]), "max_bytes": 1 << 20}

    with AskedAgain(_Here(), host.logs) as builders:
        built = builders.submit(BuildJob(folder=str(host.base / "one"), **job)).result()

    assert 0 == built.members
    assert [(b"bucket/broken", "probably_partial")] == [(left.path, left.reason) for left in built.left]


def test_a_batch_of_whole_files_is_built_as_ever(host: Host) -> None:
    """News of other uploads holds nothing up."""
    host.logs.begin_pass()
    host.uploaded("other", b"1")
    whole = host.uploaded("whole", b"123", broken=False)
    job = BuildJob(
        root=str(host.zone), folder=str(host.base / "one"), candidates=Candidates.of("bucket", [whole]), max_bytes=1 << 20
    )

    with AskedAgain(_Here(), host.logs) as builders:
        built = builders.submit(job).result()

    assert (1, ()) == (built.members, built.left)


def test_what_fails_to_be_built_fails_as_ever(host: Host) -> None:
    """The reason reaches whoever waits for it."""
    job = BuildJob(root=str(host.zone), folder=str(host.zone), candidates=Candidates("bucket"), max_bytes=1 << 20)

    with AskedAgain(_Here(), host.logs) as builders, pytest.raises(FileExistsError):
        builders.submit(job).result()


class _Here(InLine):
    """Builds in line, as a context."""

    def __enter__(self) -> InLine:
        return self

    def __exit__(self, *_: object) -> None:
        return
