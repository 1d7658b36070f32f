"""Full, failing and vanishing disks below the packing agent: nothing is lost, and what fits goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from s3batch.catalogue import manifest
from s3batch.pack import build as building
from s3batch.pack.events import BatchAbandoned, SpoolFull
from s3batch.pack.planner import Limits
from s3batch.pack.workers import InLine
from s3sync.errors import Preflight, Transient
from tests.hostile.disks import PAGE, small_disk
from tests.pack.conftest import Bench, Make
from tests.support import files

CONTENTS = {f"day/{number}.bin": bytes([number]) * 3000 for number in range(5)}


def left(bench: Bench) -> dict[bytes, bytes]:
    """Return what lies in the drop zone."""
    return files(bench.root)


def archived_once(bench: Bench) -> dict[bytes, int]:
    """Return what is expected of the catalogue when every file of `CONTENTS` was archived once."""
    return dict.fromkeys(map(os.fsencode, CONTENTS), 1)


@pytest.mark.parametrize("pages", range(1, 14))
def test_spool_disk_of_any_size_loses_nothing(make: Make, tmp_path: Path, pages: int) -> None:
    """However small the spool's disk is, files stay or are archived whole; when it has grown, all of them are, once."""
    with small_disk(tmp_path / "spool", pages * PAGE) as disk:
        bench = make()
        for key, content in CONTENTS.items():
            bench.drop(key, content)
        bench.run()
        lying = left(bench)
        assert len(lying) + len(bench.found()) == len(CONTENTS)
        disk.resize(1 << 20)
        bench.run()
        bench.run()

        assert {} == left(bench)
        assert archived_once(bench) == bench.found()
        assert [] == os.listdir(bench.spool.root)


def test_full_spool_disk_is_named_with_the_bytes_it_lacks(make: Make, tmp_path: Path) -> None:
    """Where the spool's disk cannot hold a batch, the warning names the folder and the bytes; smaller batches go on."""
    with small_disk(tmp_path / "spool", 16 * PAGE):
        bench = make()
        bench.drop("large/file", bytes(100_000))
        bench.drop("small/file", bytes(100))
        tally = bench.run()
        (event,) = bench.told("spool_full")

        assert {b"small/file": 1} == bench.found()
        assert {b"bucket/large/file": bytes(100_000)} == left(bench)
        assert isinstance(event, SpoolFull)
        assert (str(bench.spool.root), True) == (event.folder, event.needed_bytes > 100_000)
        assert 1 == tally.left["spool_full"]


