"""A pass takes every finished file all the way or leaves it alone; whatever fails, the next pass finishes the work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from s3batch.pack.lifecycle import State
from s3batch.pack.planner import Limits
from s3sync.errors import Exit, Failure, Transient
from s3sync.store.contract import Denied, Missing, ObjectInfo, Rejected, StorageClass
from tests.pack.conftest import QUIET_NS, Bench, Make
from tests.support import files

Key = bytes


def lying(bench: Bench) -> set[bytes]:
    """Return what lies in the drop zone and its quarantine."""
    return set(files(bench.root))


def archives(bench: Bench, bucket: str = "bucket") -> list[str]:
    """Return the archive keys in a bucket."""
    return [key for key in bench.store.keys(bucket) if key.endswith(".tar")]


def test_finished_files_go_all_the_way(bench: Bench) -> None:
    """Archived, proved, catalogued, removed; spool and quarantine are empty, and the next pass does nothing."""
    bench.drop("a/1")
    bench.drop("a/2", b"")
    bench.drop("b/3", b"x" * 5000, bucket="other")

    tally = bench.run()

    assert (3, 2, 3, Exit.DONE) == (tally.files, tally.archives, tally.released, tally.exit)
    assert {b"a/1": 1, b"a/2": 1, b"b/3": 1} == bench.found()
    assert set() == lying(bench)
    assert [] == list(bench.spool.root.iterdir())
    assert 0 == bench.spool.taken_bytes
    assert 0 == bench.run().archives


def test_young_files_stay_and_are_counted_one_by_one(bench: Bench) -> None:
    """However many lie in a folder; the next pass begins when the first of them will be quiet."""
    paths = [bench.drop(key) for key in ("a/1", "a/2", "a/3", "b/4")]
    bench.drop("a/5.tmp")
    bench.wall_ns[0] = max(path.stat().st_ctime_ns for path in paths)

    tally = bench.agent.run_pass(close_all=True)

    assert {"quiet": 4, "temporary_name": 1} == dict(tally.left)
    ready_ns = min(path.stat().st_ctime_ns for path in paths) + QUIET_NS
    assert (ready_ns - bench.wall_ns[0]) / 1e9 == tally.again_seconds
    assert 5 == len(lying(bench))


def test_archive_and_manifest_are_stored_as_reserved(bench: Bench) -> None:
    """The archive is cold and bears the batch's mark; the manifest beside it can be read at once."""
    bench.drop("a/1")
    bench.run()
    manifest, archive = sorted(bench.store.keys("bucket"), key=lambda key: key.endswith(".tar"))

    infos = [bench.store.head(replace(ref)) for ref in bench.store.list("bucket", "")]

    batch = Path(archive).stem
    assert f"a/{batch}.tar" == archive
    assert manifest.endswith(f"/{batch}.json.gz")
    assert {StorageClass.DEEP_ARCHIVE, StorageClass.STANDARD} == {info.storage_class for info in infos if info}
    assert {batch} == {info.metadata["s3batch-id"] for info in infos if info}


FAILURES = [
    Transient("s3", "slow down"),
    Denied("s3", "no"),
    Missing("s3", "no such bucket"),
    Rejected("s3", "checksums differ"),
]


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(4))
@pytest.mark.parametrize("call", ["put", "head"])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_any_failing_call_costs_time_and_nothing_else(
    bench: Bench, call: str, failure: Failure, nth: int, after_effect: bool
) -> None:
    """Whichever call fails, and however, nothing is lost or doubled, and later passes finish."""
    contents = {"a/1": b"one", "a/2": b"two", "b/3": b"three"}
    for key, content in contents.items():
        bench.drop(key, content)
    bench.faulty.on(call).let_through(times=nth).fail(failure, after_effect=after_effect)

    bench.run()
    for _ in range(3):
        bench.run()

    assert {key.encode(): 1 for key in contents} == bench.found()
    assert set() == lying(bench)
    assert [] == list(bench.store.uploads("bucket", ""))
    assert [] == bench.journal.unfinished()


