"""Archives are what every tar reads, byte for byte, and a member cut out leaves no trace."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3batch.pack.tar import (
    BLOCK,
    FLUSH_BEHIND_BYTES,
    LET_GO_BYTES,
    THE_REST,
    Attributes,
    Owner,
    Shrunk,
    TarWriter,
    Written,
    footprint,
    header,
)
from s3sync.store.checksum import crc64nvme_base64

OWNER = Attributes(mode=0o640, uid=1000, gid=1000, user="drop", group="drop")
NAMES = {
    "plain": b"folder/file.txt",
    "name of 100 bytes": b"n" * 100,
    "name of 101 bytes": b"n" * 101,
    "prefix and name": b"p" * 155 + b"/" + b"n" * 100,
    "prefix too long": b"p" * 156 + b"/" + b"n" * 100,
    "255-byte name": b"d/" + b"n" * 255,
    "1024-byte key": b"/".join([b"k" * 203] * 5) + b"/end.",
    "spaces and accents": " a café ☃".encode(),
    "not UTF-8": b"caf\xe9/\xff\xfe.bin",
    "long and not UTF-8": b"\xff" * 120 + b"/" + b"\xe9" * 120,
    "newline": b"line\nbreak",
    "leading dash": b"-rf",
    "trailing blank": b"blank ",
    "backslash": b"a\\b",
}
SIZES = [0, 1, 511, 512, 513, 4096, 65_537]


def content(size: int, seed: int = 7) -> bytes:
    """Return `size` bytes that differ everywhere."""
    return (hashlib.sha256(bytes([seed])).digest() * (size // 32 + 1))[:size]


class Workshop:
    """An archive under construction and the files that go into it."""

    def __init__(self, folder: Path, buffer_bytes: int = 8192) -> None:
        """Build in `folder` with a small buffer, so that every path of the writer is taken."""
        self.folder = folder
        self.path = folder / "archive.tar"
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self.writer = TarWriter(self.fd, 1 << 40, buffer_bytes)

    def add(
        self,
        key: bytes,
        data: bytes,
        *,
        claimed: int | None = None,
        owner: Attributes = OWNER,
        undisturbed: Callable[[int], bool] = lambda _: True,
    ) -> Written:
        """Append a member holding `data`, its header claiming `claimed` bytes."""
        source = self.folder / "source"
        source.write_bytes(data)
        fd = os.open(source, os.O_RDONLY)
        size = len(data) if claimed is None else claimed
        try:
            return self.writer.add(fd, header(key, size, 1_700_000_000, Owner(owner)), size, undisturbed)
        finally:
            os.close(fd)

    def finish(self) -> Path:
        """Finish the archive."""
        self.writer.finish()
        os.close(self.fd)
        return self.path


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty archive."""
    return Workshop(tmp_path)


def extract(command: list[str], archive: Path, into: Path) -> dict[bytes, bytes]:
    """Return what a tar program makes of `archive`: raw path -> content."""
    into.mkdir()
    result = subprocess.run([*command, "-xf", str(archive), "-C", str(into)], capture_output=True, check=False)
    assert (0, b"") == (result.returncode, result.stderr)
    base = os.fsencode(into)
    return {
        os.path.relpath(os.path.join(folder, name), base): Path(os.fsdecode(os.path.join(folder, name))).read_bytes()
        for folder, _, names in os.walk(base)
        for name in names
    }


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_every_name_and_size_is_read_by_other_programs(workshop: Workshop, program: str) -> None:
    """Names up to the key limit and sizes around a block come out of GNU tar and bsdtar as they went in."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    wanted = {key: content(100 + at) for at, key in enumerate(NAMES.values()) if program == "tar" or b"\xff" not in key[:1]}
    wanted.update({b"sizes/%d" % size: content(size) for size in SIZES})
    for key, data in wanted.items():
        workshop.add(key, data)

    command = ["tar", "--warning=no-unknown-keyword"] if program == "tar" else ["env", "LC_ALL=C.UTF-8", "bsdtar"]

    assert wanted == extract(command, workshop.finish(), workshop.folder / "out")


def test_tarfile_reads_names_attributes_and_content(workshop: Workshop) -> None:
    """Python's tarfile sees the full keys, the owner, the mode and whole-second times."""
    for key in NAMES.values():
        workshop.add(key, key)

    with tarfile.open(workshop.finish()) as archive:
        seen = {}
        for info in archive:
            file = archive.extractfile(info)
            assert file is not None
            seen[info.name.encode("utf-8", "surrogateescape")] = file.read()
            assert (0o640, 1000, 1000, "drop", "drop", 1_700_000_000) == (
                info.mode,
                info.uid,
                info.gid,
                info.uname,
                info.gname,
                info.mtime,
            )

    assert {key: key for key in NAMES.values()} == seen


def test_offsets_and_digests_are_those_of_the_bytes_in_the_archive(workshop: Workshop) -> None:
    """A member's data lies at its offset, in small and in large members."""
    written = [(data, workshop.add(b"m", data)) for data in map(content, SIZES)]

    archive = workshop.finish().read_bytes()

    for data, (offset, sha256) in written:
        assert data == archive[offset : offset + len(data)]
        assert hashlib.sha256(data).digest() == sha256


def test_size_and_checksum_are_those_of_the_file(workshop: Workshop) -> None:
    """What S3 will be held to is what lies on the disk."""
    for size in SIZES:
        workshop.add(b"f%d" % size, content(size))
    archive = workshop.finish().read_bytes()

    assert (len(archive), crc64nvme_base64(archive)) == (workshop.writer.size, workshop.writer.crc64nvme)


