"""Passes of the agent: what goes, what stays, what is remembered, and that a death at any step loses nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.release import ReleaseReport
from s3sync.dropzone.slots import Kept
from s3sync.errors import Exit, Transient
from s3sync.events import StepFailed
from s3sync.store.contract import Denied, ObjectRef, Rejected, Stopped
from s3sync.transfer.agent import PassEnded, PassSummary
from s3sync.transfer.drops import Phase
from s3sync.transfer.guard import BucketParked
from s3sync.transfer.outcome import FileHeld
from tests.doubles.faulty import Faulty
from tests.doubles.memory_store import MemoryStore
from tests.support import assert_tree, files, tree
from tests.sync.house import House, Mortal, house_at

MIB = 1 << 20


def contents(store: MemoryStore, bucket: str = "bucket") -> dict[str, bytes]:
    """Return what the bucket's current objects hold."""
    return {key: store.data(ObjectRef(bucket, key)) for key in store.keys(bucket)}


def every_version(store: MemoryStore, bucket: str = "bucket") -> set[tuple[str, bytes]]:
    """Return what can be read of the bucket, old versions too."""
    return {
        (key, version.data) for key, versions in store._buckets[bucket].items() for version in versions if not version.deleted
    }


def test_finished_files_go_and_the_others_stay(tmp_path: Path) -> None:
    """Files with keys that S3 takes are objects now, and gone; temporary names, odd bytes and links are left alone."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a.txt": "a", "d": {"é b.txt": "b", "empty": ""}, ".part": "no", b"\xff": "no"}})
    (house.zone_path / "bucket/link").symlink_to("/etc/passwd")
    summary = house.once()

    assert contents(store) == {"a.txt": b"a", "d/é b.txt": b"b", "d/empty": b""}
    assert_tree(house.zone_path, {"bucket": {".part": "no", b"\xff": "no"}})
    assert summary == PassSummary(files=3, bytes=2, released=3, left=3, errors=0)
    assert summary.exit is Exit.DONE


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    """An empty drop zone makes a pass without events."""
    house, _ = house_at(tmp_path)

    assert house.once().exit is Exit.DONE
    assert house.heard == []


def test_a_file_that_was_just_written_waits_for_its_quiet_period(tmp_path: Path) -> None:
    """The pass says when it wants to be repeated: when the file will have been quiet."""
    from datetime import UTC, datetime

    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a.txt": "a", "b.txt": "b"}})
    with house.running() as (agent, _):
        summary = agent.run_once(datetime.now(UTC))

    assert store.keys("bucket") == []
    assert 2 == summary.left
    assert summary.again_seconds is not None
    assert 0 < summary.again_seconds <= 60


def test_a_bucket_that_is_not_there_is_parked_and_the_others_go_on(tmp_path: Path) -> None:
    """Its files are untouched, its parking is told and remembered, and the next pass does not ask it at all."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"absent": {str(n): "x" for n in range(9)}, "bucket": {"a": "a"}})
    with house.running() as (agent, journal):
        first = agent.run_once(house.later())
        asked = store.calls["put"]
        second = agent.run_once(house.later())

        assert [parked.bucket for parked in journal.parked()] == ["absent"]

    assert contents(store) == {"a": b"a"}
    assert len(files(house.zone_path / "absent")) == 9
    assert store.calls["put"] == asked
    assert (first.exit, second.exit) == (Exit.PARTIAL, Exit.DONE)
    assert [event for event in house.heard if isinstance(event, BucketParked)] != []


def test_a_denied_bucket_does_not_stop_the_next_one(tmp_path: Path) -> None:
    """Three refusals in a row park it; what comes after in other buckets is stored."""
    house, store = house_at(tmp_path, buckets=("aaa", "bbb"))
    tree(house.zone_path, {"aaa": {str(n): "x" for n in range(9)}, "bbb": {"a": "a"}})
    with Faulty(store) as faulty:
        faulty.on("put").fail(Denied("aaa", "not allowed"), times=3)
        house.store = faulty
        summary = house.once()

    assert (contents(store, "aaa"), contents(store, "bbb")) == ({}, {"a": b"a"})
    assert (summary.errors, summary.left) == (3, 9)