LIES: dict[str, Callable[[ObjectInfo], ObjectInfo | None]] = {
    "size": lambda info: replace(info, size=info.size + 1),
    "checksum": lambda info: replace(info, crc64nvme="AAAAAAAAAAA="),
    "no checksum": lambda info: replace(info, crc64nvme=None),
    "composite": lambda info: replace(info, checksum_type="COMPOSITE"),
    "class": lambda info: replace(info, storage_class=StorageClass.STANDARD_IA),
    "mark": lambda info: replace(info, metadata={}),
    "gone": lambda _: None,
}


@pytest.mark.parametrize("lie", LIES)
def test_head_that_disagrees_removes_nothing(bench: Bench, lie: str) -> None:
    """Without an agreeing HEAD no original is touched, however often it is tried."""
    bench.drop("a/1")

    def twist(info: ObjectInfo | None) -> ObjectInfo | None:
        return None if info is None else LIES[lie](info)

    bench.faulty.on("head").change(twist, times=1000)
    for _ in range(3):
        bench.run()

    assert {b"bucket/a/1"} <= lying(bench)
    assert {} == bench.found()


def test_batch_whose_manifest_cannot_be_stored_is_not_archived_again(bench: Bench) -> None:
    """The archive stands; only what is missing is done later."""
    bench.drop("a/1")
    bench.faulty.on("put").let_through().fail(Denied("s3", "no manifests here"), times=2)

    bench.run()
    bench.run()
    assert State.STORED is bench.journal.unfinished()[0].state
    assert {b"bucket/a/1"} == lying(bench)
    bench.run()

    assert 1 == len(archives(bench))
    assert {b"a/1": 1} == bench.found()


def test_refusing_bucket_does_not_stop_the_others(make: Make) -> None:
    """It is parked; its files stay, its spool room is given back, the other bucket's files go."""
    bench = make()
    bench.drop("a/1")
    bench.drop("a/2", bucket="other")
    bench.faulty.on("put").fail(Denied("s3", "no"))

    tally = bench.run()

    assert (1, Exit.PARTIAL) == (tally.archives, tally.exit)
    assert {b"bucket/a/1"} == lying(bench)
    assert [] == list(bench.spool.root.iterdir())


def test_built_batch_of_a_refusing_bucket_is_given_up_by_the_next_run(make: Make) -> None:
    """Interrupted before the upload, its bucket gone meanwhile: it keeps no room in the spool, and its files stay."""
    first = make()
    first.drop("a/1")
    first.faulty.on("put").fail(KeyboardInterrupt())  # type: ignore[arg-type]  # a power cut
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = make()
    second.faulty.on("uploads").fail(Missing("s3://bucket", "the bucket is not there"))

    second.run()

    assert ([], []) == (second.journal.unfinished(), list(second.spool.root.iterdir()))
    assert {b"bucket/a/1"} == lying(second)


def test_backlog_larger_than_the_spool_goes_through_it(make: Make) -> None:
    """The spool never holds more than its limit, and everything is archived in the end."""
    bench = make(spool_limit=70_000, limits=Limits(max_bytes=20_000, max_members=1000, max_age_ns=10**18, quiet_ns=QUIET_NS))
    seen = []
    for number in range(60):
        bench.drop(f"a/{number:02}", bytes(5000))
    bench.faulty.on("put").change(lambda _: seen.append(bench.spool.taken_bytes), times=1000)

    while bench.run().archives:
        pass

    assert set() == lying(bench)
    assert 60 == len(bench.found())
    assert max(seen) <= 70_000


def test_nothing_is_uploaded_when_no_file_holds_still(bench: Bench) -> None:
    """Never an empty archive."""
    path = bench.drop("a/1")
    with path.open("ab"):
        tally = bench.run()

    assert {"writer": 1} == dict(tally.left)
    assert [] == bench.store.keys("bucket")
    assert [] == bench.journal.unfinished()