@pytest.mark.parametrize("call", ["mkdir", "pwrite", "write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_disk_that_fails_while_building_abandons_the_batch_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """A quota or a disk that gives out while an archive is built costs the batch, told with folder and bytes; no file."""
    for key, content in CONTENTS.items():
        bench.drop(key, content)
    with monkeypatch.context() as failing:
        _fail_in_build(failing, call, code)
        bench.run()
    (abandoned,) = bench.told("batch_abandoned")
    lying, spooled = left(bench), os.listdir(bench.spool.root)
    bench.run()

    assert isinstance(abandoned, BatchAbandoned)
    assert str(bench.spool.root) in abandoned.why
    assert re.search(r"\d+ bytes", abandoned.why)
    assert os.strerror(code) in abandoned.why
    assert (len(CONTENTS), []) == (len(lying), spooled)
    assert archived_once(bench) == bench.found()


def _fail_in_build(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    """Let `os.<call>` fail once while a batch is built."""
    real_build, real = building.build, getattr(os, call)
    struck: list[bool] = []

    def fail(*args: object, **kwargs: object) -> object:
        if struck:
            return real(*args, **kwargs)
        struck.append(True)
        raise OSError(code, os.strerror(code))

    def build(job: building.BuildJob) -> building.Built:
        with monkeypatch.context() as inner:
            inner.setattr(os, call, fail)
            return real_build(job)

    monkeypatch.setattr("s3batch.pack.workers.InLine.__init__.__defaults__", (build,))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_disk_that_is_full_when_the_manifest_is_written(bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """One line that names the spool; the tar, which is in S3, makes room; the next pass goes on, and pays for nothing again."""
    bench.drop("file")

    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as failing:
        failing.setattr(manifest, "write", full)
        (failure,) = bench.run().errors
    lying, tars = left(bench), list(bench.spool.root.glob("*/archive.tar"))
    bench.run()

    assert f"cannot be written into the spool {bench.spool.root}: {os.strerror(code)}" in str(failure)
    assert ({b"bucket/file": b"content"}, []) == (lying, tars)
    assert ({}, {b"file": 1}) == (left(bench), bench.found())
    assert 2 == len(bench.store.keys("bucket"))


def test_worker_that_cannot_be_started_ends_no_pass(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the host has no process or descriptor left for a worker, the pass ends, and the next one builds."""
    bench.drop("file")
    with monkeypatch.context() as exhausted:
        exhausted.setattr(InLine, "submit", _no_worker)
        tally = bench.run()
    again = bench.run()

    assert ([OSError], 1) == ([type(failure.__cause__) for failure in tally.errors], again.files)
    assert [] == os.listdir(bench.spool.root)


def _no_worker(_builders: InLine, _job: building.BuildJob) -> NoReturn:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_state_disk_of_any_size_loses_nothing(make: Make, tmp_path: Path) -> None:
    """Wherever the journal's or the catalogue's disk gives out, no file is lost, and when it has grown all are archived."""
    with small_disk(tmp_path / "state", 1 << 20) as disk:
        bench = make(state=tmp_path / "state")
        for round_ in range(12):
            for key, content in CONTENTS.items():
                bench.drop(f"{round_}/{key}", content)
            used = _used(tmp_path / "state")
            disk.resize(used + round_ * PAGE)
            with contextlib.suppress(Transient):
                bench.run()
            assert len(left(bench)) + len(bench.found()) >= (round_ + 1) * len(CONTENTS)
        disk.resize(8 << 20)
        bench.run()
        bench.run()

        assert {} == left(bench)
        assert 12 * len(CONTENTS) == len(bench.found())
        assert {1} == set(bench.found().values())


def _used(place: Path) -> int:
    seen = os.statvfs(place)
    return (seen.f_blocks - seen.f_bfree) * seen.f_frsize


def test_backlog_of_ten_spools_never_exceeds_the_limit(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog ten times the spool's limit goes through it, and the bytes lying there never exceed the limit."""
    limit = 100_000
    bench = make(spool_limit=limit, limits=Limits(max_bytes=40_000, max_members=10, max_age_ns=10**18, quiet_ns=60 * 10**9))
    for number in range(100):
        bench.drop(f"{number:03}", bytes(10_000))
    highest = 0

    def watch(real: Callable[..., object]) -> Callable[..., object]:
        def watched(*args: object, **kwargs: object) -> object:
            nonlocal highest
            done = real(*args, **kwargs)
            highest = max(highest, sum(map(len, files(bench.spool.root).values())))
            return done

        return watched

    for call in ("pwrite", "write", "fsync"):
        monkeypatch.setattr(os, call, watch(getattr(os, call)))
    bench.run()
    bench.run()

    assert {} == left(bench)
    assert 100 == len(bench.found())
    assert 0 < highest <= limit


@pytest.mark.parametrize("failure", [Transient("bucket", "KMS does not answer"), Transient("bucket", "slow down")])
def test_refusing_bucket_does_not_fill_the_spool_others_need(make: Make, failure: Transient) -> None:
    """A bucket whose uploads fail gives its room in the spool back when others need it, and loses nothing by that."""
    bench = make(spool_limit=30_000)
    bench.drop("first", bytes(20_000), bucket="bucket")
    bench.drop("second", bytes(20_000), bucket="other")
    bench.faulty.on("put").fail(failure)
    bench.run()
    bench.run()
    bench.run()

    assert {b"first": 1, b"second": 1} == bench.found()
    assert {} == left(bench)


def test_other_buckets_go_on_in_the_very_pass_one_fills_the_spool(make: Make) -> None:
    """While one bucket refuses for days, the others are archived at every pass although the spool has room for one batch."""
    bench = make(spool_limit=30_000)
    bench.faulty.on("put").fail(Transient("bucket", "KMS does not answer"), times=1)
    bench.drop("first", bytes(20_000), bucket="bucket")
    bench.drop("second", bytes(20_000), bucket="other")
    bench.run()

    assert {b"second": 1} == bench.found()
    assert [b"bucket/first"] == [*left(bench)]


def test_spool_removed_while_running(bench: Bench) -> None:
    """A spool that goes while the agent lives is named; with it back, everything is archived."""
    bench.drop("file")
    bench.spool.root.rmdir()
    with pytest.raises(Transient, match=re.escape(f"spool {bench.spool.root}: cannot be used: No such file or directory")):
        bench.run()
    bench.spool.root.mkdir(0o700)

    assert 1 == bench.run().files


def test_drop_zone_removed_and_made_again_while_running(bench: Bench, tmp_path: Path) -> None:
    """An agent whose drop zone is another folder by now says so and ends, instead of looking at the old one for ever."""
    bench.root.rename(tmp_path / "aside")
    bench.drop("file")
    with pytest.raises(Preflight, match="is not the folder any more"):
        bench.run()
    (tmp_path / "elsewhere").mkdir()
    bench.root.rename(tmp_path / "elsewhere/zone")
    with pytest.raises(Preflight, match="is not the folder any more"):
        bench.run()


@pytest.mark.parametrize("database", ["journal.db", "catalogue.db"])
def test_state_removed_while_running(make: Make, tmp_path: Path, database: str) -> None:
    """A database that is removed while the agent lives is written to no more; started again, the agent archives everything."""
    bench = make()
    bench.drop("file")
    for file in tmp_path.glob(f"{database}*"):
        file.unlink()
    with contextlib.suppress(Preflight):
        bench.run()
    lying = left(bench)
    again = make()
    again.run()
    again.run()

    assert {b"bucket/file": b"content"} == lying
    assert {} == left(again)
    assert [b"file"] == [*again.found()]


def test_original_that_cannot_be_compared_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chmod makes it doubtful, and reading it fails: kept and told, not archived again, removed when it can be read."""
    place, put, pread = bench.drop("file"), bench.store.put, os.pread

    def put_and_chmod(*args: object, **kwargs: object) -> None:
        put(*args, **kwargs)  # type: ignore[arg-type]
        place.chmod(0o640)

    def failing(fd: int, size: int, offset: int) -> bytes:
        if ".s3batch-quarantine" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, size, offset)

    bench.store.put = put_and_chmod  # type: ignore[method-assign]
    with monkeypatch.context() as broken:
        broken.setattr(os, "pread", failing)
        bench.run()
        bench.run()
    lying, reasons = place.exists(), [one.reason for one in bench.unreleased.all()]
    bench.run()

    assert (lying, reasons) == (True, ["io_error"])
    assert ({}, {b"file": 1}) == (left(bench), bench.found())


def test_batches_that_go_while_the_spool_is_weighed(bench: Bench) -> None:
    """Batches end beside the planning all the time: a folder that goes between two looks ends no pass."""
    ended = threading.Event()

    def come_and_go(number: int) -> None:
        folder = bench.spool.root / f"batch-{number}"
        while not ended.is_set():
            folder.mkdir()
            (folder / "archive.tar").write_bytes(b"x")
            shutil.rmtree(folder)

    with ThreadPoolExecutor(3) as batches:
        going = [batches.submit(come_and_go, number) for number in range(3)]
        try:
            for _ in range(300):
                assert bench.spool.has_room(1)
        finally:
            ended.set()

    assert [None] * 3 == [one.result() for one in going]
