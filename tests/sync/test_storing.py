"""One file becomes one object, and nothing is ever replaced."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from s3sync.backoff import Backoff
from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.folders import FolderCache
from s3sync.events import silent
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectRef, ObjectStore, Rejected, Stopped, StorageClass
from s3sync.store.proof import BATCH_MARK, Proof
from s3sync.transfer.digest import Changed
from s3sync.transfer.drops import Drop, Phase
from s3sync.transfer.guard import Guard, Refused
from s3sync.transfer.journal import Journal
from s3sync.transfer.occupied import SHA256_MARK
from s3sync.transfer.storing import LOOK_FIRST_BYTES, Storing, Unreadable, Wanted
from tests.doubles.clock import FakeClock
from tests.doubles.faulty import Faulty
from tests.doubles.memory_store import MemoryStore
from tests.support import tree

MIB = 1 << 20
REF = ObjectRef("bucket", "a.txt")


@pytest.fixture(autouse=True)
def _leases_do_not_kill() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def memory() -> MemoryStore:
    """An unversioned bucket."""
    return MemoryStore(FakeClock())


@contextmanager
def storing_in(root: Path, store: ObjectStore, *, stopping: bool = False) -> Iterator[tuple[Storing, Journal]]:
    """Open what a restarted program would open: the same journal, the same folder."""
    clock, ids = FakeClock(), count()
    root.mkdir(exist_ok=True)
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    with StateDb.open(root.parent / "journal.db") as db:
        journal = Journal(db, clock.now)
        guard = Guard(journal, Backoff(clock.monotonic), silent)
        begun = os.urandom(4).hex()
        wanted = Wanted(
            storage_class=StorageClass.STANDARD, new_id=lambda: f"drop-{begun}-{next(ids)}", stopping=lambda: stopping
        )
        try:
            yield Storing(store, journal, guard, wanted), journal
        finally:
            os.close(root_fd)


def candidate_of(root: Path, path: str) -> Candidate:
    """Return the candidate a scan would find at `path`."""
    bucket, _, key = path.partition("/")
    return Candidate(bucket, key.encode(), path.encode(), Identity.of(os.lstat(root / path)))


def stored(root: Path, storing: Storing, journal: Journal, candidate: Candidate) -> tuple[Drop, Proof | None]:
    """Take one file all the way to its proof, as `Transfer` does a lot."""
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with FolderCache(root_fd) as folders:
            fd = storing.open(folders, candidate)
    finally:
        os.close(root_fd)
    try:
        taken = storing.take_up(fd, candidate, journal.at(candidate.path))
        if not taken.resuming:
            journal.begin(taken.drop)
        proof = storing.store(taken)
    finally:
        os.close(fd)
    if proof is not None:
        journal.proved({taken.drop.id: proof})
    return taken.drop, proof


def store_once(tmp_path: Path, store: ObjectStore, path: str = "bucket/a.txt") -> tuple[Drop, bool]:
    """Store one file by a program that starts and ends; tell what it was taken for and whether it was proved."""
    with storing_in(tmp_path / "zone", store) as (storing, journal):
        drop, proof = stored(tmp_path / "zone", storing, journal, candidate_of(tmp_path / "zone", path))
        return drop, proof is not None


def phases(tmp_path: Path, store: ObjectStore) -> list[tuple[bytes, Phase]]:
    """Return what a restarted program finds in its journal."""
    with storing_in(tmp_path / "zone", store) as (_, journal):
        return [(drop.candidate.path, drop.phase) for drop in journal.in_hand(*Phase)]


def test_a_file_becomes_an_object_with_its_mark_and_checksum(tmp_path: Path, memory: MemoryStore) -> None:
    """The object bears the drop's id and the SHA-256, and the journal knows that it is stored."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello"}})
    drop, proved = store_once(tmp_path, memory)
    info = memory.head(REF)

    assert proved
    assert memory.data(REF) == b"hello"
    assert info is not None
    assert dict(info.metadata) == {BATCH_MARK: drop.id, SHA256_MARK: drop.sha256}
    assert phases(tmp_path, memory) == [(b"bucket/a.txt", Phase.STORED)]


def test_an_empty_file_is_an_empty_object(tmp_path: Path, memory: MemoryStore) -> None:
    """Nothing is a content like any other."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": ""}})

    assert store_once(tmp_path, memory)[1]
    assert memory.data(REF) == b""


def test_a_lost_reply_is_recognised_by_the_mark(tmp_path: Path, memory: MemoryStore) -> None:
    """A store whose answer broke off is asked what it has, and nothing is sent twice."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello"}})
    with Faulty(memory) as faulty:
        faulty.on("put").fail(Refused("bucket", "connection lost"), after_effect=True)
        _, proved = store_once(tmp_path, faulty)

    assert proved
    assert memory.calls["put"] == 1