def test_file_dropped_again_while_its_batch_is_stored_becomes_a_new_version(bench: Bench) -> None:
    """The old bytes are archived once, the new ones stay and are archived by the next pass; the newest is the last."""
    path = bench.drop("a/1", b"old bytes")
    times = path.stat()

    def rewrite(result: None) -> None:
        path.write_bytes(b"new bytes")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return result

    bench.faulty.on("put").change(rewrite)
    first = bench.run()
    assert (1, 0, {"changed": 1}) == (first.archives, first.released, dict(first.left))
    bench.run()

    versions = bench.catalogue.versions(b"a/1")
    assert 2 == len(versions)
    assert len({entry.member.sha256 for entry in versions}) == 2
    assert versions[0].archive.created > versions[1].archive.created
    assert set() == lying(bench)


def pin(folder: Path, sign: str) -> None:
    """Mark a folder immutable (`+`) or not (`-`)."""
    subprocess.run(["chattr", f"{sign}i", str(folder)], check=True)


@contextmanager
def pinnable(folder: Path) -> Iterator[None]:
    """Skip where folders cannot be made immutable; leave them mutable."""
    try:
        pin(folder, "+")
        pin(folder, "-")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root and a filesystem with chattr +i")
    try:
        yield
    finally:
        pin(folder, "-")


def test_what_cannot_be_removed_is_archived_once_and_removed_when_it_can_be(bench: Bench) -> None:
    """A folder made immutable between scan and release costs one archive, however many passes see it."""
    path = bench.drop("a/1")
    with pinnable(path.parent):
        bench.faulty.on("put").change(lambda _: pin(path.parent, "+"))
        bench.run()
        for _ in range(3):
            bench.run()

        assert [b"bucket/a/1"] == [one.path for one in bench.unreleased.all()]
        assert 1 == len(archives(bench))
        pin(path.parent, "-")
        tally = bench.run()

    assert 1 == tally.released
    assert ([], set()) == (bench.unreleased.all(), lying(bench))
    assert 1 == len(archives(bench))


def test_chmod_of_an_unremovable_file_does_not_archive_it_again(bench: Bench) -> None:
    """A job that sets modes every night must not make an archive every night."""
    path = bench.drop("a/1")
    with pinnable(path.parent):
        bench.faulty.on("put").change(lambda _: pin(path.parent, "+"))
        bench.run()
        for mode in (0o600, 0o644, 0o600):
            path.chmod(mode)
            bench.run()

        assert 1 == len(archives(bench))


def test_unremovable_file_with_new_content_is_archived_as_a_new_version(bench: Bench) -> None:
    """What could not be removed is not forgotten when somebody writes to it."""
    path = bench.drop("a/1", b"old")
    with pinnable(path.parent):
        bench.faulty.on("put").change(lambda _: pin(path.parent, "+"))
        bench.run()
        path.write_bytes(b"new")
        pin(path.parent, "-")
        bench.run()

    assert 2 == len(bench.catalogue.versions(b"a/1"))
    assert set() == lying(bench)


@pytest.mark.parametrize("what", ["tar removed", "tar damaged", "list removed", "list damaged", "folder removed"])
@pytest.mark.parametrize("state", [State.SPOOLED, State.STORED, State.MANIFESTED, State.CATALOGUED])
def test_spool_damaged_between_two_runs(make: Make, state: State, what: str) -> None:
    """Whatever is left of the spool after a crash, every byte is archived or lies in the drop zone, and seen once."""
    first = make()
    first.drop("a/1", b"one")
    first.drop("a/2", b"two")
    calls = {
        State.SPOOLED: ("put", 0),
        State.STORED: ("put", 1),
        State.MANIFESTED: ("add", 0),
        State.CATALOGUED: ("release", 0),
    }
    call, nth = calls[state]
    with pytest.MonkeyPatch.context() as patch:
        if call == "put":
            first.faulty.on("put").let_through(times=nth).fail(KeyboardInterrupt())  # type: ignore[arg-type]  # a power cut
        else:
            target = "s3batch.catalogue.sqlite.SqliteCatalogue.add" if call == "add" else "tests.pack.conftest.release"
            patch.setattr(target, power_cut)
        with pytest.raises(KeyboardInterrupt):
            first.run()
    damage(next(first.spool.root.iterdir()), what)

    second = make()
    assert state is second.journal.unfinished()[0].state
    for _ in range(3):
        second.run()

    assert {b"a/1": 1, b"a/2": 1} == second.found()
    assert (set(), []) == (lying(second), second.journal.unfinished())