def test_all_failed_is_a_failure(tmp_path: Path) -> None:
    """The exit code of a single pass: 1 where nothing got through."""
    house, _ = house_at(tmp_path, buckets=())
    tree(house.zone_path, {"absent": {"a": "x"}})

    assert house.once().exit is Exit.FAILED


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", ["put", "head"])
@pytest.mark.parametrize("error", [Transient("s3", "slow down"), Denied("s3", "no"), Rejected("s3", "bad digest")])
def test_whatever_fails_once_succeeds_in_the_next_pass(
    tmp_path: Path, call: str, error: Exception, *, after_effect: bool
) -> None:
    """Nothing is lost, and nothing is stored twice, whichever call failed and whether or not it had its effect."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": "aaa"}})
    faulty = Faulty(store)
    faulty.on(call).fail(error, after_effect=after_effect)
    house.store = faulty
    with house.running() as (agent, _):
        agent.run_once(house.later())
        agent.run_once(house.later())

    faulty.assert_used_up()
    assert contents(store) == {"a": b"aaa"}
    assert_tree(house.zone_path, {})


def test_an_existing_object_holds_its_file_and_is_not_asked_again_every_pass(tmp_path: Path) -> None:
    """Held as `exists`, told once; passes that follow look at it ever more rarely."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": "newer"}})
    store.seed(ObjectRef("bucket", "a"), b"older")
    with house.running() as (agent, journal):
        agent.run_once(house.later())
        agent.run_once(house.later())
        asked = store.calls["head"]
        summaries = [agent.run_once(house.later()) for _ in range(5)]
        counted = journal.counts()[Phase.EXISTS]

    assert contents(store) == {"a": b"older"}
    assert_tree(house.zone_path, {"bucket": {"a": "newer"}})
    assert store.calls["head"] - asked <= 2
    assert counted == 1
    assert [summary.left for summary in summaries] == [1] * 5
    assert [event.reason for event in house.heard if isinstance(event, FileHeld)] == [Reason.EXISTS]


def test_a_held_file_goes_when_the_object_is_out_of_its_way(tmp_path: Path) -> None:
    """Somebody removed the object: the next program stores the file."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": "newer"}})
    store.seed(ObjectRef("bucket", "a"), b"older")
    house.once()
    store.delete(ObjectRef("bucket", "a"))
    house.once()

    assert contents(store) == {"a": b"newer"}
    assert_tree(house.zone_path, {})


def test_a_held_file_that_was_replaced_is_judged_anew(tmp_path: Path) -> None:
    """What lies there now equals the object: it is released, and nothing is held any more."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": "newer"}})
    store.seed(ObjectRef("bucket", "a"), b"older")
    house.once()
    tree(house.zone_path, {"bucket": {"a": "older"}})
    house.once()
    with house.running() as (_, journal):
        assert journal.in_hand(*Phase) == []

    assert_tree(house.zone_path, {})


def test_a_key_dropped_again_becomes_a_version(tmp_path: Path) -> None:
    """In a versioned bucket every content stays reachable, and the newest is the last one dropped."""
    house, store = house_at(tmp_path, versioned=True)
    for content in ("one", "two", "one"):
        tree(house.zone_path, {"bucket": {"a": content}})
        house.once()

    assert every_version(store) == {("a", b"one"), ("a", b"two")}
    assert contents(store) == {"a": b"one"}


def test_what_cannot_be_removed_is_not_stored_again(tmp_path: Path) -> None:
    """Stored, remembered as unreleased with the reason, tried again, and released when that is possible."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": "aaa"}})
    path = house.zone_path / "bucket/a"

    def refuse(_act: Callable[[], ReleaseReport]) -> ReleaseReport:
        return ReleaseReport(0, 0, (Kept(b"bucket/a", Identity.of(os.lstat(path)), Reason.FOLDER_NOT_WRITABLE),), 0)

    released, house.releasing = house.releasing, refuse
    first, second = house.once(), house.once()
    with house.running() as (_, journal):
        (unreleased,) = journal.in_hand(Phase.UNRELEASED)
    stored = store.calls["put"]
    house.releasing = released
    house.once()

    assert (first.released, second.released, second.left) == (0, 0, 1)
    assert unreleased.detail == "the agent may not remove names from the folder"
    assert (stored, store.calls["put"]) == (1, 1)
    assert_tree(house.zone_path, {})


def test_what_was_rewritten_before_a_release_that_was_refused_is_stored(tmp_path: Path) -> None:
    """As long and as old as what was stored: the state a refused release left it in does not vouch for its bytes."""
    house, store = house_at(tmp_path, versioned=True)
    tree(house.zone_path, {"bucket": {"a": "one"}})
    path = house.zone_path / "bucket/a"

    def rewrite_and_refuse(_act: Callable[[], ReleaseReport]) -> ReleaseReport:
        times = path.stat()
        path.write_text("two")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return ReleaseReport(0, 0, (Kept(b"bucket/a", Identity.of(os.lstat(path)), Reason.IO_ERROR),), 0)

    released, house.releasing = house.releasing, rewrite_and_refuse
    house.once()
    house.releasing = released
    for _ in range(3):
        house.once()

    assert every_version(store) == {("a", b"one"), ("a", b"two")}
    assert_tree(house.zone_path, {})


def test_a_stored_file_whose_object_is_lost_is_stored_again(tmp_path: Path) -> None:
    """Before an original goes its object is looked at once more; without one the file stays and is stored anew."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": "aaa"}})
    before_release = Mortal()
    house.once(before_release)
    total = before_release.steps
    tree(house.zone_path, {"bucket": {"b": "bbb"}})
    with pytest.raises(SystemExit):
        # the last steps are: release begins, moment, release ends, journal before and after
        house.once(Mortal(dies_at=total - 3))
    store.delete(ObjectRef("bucket", "b"))
    house.once()
    house.once()

    assert contents(store) == {"a": b"aaa", "b": b"bbb"}
    assert_tree(house.zone_path, {})


