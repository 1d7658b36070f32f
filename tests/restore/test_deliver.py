from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3batch.restore.deliver import IntoFolder
from s3batch.restore.destination import Folder
from s3batch.restore.local_files import current_umask
from s3batch.restore.requests import Part, State
from s3sync.errors import Permanent, Transient
from tests.support import assert_tree, tree

MTIME_NS = 1_600_000_000_000_000_001
NOT_OURS = 12345


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A destination that is not there yet."""
    return tmp_path.resolve() / "deep" / "out"


@pytest.fixture
def into(out: Path) -> Iterator[IntoFolder]:
    """A delivery that leaves what it finds."""
    with IntoFolder(Folder(os.fsencode(out)), umask=0o027, overwrite=False) as made:
        yield made


@pytest.fixture
def over(out: Path) -> Iterator[IntoFolder]:
    """A delivery that replaces what it finds."""
    with IntoFolder(Folder(os.fsencode(out)), umask=0o027, overwrite=True) as made:
        yield made


def part_at(place: bytes, content: bytes = b"content", *, number: int = 1) -> Part:
    """Return a thawed part with this content."""
    return Part(
        id=number,
        request="r1",
        thaw=1,
        bucket="bucket",
        archive="a.tar",
        key=place,
        place=place,
        offset=0,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        mtime_ns=MTIME_NS,
        state=State.THAWED,
        error=None,
        mismatch=False,
        delivered=None,
        attempts=0,
        upload_id=None,
    )


def put(into: IntoFolder, place: bytes, content: bytes = b"content") -> str:
    """Deliver a part the way the fetcher does."""
    part = part_at(place, content)
    present = into.existing(part)
    if present is not None:
        return present
    sink = into.open(part)
    try:
        sink.write(memoryview(content))
        shown = sink.finish()
    finally:
        sink.discard()
    settle(into)
    return shown


def settle(into: IntoFolder) -> None:
    """Put into place what is ready; raise why one of it could not be."""
    for failure in into.settle().values():
        raise failure


def test_member_lies_below_bucket_and_key(into: IntoFolder, out: Path) -> None:
    """A member is written to destination/bucket/key, folders made on the way, and nothing else is left."""
    shown = put(into, b"bucket/a/b c/\xc3\xa9.txt")

    assert_tree(out, {b"bucket/a/b c/\xc3\xa9.txt": b"content"})
    assert str(out / "bucket/a/b c/é.txt") == shown


def test_rights_and_time(into: IntoFolder, out: Path) -> None:
    """A file gets plain rights less the umask, whatever rights it had, and the archived time."""
    put(into, b"bucket/key")

    seen = os.stat(out / "bucket/key")
    assert 0o640 == stat.S_IMODE(seen.st_mode)
    assert MTIME_NS == seen.st_mtime_ns


def test_file_is_private_while_it_grows(into: IntoFolder, out: Path) -> None:
    """Nobody else reads a file whose bytes are not checked yet, and its place is free until they are."""
    sink = into.open(part_at(b"bucket/key"))
    sink.write(memoryview(b"half"))

    (beside,) = os.listdir(out / "bucket")
    assert 0o600 == stat.S_IMODE(os.stat(out / "bucket" / beside).st_mode)
    assert beside.startswith(".")
    sink.discard()
    assert [] == os.listdir(out / "bucket")


@pytest.mark.parametrize(
    "place",
    [
        b"bucket/../../etc/passwd",
        b"bucket/..",
        b"bucket/.",
        b"bucket/a/./b",
        b"bucket//a",
        b"/etc/passwd",
        b"bucket/a/",
        b"",
        b"bucket/a\0b",
        b"bucket/" + b"x" * 256,
        b"../bucket/a",
    ],
)
def test_hostile_names_are_refused(into: IntoFolder, out: Path, place: bytes) -> None:
    """A name that could lie elsewhere, or nowhere, is refused with a reason before anything is made."""
    with pytest.raises(Permanent, match="cannot be a file"):
        put(into, place)

    assert not out.exists()


def test_odd_but_honest_names_are_written(into: IntoFolder, out: Path) -> None:
    """Names that only look odd are names."""
    names = [
        b"bucket/-rf",
        b"bucket/...",
        b"bucket/a\nb",
        b"bucket/\xff\xfe",
        b"bucket/" + b"x" * 255,
        b"bucket/ ",
        b"bucket/~",
    ]
    for name in names:
        put(into, name)

    assert_tree(out, dict.fromkeys(names, b"content"))


def test_link_on_the_way_is_not_followed(into: IntoFolder, out: Path, tmp_path: Path) -> None:
    """A folder that is a link leads nowhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / "bucket").mkdir(parents=True)
    (out / "bucket" / "a").symlink_to(elsewhere)

    with pytest.raises(Permanent, match="in the way"):
        put(into, b"bucket/a/key")

    assert [] == list(elsewhere.iterdir())


