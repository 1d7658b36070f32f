"""A member is the file at one instant with nobody writing; whatever does not hold still is cut out and stays."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from s3batch.pack import build as build_module
from s3batch.pack.build import BuildJob, Built, Disturbed, Left, build
from s3batch.pack.members import read_member_list
from s3batch.pack.workers import InLine, Workers
from s3sync.dropzone.candidate import Candidate, Candidates, Identity
from s3sync.dropzone.writers import Snapshot, Writing, lease_broken
from s3sync.store.checksum import crc64nvme_base64


class Zone:
    """A drop zone, a spool, and the candidates judged so far."""

    def __init__(self, folder: Path) -> None:
        """Make both below `folder`."""
        self.root = folder / "zone"
        self.spool = folder / "spool"
        self.root.mkdir()
        self.spool.mkdir()
        self.candidates: list[Candidate] = []

    def drop(self, key: str, content: bytes = b"content") -> Path:
        """Drop a file and judge it finished."""
        path = self.root / "bucket" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.judge(path)
        return path

    def judge(self, path: Path) -> None:
        """Take the file as it is now for a candidate."""
        raw = os.fsencode(path.relative_to(self.root))
        self.candidates.append(Candidate("bucket", raw.partition(b"/")[2], raw, Identity.of(path.stat())))

    def job(self, *, max_bytes: int = 2**30) -> BuildJob:
        """Return the job to pack everything judged."""
        return BuildJob(
            root=str(self.root),
            folder=str(self.spool / "batch"),
            candidates=Candidates.of("bucket", self.candidates),
            max_bytes=max_bytes,
        )

    def archived(self) -> dict[str, bytes]:
        """Return what the archive holds."""
        with tarfile.open(self.spool / "batch" / "archive.tar") as archive:
            return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]  # regular files


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    """An empty drop zone."""
    return Zone(tmp_path)


def reasons(built: Built) -> dict[bytes, str]:
    """Return why each candidate was left."""
    return {left.path: left.reason for left in built.left}


def test_candidates_become_members_with_everything_known_of_them(zone: Zone) -> None:
    """Content, digest, offset, mode, owner and time are those of the file; size and checksum those of the archive."""
    contents = {"a/empty": b"", "a/small": b"x" * 700, "b/large": os.urandom(3 << 20)}
    for key, content in contents.items():
        zone.drop(key, content).chmod(0o640)
    zone.candidates.clear()
    for key in contents:
        zone.judge(zone.root / "bucket" / key)

    built = build(zone.job())

    archive = (zone.spool / "batch" / "archive.tar").read_bytes()
    members = [entry.member for entry in read_member_list(zone.spool / "batch" / "members")]
    assert contents == zone.archived()
    assert (len(archive), crc64nvme_base64(archive), 3) == (built.size, built.crc64nvme, built.members)
    assert sum(map(len, contents.values())) == built.content_bytes
    for member, (key, content) in zip(members, contents.items(), strict=True):
        stat = (zone.root / "bucket" / key).stat()
        assert (key.encode(), content) == (member.key, archive[member.offset : member.offset + member.size])
        assert hashlib.sha256(content).hexdigest() == member.sha256
        assert (0o640, os.getuid(), stat.st_mtime_ns) == (member.mode, member.uid, member.mtime_ns)


def test_file_that_somebody_has_open_for_writing_is_left(zone: Zone) -> None:
    """A writer that says nothing for hours still has the file open."""
    path = zone.drop("open")
    zone.drop("closed")
    with path.open("ab"):
        built = build(zone.job())

    assert {b"bucket/open": "writer"} == reasons(built)
    assert {"closed": b"content"} == zone.archived()


def test_file_mapped_for_writing_is_left(zone: Zone) -> None:
    """A writer that closed its descriptor and kept a writable mapping is a writer."""
    path = zone.drop("mapped")
    program = (
        "import mmap, os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "memory = mmap.mmap(fd, 7)\n"
        "os.close(fd)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = ["python3", "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        built = build(zone.job())
        writer.communicate()

    assert {b"bucket/mapped": "writer"} == reasons(built)


@pytest.mark.parametrize(
    ("happening", "reason"),
    [
        ("rewritten", "changed"),
        ("grown", "changed"),
        ("chmod", "changed"),
        ("removed", "vanished"),
        ("linked", "changed"),
        ("folder", "changed"),
        ("fifo", "changed"),
    ],
)
def test_file_that_is_not_what_was_judged_is_left(zone: Zone, happening: str, reason: str) -> None:
    """Whatever happened between judging and packing, the file stays, and the others go."""
    path = zone.drop("b")
    zone.drop("c")
    times = path.stat()
    match happening:
        case "rewritten":
            path.write_bytes(b"CONTENT")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        case "grown":
            path.write_bytes(b"content and more")
        case "chmod":
            path.chmod(0o600)
        case _:
            path.unlink()
    match happening:
        case "linked":
            path.symlink_to("/etc/passwd")
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)

    built = build(zone.job())

    assert {b"bucket/b": reason} == reasons(built)
    assert {"c": b"content"} == zone.archived()


def test_folder_swapped_for_a_link_leads_nowhere(zone: Zone, tmp_path: Path) -> None:
    """A middle component that became a link is not followed."""
    zone.drop("folder/file")
    secret = tmp_path / "secret"
    secret.mkdir()
    (zone.root / "bucket" / "folder" / "file").rename(secret / "file")
    (zone.root / "bucket" / "folder").rmdir()
    (zone.root / "bucket" / "folder").symlink_to(secret)

    built = build(zone.job())

    assert (0, {b"bucket/folder/file": "vanished"}) == (built.members, reasons(built))


def test_archive_never_exceeds_the_limit_when_headers_turn_out_larger(zone: Zone) -> None:
    """What does not fit stays for the next batch; the first member always fits."""
    for name in ("a", "b", "c"):
        zone.drop(name, b"x" * 512)

    built = build(zone.job(max_bytes=2 * 1024 + 1024))

    assert (2, {b"bucket/c": "no_room"}) == (built.members, reasons(built))
    assert built.size <= 3 * 1024


def test_writer_is_not_kept_waiting_by_a_large_member(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that opens a file while it is copied gets it at once; the member is cut out."""
    path = zone.drop("large", os.urandom(8 << 20))
    real = lease_broken
    opened = threading.Event()
    started: list[threading.Thread] = []

    def write() -> None:
        with path.open("ab") as file:
            file.write(b"more")
        opened.set()

    def broken(fd: int) -> bool:
        if not started:
            started.append(threading.Thread(target=write))
            started[0].start()
            while fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK:
                pass
        return real(fd)

    monkeypatch.setattr(build_module, "lease_broken", broken)
    built = build(zone.job())
    started[0].join()

    assert (0, {b"bucket/large": "changed"}) == (built.members, reasons(built))
    assert opened.is_set()