def test_equal_content_under_the_key_is_released(tmp_path: Path, memory: MemoryStore) -> None:
    """Somebody stored the same bytes before: they are proved without sending them again."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello"}})
    memory.seed(REF, b"hello")

    assert store_once(tmp_path, memory)[1]
    assert memory.head(REF) is not None
    assert phases(tmp_path, memory) == [(b"bucket/a.txt", Phase.STORED)]


def test_other_content_in_an_unversioned_bucket_holds_the_file(tmp_path: Path, memory: MemoryStore) -> None:
    """The object stays as it is, and the file too, with the reason beside it."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "newer"}})
    memory.seed(REF, b"older")

    assert not store_once(tmp_path, memory)[1]
    assert memory.data(REF) == b"older"
    assert phases(tmp_path, memory) == [(b"bucket/a.txt", Phase.EXISTS)]


def test_other_content_in_a_versioned_bucket_becomes_a_version(tmp_path: Path, memory: MemoryStore) -> None:
    """The newest is ours, the older one stays reachable by its version."""
    memory.make_bucket("bucket", versioned=True)
    tree(tmp_path / "zone", {"bucket": {"a.txt": "newer"}})
    older = memory.seed(REF, b"older")

    assert store_once(tmp_path, memory)[1]
    assert memory.data(REF) == b"newer"
    assert memory.data(older.ref) == b"older"


def test_a_key_stored_by_another_at_the_same_time_is_decided_anew(tmp_path: Path, memory: MemoryStore) -> None:
    """Between our look and our conditional write somebody made a version of the key: theirs stays, ours follows."""
    memory.make_bucket("bucket", versioned=True)
    tree(tmp_path / "zone", {"bucket": {"a.txt": "newest"}})
    memory.seed(REF, b"older")
    between: list[ObjectRef] = []

    def seed_another(kept: bool) -> bool:
        between.append(memory.seed(REF, b"theirs").ref)
        return kept

    with Faulty(memory) as faulty:
        faulty.on("versioned").change(seed_another)
        store_once(tmp_path, faulty)

    assert memory.data(REF) == b"newest"
    assert memory.data(between[0]) == b"theirs"


def test_a_bucket_that_may_not_be_asked_for_versions_replaces_nothing(tmp_path: Path, memory: MemoryStore) -> None:
    """Without knowing that old versions stay, the file is held."""
    from s3sync.store.contract import Denied

    memory.make_bucket("bucket", versioned=True)
    tree(tmp_path / "zone", {"bucket": {"a.txt": "newer"}})
    memory.seed(REF, b"older")
    with Faulty(memory) as faulty:
        faulty.on("versioned").fail(Denied("bucket", "not allowed"))

        assert not store_once(tmp_path, faulty)[1]

    assert memory.data(REF) == b"older"


def test_an_object_without_our_checksum_is_read_to_be_compared(tmp_path: Path, memory: MemoryStore) -> None:
    """S3 shows another checksum of what others stored; equal bytes are found equal, and others are not."""
    from dataclasses import replace

    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello", "b.txt": "other"}})
    memory.seed(REF, b"hello")
    memory.seed(ObjectRef("bucket", "b.txt"), b"OTHER")
    with Faulty(memory) as faulty:
        faulty.on("head").change(lambda info: replace(info, crc64nvme=None, checksum_type=None), times=4)

        assert store_once(tmp_path, faulty)[1]
        assert not store_once(tmp_path, faulty, "bucket/b.txt")[1]

    assert memory.calls["read"] == 2


def test_a_large_file_whose_key_is_taken_is_not_sent_in_vain(tmp_path: Path, memory: MemoryStore) -> None:
    """One look before the upload spares all of its parts."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": b"x" * LOOK_FIRST_BYTES}})
    memory.seed(REF, b"older")

    assert not store_once(tmp_path, memory)[1]
    assert memory.calls["part"] == 0


def test_an_interrupted_upload_is_resumed_by_the_next_program(tmp_path: Path, memory: MemoryStore) -> None:
    """The parts that had arrived are not sent again, and the drop keeps its id."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": os.urandom(12 * MIB)}})

    def cut(number: int) -> None:
        if number == 2:
            raise Stopped("bucket", "stopped")

    memory.on_part = cut
    with pytest.raises(Stopped):
        store_once(tmp_path, memory)
    memory.on_part = lambda _number: None
    _, proved = store_once(tmp_path, memory)

    assert proved
    assert (memory.calls["begin"], memory.calls["part"]) == (1, 3)
    assert list(memory.uploads("bucket", "")) == []


def test_an_upload_of_a_file_that_changed_is_aborted(tmp_path: Path, memory: MemoryStore) -> None:
    """What had arrived belongs to bytes that are no more; the new ones are a drop of their own."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": os.urandom(12 * MIB)}})

    def cut(_number: int) -> None:
        raise Stopped("bucket", "stopped")

    memory.on_part = cut
    with pytest.raises(Stopped):
        store_once(tmp_path, memory)
    memory.on_part = lambda _number: None
    tree(tmp_path / "zone", {"bucket": {"a.txt": "short"}})

    assert store_once(tmp_path, memory)[1]
    assert memory.data(REF) == b"short"
    assert list(memory.uploads("bucket", "")) == []
    assert phases(tmp_path, memory) == [(b"bucket/a.txt", Phase.STORED)]


def test_a_file_with_a_writer_is_left_alone(tmp_path: Path, memory: MemoryStore) -> None:
    """Somebody has it open for writing: nothing is asked of the store."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello"}})
    candidate = candidate_of(tmp_path / "zone", "bucket/a.txt")
    with (
        open(tmp_path / "zone/bucket/a.txt", "ab"),
        storing_in(tmp_path / "zone", memory) as (storing, journal),
        pytest.raises(Changed),
    ):
        stored(tmp_path / "zone", storing, journal, candidate)

    assert memory.calls["put"] == 0
    assert phases(tmp_path, memory) == []