def test_destination_that_became_a_link_is_not_followed(into: IntoFolder, out: Path, tmp_path: Path) -> None:
    """The destination itself, made a link after it was named, leads nowhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.parent.mkdir()
    out.symlink_to(elsewhere)

    with pytest.raises(Permanent, match="in the way"):
        put(into, b"bucket/key")

    assert [] == list(elsewhere.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_link_at_the_place_is_left(out: Path, tmp_path: Path, overwrite: bool) -> None:
    """A link where the file belongs is neither written through nor replaced."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (out / "bucket").mkdir(parents=True)
    (out / "bucket" / "key").symlink_to(secret)

    with IntoFolder(Folder(os.fsencode(out)), umask=0o027, overwrite=overwrite) as into, pytest.raises(Permanent):
        put(into, b"bucket/key")

    assert b"secret" == secret.read_bytes()
    assert (out / "bucket" / "key").is_symlink()


def test_planted_temporary_name_is_not_followed(into: IntoFolder, out: Path, tmp_path: Path) -> None:
    """A link planted under the name we write beside is not written through."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (out / "bucket").mkdir(parents=True)
    (out / "bucket" / ".s3batch-r1-1.part").symlink_to(secret)

    with pytest.raises(Permanent, match="in the way"):
        put(into, b"bucket/key")

    assert b"secret" == secret.read_bytes()


def test_equal_file_counts_as_delivered(into: IntoFolder, out: Path) -> None:
    """The same bytes in the same place are delivered already; nothing is touched."""
    tree(out, {"bucket/key": "content"})
    before = os.stat(out / "bucket/key")

    put(into, b"bucket/key")

    assert before == os.stat(out / "bucket/key")


@pytest.mark.parametrize("content", ["other!!", "longer than that"])
def test_other_content_is_refused(into: IntoFolder, out: Path, content: str) -> None:
    """A file of other content is left, and the reason says how to replace it."""
    tree(out, {"bucket/key": content})

    with pytest.raises(Permanent, match="--overwrite"):
        put(into, b"bucket/key")

    assert_tree(out, {"bucket/key": content})


def test_other_content_is_replaced_where_asked(over: IntoFolder, out: Path) -> None:
    """With overwrite a file of other content is replaced at once, never half."""
    tree(out, {"bucket/key": "other"})

    put(over, b"bucket/key")

    assert_tree(out, {"bucket/key": b"content"})


def test_file_that_appears_meanwhile_is_not_replaced(into: IntoFolder, out: Path) -> None:
    """A file that appears while ours is written is left."""
    sink = into.open(part_at(b"bucket/key"))
    sink.write(memoryview(b"content"))
    (out / "bucket" / "key").write_bytes(b"theirs")

    sink.finish()
    sink.discard()
    with pytest.raises(Permanent, match="other content"):
        settle(into)

    assert_tree(out, {"bucket/key": "theirs"})


def test_equal_file_that_appears_meanwhile_is_the_delivery(into: IntoFolder, out: Path) -> None:
    """Two commands that deliver the same member both succeed."""
    sink = into.open(part_at(b"bucket/key"))
    sink.write(memoryview(b"content"))
    (out / "bucket" / "key").write_bytes(b"content")

    assert str(out / "bucket/key") == sink.finish()
    sink.discard()
    settle(into)

    assert_tree(out, {"bucket/key": "content"})


def ready(into: IntoFolder, number: int, content: bytes = b"content") -> None:
    """Have `bucket/<number>` ready, and not in its place yet."""
    sink = into.open(part_at(b"bucket/%d" % number, content, number=number))
    sink.write(memoryview(content))
    sink.finish()
    sink.discard()


def test_one_that_cannot_be_placed_holds_back_no_other(into: IntoFolder, out: Path) -> None:
    """Those that are ready together are placed one by one, and each failure names its part."""
    for number in range(5):
        ready(into, number)
    (out / "bucket/3").write_bytes(b"theirs")

    failures = into.settle()

    assert {3} == failures.keys()
    assert "other content" in str(failures[3])
    assert_tree(out, {f"bucket/{number}": "theirs" if number == 3 else "content" for number in range(5)})


def test_nothing_has_its_name_before_it_is_on_the_disk(into: IntoFolder, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose flush fails gets none; those beside it were flushed before the first rename."""
    flushed: list[str] = []
    real = os.fsync

    def one_fails(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.endswith("-2.part"):
            raise OSError(5, "Input/output error")
        flushed.append(path)
        real(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", one_fails)
        for number in range(4):
            ready(into, number)
        failures = into.settle()

    assert {2} == failures.keys()
    assert_tree(out, {f"bucket/{number}": "content" for number in (0, 1, 3)})
    beside = {f"{out}/bucket/.s3batch-r1-{number}.part" for number in (0, 1, 3)}
    assert beside == {path for path in flushed if path.endswith(".part")}
    assert f"{out}/bucket" == flushed[-1]


def test_folder_that_cannot_be_flushed_keeps_no_other_from_it(into: IntoFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names are found by their bytes next time, and nobody would flush them then."""
    for number in range(3):
        sink = into.open(part_at(b"bucket/%d/key" % number, number=number))
        sink.write(memoryview(b"content"))
        sink.finish()
    folders: list[int] = []

    def fails(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            folders.append(fd)
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises((Permanent, Transient)):
            into.settle()

    assert 3 == len(folders)


def test_files_are_flushed_also_where_no_thread_can_be_started(
    into: IntoFolder, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only takes longer."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for number in range(3):
            ready(into, number)
        assert {} == into.settle()

    assert_tree(out, {f"bucket/{number}": "content" for number in range(3)})


def test_what_was_ready_and_never_settled_is_removed(out: Path) -> None:
    """An interrupted round leaves nothing beside the places."""
    before = len(os.listdir("/proc/self/fd"))
    with IntoFolder(Folder(os.fsencode(out)), umask=0o027, overwrite=False) as into:
        for number in range(3):
            ready(into, number)

    assert [] == os.listdir(out / "bucket")
    assert before == len(os.listdir("/proc/self/fd"))


def test_descriptors_are_those_of_what_is_ready(into: IntoFolder) -> None:
    """However many members in folders of their own are not what they should be, and are discarded."""
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        into.open(part_at(b"bucket/%d/key" % number, number=number)).discard()
    ready(into, 1)

    folder_walked, folder_listed, file = 1, 1, 1
    assert before + folder_walked + folder_listed + file == len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("first", "second"), [(b"bucket/a", b"bucket/a/b"), (b"bucket/a/b", b"bucket/a")])
def test_file_and_folder_of_one_name(over: IntoFolder, out: Path, first: bytes, second: bytes) -> None:
    """`a` and `a/b` are both keys and not both paths: the first lies there, the second is refused, also when overwriting."""
    put(over, first)

    with pytest.raises(Permanent, match="in the way"):
        put(over, second)

    assert_tree(out, {first: b"content"})


def test_twin_of_a_folding_filesystem_is_refused(over: IntoFolder, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `KEY` and `key` are one file, the second is refused with the reason, also when overwriting."""
    tree(out, {"bucket/KEY": "first"})
    os.link(out / "bucket/KEY", out / "bucket/key")
    monkeypatch.setattr(os, "listdir", lambda _: ["KEY"])

    with pytest.raises(Permanent, match="case or Unicode form"):
        put(over, b"bucket/key", b"second")

    assert b"first" == (out / "bucket/KEY").read_bytes()


def test_left_over_of_a_crash_is_cleared(into: IntoFolder, out: Path) -> None:
    """A half-written file of an earlier attempt is in nobody's way."""
    tree(out, {"bucket/.s3batch-r1-1.part": "half"})

    put(into, b"bucket/key")

    assert_tree(out, {"bucket/key": "content"})


def test_file_another_command_writes_is_left_to_it(into: IntoFolder, out: Path) -> None:
    """Two commands do not tear each other's file apart: the second waits."""
    tree(out, {"bucket/.s3batch-r1-1.part": "half"})
    with (out / "bucket/.s3batch-r1-1.part").open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)

        with pytest.raises(Transient):
            put(into, b"bucket/key")

    assert_tree(out, {"bucket/.s3batch-r1-1.part": "half"})


@pytest.mark.parametrize("errno_name", ["ENOSPC", "EIO"])
def test_failing_disk_is_worth_repeating(into: IntoFolder, out: Path, monkeypatch: pytest.MonkeyPatch, errno_name: str) -> None:
    """A full or failing disk fails this attempt, leaves nothing, and the next begins anew."""
    number = getattr(__import__("errno"), errno_name)

    def fails(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        out.joinpath("bucket").mkdir(parents=True)
        with pytest.raises(Transient):
            put(into, b"bucket/key")

    assert_tree(out, {})
    put(into, b"bucket/key")
    assert_tree(out, {"bucket/key": "content"})


def test_filesystem_without_the_rename(into: IntoFolder, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel cannot rename without replacing, a link does the same and never replaces either."""
    errno_einval = 22

    def cannot(*_: object) -> None:
        raise OSError(errno_einval, "Invalid argument")

    monkeypatch.setattr("s3batch.restore.deliver.rename_no_replace", cannot)
    put(into, b"bucket/key")
    assert_tree(out, {"bucket/key": "content"})

    sink = into.open(part_at(b"bucket/other", number=2))
    sink.write(memoryview(b"content"))
    (out / "bucket" / "other").write_bytes(b"theirs")
    sink.finish()
    sink.discard()
    with pytest.raises(Permanent):
        settle(into)
    assert_tree(out, {"bucket/key": "content", "bucket/other": "theirs"})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_folder_without_rights_is_refused() -> None:
    """A folder the deliverer may not write in is refused with the system's reason."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        closed = Path(top).resolve() / "closed"
        closed.mkdir(mode=0o755)
        _assert_refused_to_a_stranger(closed)


def _assert_refused_to_a_stranger(closed: Path) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.seteuid(NOT_OURS)
            with IntoFolder(Folder(os.fsencode(closed)), umask=0o022, overwrite=False) as into:
                put(into, b"bucket/key")
        except Permanent as refused:
            code = 0 if "Permission denied" in str(refused) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert_tree(closed, {})


def test_umask_is_read_without_changing_it() -> None:
    """Asking for the umask does not change it, not even for a moment."""
    before = os.umask(0o027)
    try:
        assert 0o027 == current_umask()
        assert 0o027 == current_umask()
    finally:
        os.umask(before)