def test_without_leases_open_files_are_looked_at_before_and_after(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer seen before is left; one seen only afterwards spoils the whole archive, since it cannot be cut out any more."""
    first, second = zone.drop("first"), zone.drop("second")
    ids = [Identity.of(path.stat()).file_id for path in (first, second)]
    looks = iter([Snapshot(frozenset(ids[:1]), 0), Snapshot(frozenset(), 0)])
    monkeypatch.setattr(build_module, "take_lease", lambda _: Writing.UNSUPPORTED)
    monkeypatch.setattr(build_module, "snapshot", lambda: next(looks))

    assert {b"bucket/first": "writer"} == reasons(build(zone.job()))

    (zone.spool / "batch").rename(zone.spool / "earlier")
    looks = iter([Snapshot(frozenset(), 0), Snapshot(frozenset(ids[1:]), 0)])
    with pytest.raises(Disturbed):
        build(zone.job())


def test_without_leases_a_lasting_writer_costs_its_own_file_only(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes before, while and after an archive is built keeps one file out of it, not all the others."""
    first, _ = zone.drop("first"), zone.drop("second")
    writing = Snapshot(frozenset({Identity.of(first.stat()).file_id}), 0)
    monkeypatch.setattr(build_module, "take_lease", lambda _: Writing.UNSUPPORTED)
    monkeypatch.setattr(build_module, "snapshot", lambda: writing)

    assert {b"bucket/first": "writer"} == reasons(build(zone.job()))
    assert {"second": b"content"} == zone.archived()


def test_unreadable_file_is_left(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while one file is read costs that file only."""
    zone.drop("bad", b"x" * 5000)
    zone.drop("good")
    real = os.readv

    def failing(fd: int, buffers: list[memoryview]) -> int:
        if os.fstat(fd).st_size == 5000:
            raise OSError(5, "Input/output error")
        return real(fd, buffers)

    monkeypatch.setattr(os, "readv", failing)

    built = build(zone.job())

    assert {b"bucket/bad": "unreadable"} == reasons(built)
    assert {"good": b"content"} == zone.archived()


def test_hard_linked_names_are_each_archived_in_full(zone: Zone) -> None:
    """Two names of one file are two keys."""
    path = zone.drop("one")
    (zone.root / "bucket" / "two").hardlink_to(path)
    zone.candidates.clear()
    for name in ("one", "two"):
        zone.judge(zone.root / "bucket" / name)

    build(zone.job())

    assert {"one": b"content", "two": b"content"} == zone.archived()


def test_worker_process_builds_what_the_caller_builds(zone: Zone) -> None:
    """Out of line or in line, the archive is the same."""
    zone.drop("a")
    with Workers(1, 1) as pool:
        theirs = pool.submit(zone.job()).result()
    archive = (zone.spool / "batch").rename(zone.spool / "theirs") / "archive.tar"

    ours = InLine().submit(zone.job()).result()

    assert ours == theirs
    assert archive.read_bytes() == (zone.spool / "batch" / "archive.tar").read_bytes()


def test_left_files_are_named_by_their_path(zone: Zone) -> None:
    """The record of what stays is the path as the scan gave it."""
    zone.drop("gone").unlink()

    assert (Left(b"bucket/gone", "vanished"),) == build(zone.job()).left