def test_bytes_written_while_an_original_is_removed_become_versions(tmp_path: Path) -> None:
    """A late writer and a new file of the same name, both in the very moment of the release: nothing is swallowed."""
    house, store = house_at(tmp_path, versioned=True)
    tree(house.zone_path, {"bucket": {"a": "one"}})

    def meanwhile() -> None:
        house.moment = lambda: None
        (slot,) = (house.zone_path / ".s3sync-quarantine").glob("drop-*/0")
        with slot.open("a") as late:
            late.write(" and more")
        tree(house.zone_path, {"bucket": {"a": "two"}})

    house.moment = meanwhile
    for _ in range(3):
        house.once()

    assert every_version(store) == {("a", b"one"), ("a", b"one and more"), ("a", b"two")}
    assert contents(store) == {"a": b"two"}
    assert_tree(house.zone_path, {})


def test_being_asked_to_stop_leaves_the_rest(tmp_path: Path) -> None:
    """Files not begun are not touched; nobody counts them as errors."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {str(n): "x" for n in range(50)}})
    house.stopping = lambda: store.calls["put"] >= 1
    summary = house.once()

    assert (summary.errors, summary.exit) == (0, Exit.DONE)
    assert len(files(house.zone_path / "bucket")) >= 40


def test_a_stopped_upload_is_resumed_by_the_next_program(tmp_path: Path) -> None:
    """The parts that arrived are kept, and the file is an object in the end."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": os.urandom(12 * MIB)}})

    def stop(number: int) -> None:
        if number == 2:
            raise Stopped("a", "stopped")

    store.on_part = stop
    house.once()
    store.on_part = lambda _number: None
    house.once()

    assert (store.calls["begin"], store.calls["part"]) == (1, 3)
    assert_tree(house.zone_path, {})


def test_the_upload_of_a_vanished_file_is_aborted(tmp_path: Path) -> None:
    """Its parts would be billed for ever."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": os.urandom(12 * MIB)}})

    def stop(_number: int) -> None:
        raise Stopped("a", "stopped")

    store.on_part = stop
    house.once()
    begun = len(list(store.uploads("bucket", "")))
    (house.zone_path / "bucket/a").unlink()
    house.once()

    assert (begun, list(store.uploads("bucket", ""))) == (1, [])


def test_many_files_go_side_by_side(tmp_path: Path) -> None:
    """Several workers, each file once."""
    house, store = house_at(tmp_path)
    house.workers = 4
    tree(house.zone_path, {"bucket": {f"{n % 7}/{n}": str(n) for n in range(200)}})
    summary = house.once()

    assert contents(store) == {f"{n % 7}/{n}": str(n).encode() for n in range(200)}
    assert (summary.files, summary.released, store.calls["put"]) == (200, 200, 200)
    assert [event for event in house.heard if isinstance(event, StepFailed)] == []
    assert [type(event) for event in house.heard][-1] is PassEnded


def test_files_that_were_on_their_way_out_together_are_finished_together(tmp_path: Path) -> None:
    """A death with several in quarantine, and not even the note beside them: each is asked for, compared and removed."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": "aaa", "b": "bbb", "c": "ccc"}})
    house.moment = dying
    with pytest.raises(SystemExit):
        house.once()
    in_quarantine = [path for path in files(house.zone_path) if b"quarantine" in path]
    (note,) = (house.zone_path / ".s3sync-quarantine").glob("*/origins")
    note.unlink()
    asked = store.calls["put"]
    house.moment = lambda: None
    summary = house.once()

    assert 4 == len(in_quarantine)
    assert contents(store) == {"a": b"aaa", "b": b"bbb", "c": b"ccc"}
    assert (3, asked) == (summary.released, store.calls["put"])
    assert_tree(house.zone_path, {})