def test_a_file_that_changed_since_the_scan_is_left_alone(tmp_path: Path, memory: MemoryStore) -> None:
    """Its state is not the judged one: the next scan judges it."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello"}})
    candidate = candidate_of(tmp_path / "zone", "bucket/a.txt")
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello, world"}})
    with storing_in(tmp_path / "zone", memory) as (storing, journal), pytest.raises(Changed):
        stored(tmp_path / "zone", storing, journal, candidate)

    assert memory.keys("bucket") == []


def test_a_folder_swapped_for_a_link_leads_nowhere(tmp_path: Path, memory: MemoryStore) -> None:
    """A link on the way is never followed, wherever it points."""
    tree(tmp_path, {"zone": {"bucket": {"d": {"a.txt": "hello"}}}, "secret": {"a.txt": "hello"}})
    candidate = candidate_of(tmp_path / "zone", "bucket/d/a.txt")
    (tmp_path / "zone/bucket/d/a.txt").unlink()
    (tmp_path / "zone/bucket/d").rmdir()
    (tmp_path / "zone/bucket/d").symlink_to(tmp_path / "secret")
    with storing_in(tmp_path / "zone", memory) as (storing, journal), pytest.raises(Changed):
        stored(tmp_path / "zone", storing, journal, candidate)

    assert memory.keys("bucket") == []


def test_bytes_that_change_after_reading_are_refused_by_the_store(tmp_path: Path, memory: MemoryStore) -> None:
    """A writer that comes between reading and sending: S3 will not have the bytes, and the drop is forgotten."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello"}})
    path = tmp_path / "zone/bucket/a.txt"
    faulty = Faulty(memory)
    put = memory.put

    def scribble_and_put(*args: object, **kwargs: object) -> None:
        path.write_text("HELLO")
        put(*args, **kwargs)  # type: ignore[arg-type]

    memory.put = scribble_and_put  # type: ignore[method-assign]
    with pytest.raises(Changed):
        store_once(tmp_path, faulty)

    assert memory.keys("bucket") == []
    assert phases(tmp_path, memory) == []


def test_a_store_that_will_not_have_the_bytes_is_asked_again(tmp_path: Path, memory: MemoryStore) -> None:
    """The file is as it was, so the trouble lies in between: refused now, stored the next time."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello"}})
    with Faulty(memory) as faulty:
        faulty.on("put").fail(Rejected("bucket", "bad digest"))
        with pytest.raises(Refused):
            store_once(tmp_path, faulty)

        assert store_once(tmp_path, faulty)[1]


def test_an_unreadable_file_says_so(tmp_path: Path, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No right to open it: a person has to look, and the store hears nothing of it."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": "hello"}})
    candidate = candidate_of(tmp_path / "zone", "bucket/a.txt")

    def refuse(_cache: FolderCache, path: bytes) -> tuple[int, bytes]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(FolderCache, "parent", refuse)
    with storing_in(tmp_path / "zone", memory) as (storing, journal), pytest.raises(Unreadable):
        stored(tmp_path / "zone", storing, journal, candidate)

    assert memory.calls["put"] == 0


def test_a_lease_is_let_go_while_the_bytes_are_sent(tmp_path: Path, memory: MemoryStore) -> None:
    """A client that opens the file during a slow upload does not have to wait."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": b"x" * (9 * MIB)}})
    leased: list[bool] = []

    def look(_number: int) -> None:
        fd = os.open(tmp_path / "zone/bucket/a.txt", os.O_RDONLY)
        leased.append(fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_UNLCK)
        os.close(os.open(tmp_path / "zone/bucket/a.txt", os.O_WRONLY | os.O_NONBLOCK))
        os.close(fd)

    memory.on_part = look
    store_once(tmp_path, memory)

    assert leased == [False, False]


def test_being_asked_to_stop_ends_the_reading(tmp_path: Path, memory: MemoryStore) -> None:
    """A long reading ends between two blocks, and nothing is journalled of it."""
    tree(tmp_path / "zone", {"bucket": {"a.txt": b"x" * (2 * MIB)}})
    candidate = candidate_of(tmp_path / "zone", "bucket/a.txt")
    with storing_in(tmp_path / "zone", memory, stopping=True) as (storing, journal), pytest.raises(Stopped):
        stored(tmp_path / "zone", storing, journal, candidate)

    assert phases(tmp_path, memory) == []