def power_cut(*_: object, **__: object) -> None:
    """End everything, as nothing of ours ever would."""
    raise KeyboardInterrupt


def damage(folder: Path, what: str) -> None:
    """Damage what a batch has in the spool."""
    names = {"tar": "archive.tar", "list": "members"}
    kind, _, how = what.partition(" ")
    targets = list(folder.iterdir()) if kind == "folder" else [folder / names[kind]]
    for target in targets:
        if target.exists():
            target.unlink() if how == "removed" else target.write_bytes(b"damaged" + target.read_bytes()[7:])
    if kind == "folder":
        folder.rmdir()


def test_asked_to_stop_it_stops_and_says_so(bench: Bench) -> None:
    """Files stay, the pass is called interrupted, the next one does the work."""
    bench.drop("a/1")
    bench.stop[0] = True

    tally = bench.run()

    assert (0, True) == (tally.archives, tally.interrupted)
    bench.stop[0] = False
    assert 1 == bench.run().archives


def test_partial_batch_waits_in_the_daemon_and_not_in_a_single_pass(bench: Bench) -> None:
    """What is not full stays where it is until it is old enough, unless everything is to be closed."""
    bench.drop("a/1")

    assert (0, {"batch_not_full": 1}) == ((tally := bench.run(close_all=False)).archives, dict(tally.left))
    assert 1 == bench.run(close_all=True).archives


def test_pass_says_when_the_next_one_has_something_to_do(make: Make) -> None:
    """When a batch closes by its age, not at the next scan some minutes later."""
    bench = make(limits=Limits(max_bytes=1 << 20, max_members=9, max_age_ns=86_400 * 10**9 + 3600 * 10**9, quiet_ns=QUIET_NS))
    bench.drop("a/1")

    again_seconds = bench.run(close_all=False).again_seconds

    assert again_seconds is not None
    assert 3600 <= again_seconds < 3600 + 120


def test_stray_spool_folders_are_swept_at_the_start(make: Make, tmp_path: Path) -> None:
    """What no batch of the journal owns costs disk and nothing else."""
    stray = tmp_path / "spool" / "20200101T000000-abc"
    stray.mkdir(parents=True)
    (stray / "archive.tar").write_bytes(b"x")

    bench = make()

    assert [] == list(bench.spool.root.iterdir())
    assert 1 == len(bench.told("stray_files_swept"))


def test_what_was_never_the_spools_is_not_swept(make: Make, tmp_path: Path) -> None:
    """Somebody names a folder of theirs as the spool, or one that a link makes the drop zone's home: all of it stays."""
    spool = tmp_path / "spool"
    (spool / "photos").mkdir(parents=True)
    (spool / "photos" / "only copy.jpg").write_bytes(b"x")
    (spool / "letter").write_bytes(b"x")
    (spool / "20200101T000000-abc.txt").write_bytes(b"x")
    (spool / "20200101T000000-abc").symlink_to(spool / "photos")
    before = files(spool)

    bench = make()

    assert before == files(spool)
    assert [] == bench.told("stray_files_swept")


@pytest.mark.timeout(20)
def test_a_surprise_while_a_batch_is_launched_ends_the_pass(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised between its reservation and its build: the pass does not wait for a batch that nobody works on."""
    bench.drop("a/file")

    def surprise(**_: object) -> NoReturn:
        raise RuntimeError("nobody expected this")

    with monkeypatch.context() as surprised, pytest.raises(RuntimeError, match="nobody expected"):
        surprised.setattr("s3batch.pack.pipeline.ArchiveReserved", surprise)
        bench.run()
    bench.run()
    bench.run()

    assert {b"a/file": 1} == bench.found()
    assert {} == files(bench.root)