def test_one_of_a_lot_that_fails_keeps_nobody_else(tmp_path: Path) -> None:
    """Refused, changed in the last moment, or taken: the others are stored and gone."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {name: name for name in "abcd"}})
    store.seed(ObjectRef("bucket", "c"), b"another")
    house.moment = lambda: (house.zone_path / "bucket/d").write_text("again")
    with Faulty(store) as faulty:
        faulty.on("put").fail(Denied("bucket", "no"))
        house.store = faulty
        summary = house.once()

    assert contents(store) == {"b": b"b", "c": b"another", "d": b"d"}
    assert {b"bucket/a": b"a", b"bucket/c": b"c", b"bucket/d": b"again"} == {
        path: data for path, data in files(house.zone_path).items() if b"quarantine" not in path
    }
    assert (2, 2, 2, 1) == (summary.files, summary.released, summary.left, summary.errors)


def dying() -> None:
    """End the program where it stands."""
    raise SystemExit


def test_a_lost_journal_loses_nothing(tmp_path: Path) -> None:
    """A file in quarantine is given back, recognised by its object, and released."""
    house, store = house_at(tmp_path)
    tree(house.zone_path, {"bucket": {"a": "aaa"}})
    whole = Mortal()
    house.once(whole)
    tree(house.zone_path, {"bucket": {"b": "bbb"}})
    with pytest.raises(SystemExit):
        house.once(Mortal(dies_at=whole.steps - 3))
    in_quarantine = [path for path in files(house.zone_path) if b"quarantine" in path]
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    house.once()

    assert in_quarantine != []
    assert contents(store) == {"a": b"aaa", "b": b"bbb"}
    assert_tree(house.zone_path, {})


DROPS: dict[str, str] = {
    "small": "s" * 100,
    "large": "l" * 5000,
    "again": "new content",
    "same": "same content",
    "sub/one": "in a folder",
    "sub/two": "beside it",
}
REDROPS: dict[str, str] = {"small": "s2", "large": "l2", "same": "same content"}


def drop(house: House, dropped: dict[str, str]) -> None:
    """Write each content under its name, as a client does that drops again: over what is there."""
    for name, content in dropped.items():
        path = house.zone_path / "bucket" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def arranged(path: Path, *, versioned: bool) -> tuple[House, MemoryStore]:
    """Return a house with small files, one in parts, one whose key is taken, and one that is stored already: one lot."""
    house, store = house_at(path, versioned=versioned, threshold=1000)
    store.seed(ObjectRef("bucket", "again"), b"old content")
    store.seed(ObjectRef("bucket", "same"), b"same content")
    drop(house, DROPS)
    return house, store


def steps_of_a_life(path: Path, *, versioned: bool) -> int:
    """Return how many steps a pass over what is arranged takes."""
    house, _ = arranged(path, versioned=versioned)
    mortal = Mortal()
    house.once(mortal)
    return mortal.steps


@pytest.mark.parametrize("redrop", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("versioned", [False, True])
def test_dying_at_any_step_loses_doubles_and_replaces_nothing(tmp_path: Path, *, versioned: bool, redrop: bool) -> None:
    """After a death at each step in turn, and another program: every byte is in the bucket or in the drop zone, once."""
    total = steps_of_a_life(tmp_path, versioned=versioned)
    assert total > 40
    for step in range(1, total + 1):
        die_and_come_back(tmp_path / str(step), step, versioned=versioned, redrop=redrop)


def die_and_come_back(path: Path, step: int, *, versioned: bool, redrop: bool) -> None:
    """Run one life that ends at `step` and two that do not; hold that nothing was lost, doubled or replaced."""
    path.mkdir()
    house, store = arranged(path, versioned=versioned)
    with pytest.raises(SystemExit):
        house.once(Mortal(dies_at=step))
    assert_nothing_lost(house, store, DROPS)
    again = REDROPS if redrop else {}
    drop(house, again)
    house.once()
    house.once()

    left = {path.decode(): data for path, data in files(house.zone_path).items()}
    kept = every_version(store)
    for name, content in (DROPS | again).items():
        assert (name, content.encode()) in kept or left.get(f"bucket/{name}") == content.encode(), (step, name)
    assert ("again", b"old content") in kept
    # a death between beginning an upload and noting it leaves one without parts, which costs nothing
    assert all(upload.parts == {} for upload in store._uploads.values()), step
    if versioned:
        assert left == {}
    for name, versions in store._buckets["bucket"].items():
        assert len({version.data for version in versions}) == len(versions), (step, name, "stored twice")
    if not versioned:
        assert all(len(versions) == 1 for versions in store._buckets["bucket"].values())


def assert_nothing_lost(house: House, store: MemoryStore, dropped: dict[str, str]) -> None:
    """Hold that each content lies under its name, in quarantine, or in the bucket."""
    on_disk = set(files(house.zone_path).values())
    kept = every_version(store)
    for name, content in dropped.items():
        assert content.encode() in on_disk or (name, content.encode()) in kept