@pytest.mark.parametrize("size", SIZES)
def test_footprint_is_what_a_member_takes(workshop: Workshop, size: int) -> None:
    """The planner's arithmetic is the writer's."""
    for key in NAMES.values():
        before = workshop.writer.size
        workshop.add(key, content(size))

        assert workshop.writer.size - before <= footprint(key, size)
        if len(key) <= 100:
            assert footprint(key, size) == workshop.writer.size - before
    workshop.finish()


def test_member_over_eight_gib_is_readable(tmp_path: Path) -> None:
    """A size that ustar cannot say is said by a PAX record that GNU tar and tarfile understand."""
    size = 8 * 2**30 + 1
    head = header(b"big", size, 0, Owner(OWNER))
    archive = tmp_path / "big.tar"
    with archive.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size + 511 + 1024)

    listed = subprocess.run(["tar", "-tvf", str(archive)], capture_output=True, check=True, text=True).stdout
    with tarfile.open(archive) as reader:
        sizes = [info.size for info in reader]

    assert str(size) in listed
    assert [size] == sizes


@pytest.mark.parametrize(
    "owner",
    [
        Attributes(mode=0o644, uid=2_000_000_000, gid=5, user="", group=""),
        Attributes(mode=0o644, uid=5, gid=3_000_000_000, user="", group=""),
        Attributes(mode=0o644, uid=5, gid=5, user="u" * 40, group="domain users é"),
    ],
)
def test_owners_that_ustar_cannot_say(workshop: Workshop, owner: Attributes) -> None:
    """Directory services hand out huge ids and long names; they are kept."""
    workshop.add(b"f", b"x", owner=owner)

    with tarfile.open(workshop.finish()) as archive:
        info = archive.next()

    assert info is not None
    assert (owner.uid, owner.gid, owner.user, owner.group) == (info.uid, info.gid, info.uname, info.gname)


@given(sizes=st.lists(st.tuples(st.integers(0, 30_000), st.booleans()), max_size=12))
@settings(max_examples=60)
def test_members_taken_out_leave_no_trace(tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, bool]]) -> None:
    """An archive with members undone equals, byte for byte, one that never had them."""
    one, other = (Workshop(tmp_path_factory.mktemp("t")) for _ in range(2))
    for at, (size, keep) in enumerate(sizes):
        one.add(b"f%d" % at, content(size, at))
        if keep:
            other.add(b"f%d" % at, content(size, at))
        else:
            one.writer.undo()

    assert other.finish().read_bytes() == one.finish().read_bytes()
    assert other.writer.crc64nvme == one.writer.crc64nvme


@pytest.mark.parametrize("size", [100, 60_000])
def test_shrunk_file_is_noticed_and_can_be_undone(workshop: Workshop, size: int) -> None:
    """A file shorter than its header says is never padded; taking it out leaves the others whole."""
    workshop.add(b"before", b"x" * 700)
    with pytest.raises(Shrunk):
        workshop.add(b"short", content(size - 1), claimed=size)
    workshop.writer.undo()
    workshop.add(b"after", b"y" * 700)

    with tarfile.open(workshop.finish()) as archive:
        assert ["before", "after"] == archive.getnames()


def test_copying_stops_when_somebody_waits_for_the_file(workshop: Workshop) -> None:
    """A large member is given up between two blocks."""
    answers = iter([True, True, False])

    with pytest.raises(Shrunk):
        workshop.add(b"large", content(60_000), undisturbed=lambda _: next(answers))

    assert [] == list(answers)


def test_memory_that_held_a_large_original_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, in whole runs: the system keeps nothing of a file that nobody will read again.

    What the advice comes to is the system's business, and for a moment it may hold on to something.
    """
    advised: list[tuple[int, int, int]] = []
    monkeypatch.setattr("os.posix_fadvise", lambda _, *advice: advised.append(advice))
    Workshop(tmp_path, 1 << 20).add(b"key", content(2 * LET_GO_BYTES + 100_000))

    runs = [(0, LET_GO_BYTES), (LET_GO_BYTES, LET_GO_BYTES), (2 * LET_GO_BYTES, THE_REST)]
    assert [(*run, os.POSIX_FADV_DONTNEED) for run in runs] == advised


def test_a_filesystem_that_takes_no_advice_is_archived_from(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice is no more than that."""
    monkeypatch.setattr("os.posix_fadvise", Mock(side_effect=OSError(errno.EINVAL, "Invalid argument")))
    workshop.add(b"key", content(60_000))

    with tarfile.open(workshop.finish()) as archive:
        assert ["key"] == archive.getnames()


def test_an_archive_is_on_its_way_to_the_disk_while_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stretch of it once, and again where it was written anew."""
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr("s3batch.pack.tar.begin_flush", lambda _, offset, count: begun.append((offset, offset + count)))
    workshop = Workshop(tmp_path, 1 << 20)
    large = content(FLUSH_BEHIND_BYTES * 2)
    workshop.add(b"one", large)
    workshop.add(b"taken out", large)
    workshop.writer.undo()
    place, _ = workshop.add(b"two", large)
    workshop.finish()

    once, again = begun[:4], begun[4:]
    assert (0, FLUSH_BEHIND_BYTES) == once[0]
    assert [] == [(before, after) for run in (once, again) for before, after in pairwise(run) if before[1] != after[0]]
    assert (place - BLOCK, once[-1][1]) == (again[0][0], again[-1][1])
