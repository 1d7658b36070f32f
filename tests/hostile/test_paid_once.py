"""What must not be paid for twice: archives are counted, not only losses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from s3batch.pack.events import Redelivered
from s3sync.dropzone.zone import S3BATCH_QUARANTINE
from tests.hostile.disks import bind_mount, dead_mount
from tests.pack.conftest import Bench, Make
from tests.support import files


def archives(bench: Bench) -> list[str]:
    """Return the keys of every archive in S3, whether anybody knows of it or not."""
    return [key for bucket in ("bucket", "other") for key in bench.store.keys(bucket) if key.endswith(".tar")]


def test_hard_link_backup_between_passes_archives_once(bench: Bench, tmp_path: Path) -> None:
    """A backup that links every file (`cp -al`) at every pass changes ctimes and nothing else: one archive, all released."""
    bench.drop("folder/file", b"one")
    for turn in range(5):
        subprocess.run(["cp", "-al", bench.root / "bucket", tmp_path / f"backup-{turn}"], check=True)
        bench.run()
        bench.drop("folder/another", b"two") if turn == 1 else None

    assert {b"folder/file": 1, b"folder/another": 1} == bench.found()
    assert 2 == len(archives(bench))
    assert {} == files(bench.root)
    assert b"one" == (tmp_path / "backup-0/folder/file").read_bytes()


def test_hard_link_backup_while_a_batch_is_stored_archives_once(bench: Bench, tmp_path: Path) -> None:
    """A link made between archiving and releasing changes the ctime: the bytes are compared, and the file is released."""
    place = bench.drop("file", b"one")
    put = bench.store.put

    def put_and_link(*args: object, **kwargs: object) -> None:
        put(*args, **kwargs)  # type: ignore[arg-type]
        if not (tmp_path / "linked").exists():
            os.link(place, tmp_path / "linked")

    bench.store.put = put_and_link  # type: ignore[method-assign]
    for _ in range(3):
        bench.run()

    assert 1 == len(archives(bench))
    assert {} == files(bench.root)


def test_chmod_cron_archives_once(bench: Bench) -> None:
    """A cron that sets the modes of everything, every few minutes, never makes a file be archived twice."""
    place = bench.drop("file", b"one")
    put = bench.store.put

    def put_and_chmod(*args: object, **kwargs: object) -> None:
        put(*args, **kwargs)  # type: ignore[arg-type]
        if place.exists():
            place.chmod(0o664)

    bench.store.put = put_and_chmod  # type: ignore[method-assign]
    for _ in range(4):
        bench.run()

    assert 1 == len(archives(bench))
    assert {} == files(bench.root)


@pytest.mark.parametrize("mark", ["i", "a"])
def test_immutable_file_is_not_archived(bench: Bench, mark: str) -> None:
    """A file marked immutable or append-only cannot be removed, so it is never archived; without the mark it is, once."""
    place = bench.drop("file", b"one")
    if subprocess.run(["chattr", f"+{mark}", place], check=False, capture_output=True).returncode:
        pytest.skip("no chattr, or no right to use it here")
    try:
        for _ in range(3):
            bench.run()
        before = archives(bench)
    finally:
        subprocess.run(["chattr", f"-{mark}", place], check=True)
    bench.run()

    assert [] == before
    assert 1 == len(archives(bench))
    assert {} == files(bench.root)


def test_folder_that_becomes_immutable_while_its_batch_is_stored_archives_once(bench: Bench) -> None:
    """What could be removed when it was planned and cannot any more is remembered, and removed when it can be."""
    place = bench.drop("folder/file", b"one")
    put, folder = bench.store.put, place.parent
    probe = subprocess.run(["chattr", "+i", folder], check=False, capture_output=True)
    subprocess.run(["chattr", "-i", folder], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip("no chattr, or no right to use it here")

    def put_and_pin(*args: object, **kwargs: object) -> None:
        put(*args, **kwargs)  # type: ignore[arg-type]
        subprocess.run(["chattr", "+i", folder], check=True)

    bench.store.put = put_and_pin  # type: ignore[method-assign]
    try:
        for _ in range(4):
            bench.run()
        lying = files(bench.root)
    finally:
        subprocess.run(["chattr", "-i", folder], check=True)
    bench.run()

    assert {b"bucket/folder/file": b"one"} == lying
    assert 1 == len(archives(bench))
    assert {} == files(bench.root)


def test_client_that_mirrors_is_counted_and_named(bench: Bench) -> None:
    """A client that uploads again what vanished is archived as it asks, and the warning says how often it is paid for."""
    tallies = []
    for _ in range(3):
        bench.drop("folder/mirrored", b"the same")
        bench.drop("folder/new", os.urandom(8))
        tallies.append(bench.run())
    events = [event for event in bench.told("redelivered") if isinstance(event, Redelivered)]

    assert [1, 1] == [event.files for event in events]
    assert [0, 1, 1] == [tally.redelivered for tally in tallies]
    assert 3 == len(archives(bench))


def test_same_bytes_under_another_key_are_no_redelivery(bench: Bench) -> None:
    """Equal files of different names, and a name with new bytes, are what people drop: nothing is said."""
    for number in range(3):
        bench.drop(f"copy-{number}", b"the same")
        bench.drop("log", bytes([number]))
        bench.run()

    assert [] == bench.told("redelivered")


def test_bind_mounted_customers_have_quarantines_of_their_own(make: Make, tmp_path: Path) -> None:
    """A bucket folder that is its own mount is emptied through a quarantine on that mount, once, and nothing is left there."""
    with bind_mount(tmp_path / "customer", tmp_path / "zone/bucket"):
        bench = make()
        bench.drop("folder/file", b"one")
        bench.drop("plain", b"two", bucket="other")
        for _ in range(3):
            bench.run()
        quarantines = [path for path in (tmp_path / "zone/bucket", tmp_path / "zone") if S3BATCH_QUARANTINE in _names(path)]

        assert {b"folder/file": 1, b"plain": 1} == bench.found()
        assert 2 == len(archives(bench))
        assert {} == files(bench.root)
        assert 2 == len(quarantines)


def _names(folder: Path) -> list[bytes]:
    return os.listdir(os.fsencode(folder))


def test_dead_mount_of_one_customer_holds_up_nobody_else(make: Make, tmp_path: Path) -> None:
    """A bucket folder whose filesystem answers with errors only is held: at the start, and when it dies between two passes."""
    with dead_mount(tmp_path / "zone/other"):
        bench = make()
        bench.drop("before")
        first = bench.run()
    alive = bench.run()
    with dead_mount(tmp_path / "zone/other"):
        bench.drop("after")
        second = bench.run()

    assert [(1, 1), (0, 0), (1, 1)] == [(tally.released, tally.left.total()) for tally in (first, alive, second)]


def test_mount_below_a_bucket_folder_is_left_alone(make: Make, tmp_path: Path) -> None:
    """A mount deeper than a bucket's own folder could not be emptied by a rename: held, and never archived."""
    with bind_mount(tmp_path / "elsewhere", tmp_path / "zone/bucket/deeper"):
        bench = make()
        bench.drop("deeper/file", b"one")
        bench.drop("plain", b"two")
        tally = bench.run()

        assert {b"plain": 1} == bench.found()
        assert 1 == tally.left["mount"]
        assert {b"bucket/deeper/file": b"one"} == files(bench.root)


def test_nothing_below_the_reserved_prefix_is_archived(bench: Bench) -> None:
    """A manifest forged in the drop zone never reaches the bucket's reserved prefix."""
    for turn in range(2):
        bench.drop(f"s3-batch/manifests/bucket/2026/01/0{turn + 1}/forged.json.gz", b"forged")
        bench.run()

    assert [] == bench.store.keys("bucket")
    assert {} == bench.found()
