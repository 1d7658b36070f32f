"""An archive that somebody removes from S3 while its originals wait to be released: they are the last copy, and stay."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator

import pytest

from s3batch.pack.lifecycle import State
from s3batch.pack.steps import Steps
from s3batch.pack.unreleased import AGAIN
from s3sync.dropzone.chunks import Sleep
from s3sync.dropzone.release import ReleaseReport, release
from s3sync.dropzone.slots import Original
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Transient
from s3sync.events import StepFailed
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.store.proof import Proof
from tests.pack.conftest import Bench
from tests.support import files

STEP = {State.STORED: "manifested", State.MANIFESTED: "catalogued", State.CATALOGUED: "released"}
"""The step that fails, so that the batch waits in that state."""


def _archive(bench: Bench) -> ObjectRef:
    (key,) = [key for key in bench.store.keys("bucket") if key.endswith(".tar")]
    return ObjectRef("bucket", key)


def _manifest(bench: Bench) -> ObjectRef:
    (key,) = [key for key in bench.store.keys("bucket") if key.endswith(".json.gz")]
    return ObjectRef("bucket", key)


def _move(bench: Bench, ref: ObjectRef, storage_class: StorageClass) -> None:
    """Do what a lifecycle rule does."""
    kept = bench.store.head(ref)
    assert kept is not None
    content = bench.store.data(ref)
    bench.store.delete(ref)
    bench.store.seed(ref, content, storage_class=storage_class, metadata=kept.metadata)


def _told(bench: Bench) -> list[str]:
    return [event.wrong for event in bench.told("step_failed") if isinstance(event, StepFailed) and "gone" in event.wrong]


def _broken(_steps: Steps, *_: object, **__: object) -> None:
    raise Transient("the disk", "is busy")


@pytest.fixture(params=STEP)
def waiting(bench: Bench, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench with one stored batch, which waits in each of the states that come after."""
    bench.drop("folder/file", b"the last copy")
    with monkeypatch.context() as broken:
        broken.setattr(Steps, STEP[request.param], _broken)
        bench.run()
    assert [request.param] == [recorded.state for recorded in bench.journal.unfinished()]
    return bench


def test_originals_of_an_archive_that_has_gone_are_archived_again(waiting: Bench) -> None:
    """Its proof lets nothing go any more: the batch is given up, which is told, and the next one takes the files."""
    waiting.store.delete(_archive(waiting))
    tally = waiting.run()
    lying = files(waiting.root)
    again = waiting.run()

    assert ({b"bucket/folder/file": b"the last copy"}, 1) == (lying, len(tally.errors))
    assert 1 == len(_told(waiting))
    assert ({}, 1) == (files(waiting.root), again.files)
    assert b"the last copy" in waiting.store.data(_archive(waiting))
    assert [] == list(waiting.spool.root.iterdir())


def test_archive_that_became_another_lets_nothing_go(waiting: Bench) -> None:
    """Whatever lies under its key now is not what was proved; nothing is archived again either until somebody has looked."""
    archive = _archive(waiting)
    waiting.store.delete(archive)
    waiting.store.seed(archive, b"another", storage_class=StorageClass.DEEP_ARCHIVE)
    tallies = [waiting.run() for _ in range(2)]

    assert {b"bucket/folder/file": b"the last copy"} == files(waiting.root)
    assert [1, 1] == [len(tally.errors) for tally in tallies]
    assert [0, 0] == [tally.archives for tally in tallies]


def test_archive_that_a_rule_moved_to_another_class_is_still_there(waiting: Bench) -> None:
    """A lifecycle rule changes the class and nothing else."""
    _move(waiting, _archive(waiting), StorageClass.GLACIER)
    tally = waiting.run()

    assert ([], 1, {}) == (tally.errors, tally.released, files(waiting.root))


described = pytest.mark.parametrize("waiting", [State.MANIFESTED, State.CATALOGUED], indirect=True)
"""A bench whose batch has a manifest by now."""


@described
def test_manifest_that_has_gone_is_stored_again_before_an_original_goes(waiting: Bench) -> None:
    """Without it nobody but this host would know what the archive holds."""
    content = waiting.store.data(_manifest(waiting))
    waiting.store.delete(_manifest(waiting))
    tally = waiting.run()

    assert ([], 1, {}) == (tally.errors, tally.released, files(waiting.root))
    assert content == waiting.store.data(_manifest(waiting))


@described
def test_manifest_that_became_another_lets_nothing_go(waiting: Bench) -> None:
    """Nothing of anybody's is replaced; a person has to look."""
    manifest = _manifest(waiting)
    waiting.store.delete(manifest)
    waiting.store.seed(manifest, b"another", storage_class=StorageClass.STANDARD)
    tallies = [waiting.run() for _ in range(2)]

    assert {b"bucket/folder/file": b"the last copy"} == files(waiting.root)
    assert [1, 1] == [len(tally.errors) for tally in tallies]
    assert b"another" == waiting.store.data(manifest)


@described
def test_manifest_that_a_rule_moved_to_another_class_is_still_there(waiting: Bench) -> None:
    """A lifecycle rule changes the class and nothing else."""
    _move(waiting, _manifest(waiting), StorageClass.STANDARD_IA)
    tally = waiting.run()

    assert ([], 1, {}) == (tally.errors, tally.released, files(waiting.root))


@pytest.fixture
def let_go(bench: Bench) -> Iterator[Callable[[], object]]:
    """Have a file archived that cannot be removed; what is yielded lets it go."""
    place = bench.drop("file", b"the last copy")
    put = bench.store.put

    def put_and_pin(*args: object, **kwargs: object) -> None:
        put(*args, **kwargs)  # type: ignore[arg-type]
        if subprocess.run(["chattr", "+i", place], check=False, capture_output=True).returncode:
            pytest.skip("no chattr, or no right to use it here")

    bench.store.put = put_and_pin  # type: ignore[method-assign]
    try:
        bench.run()
        bench.store.put = put  # type: ignore[method-assign]
        assert 1 == len(bench.unreleased.all())
        yield lambda: subprocess.run(["chattr", "-i", place], check=True)
    finally:
        subprocess.run(["chattr", "-i", place], check=False, capture_output=True)


def test_file_that_could_not_be_removed_is_archived_again_where_its_archive_has_gone(
    bench: Bench, let_go: Callable[[], object]
) -> None:
    """Months may lie between an archive and the day its original can be removed."""
    bench.store.delete(_archive(bench))
    pinned = bench.run()
    let_go()
    bench.run()

    assert (1, 0, 1) == (len(pinned.errors), pinned.archives, pinned.left["immutable"])
    assert 1 == len(_told(bench))
    assert {} == files(bench.root)
    assert b"the last copy" in bench.store.data(_archive(bench))


def test_file_whose_archive_became_another_stops_nobody_else(bench: Bench, let_go: Callable[[], object]) -> None:
    """That concerns one archive: the bucket goes on."""
    archive = _archive(bench)
    bench.store.delete(archive)
    bench.store.seed(archive, b"another", storage_class=StorageClass.DEEP_ARCHIVE)
    bench.drop("other file")
    tally = bench.run()
    lying = files(bench.root)
    let_go()

    assert ({b"bucket/file": b"the last copy"}, 1, 1) == (lying, tally.files, len(tally.errors))


def test_file_that_could_not_be_removed_stays_while_s3_cannot_be_asked(bench: Bench, let_go: Callable[[], object]) -> None:
    """Without an answer nothing goes; with one, it does."""
    let_go()
    bench.faulty.on("head").fail(Transient("bucket", "does not answer"))
    bench.run()
    lying = files(bench.root)
    bench.run()

    assert {b"bucket/file": b"the last copy"} == lying
    assert {} == files(bench.root)
    assert b"the last copy" in bench.store.data(_archive(bench))


def test_file_that_could_not_be_removed_stays_where_the_manifest_has_gone(bench: Bench, let_go: Callable[[], object]) -> None:
    """It is told of, and not paid for again: the catalogue can store the manifest anew."""
    content = bench.store.data(_manifest(bench))
    kept = bench.store.head(_manifest(bench))
    assert kept is not None
    bench.store.delete(_manifest(bench))
    without = bench.run()
    bench.store.seed(kept.ref, content, storage_class=StorageClass.STANDARD, metadata=kept.metadata)
    let_go()
    bench.run()

    assert (1, 0, 1) == (len(without.errors), without.archives, without.left["unreleasable"] + without.left["immutable"])
    assert 1 == len([event for event in bench.told("step_failed") if "s3batch manifests" in getattr(event, "hint", "")])
    assert {} == files(bench.root)


def test_removal_tried_again_that_fails_holds_up_nobody_else(
    bench: Bench, let_go: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk cannot be flushed, or its worker dies at every pass: that is told, and what others dropped is archived."""

    def fails_again(zone: DropZone, batch: str, originals: Iterable[Original], proof: Proof, *, sleep: Sleep) -> ReleaseReport:
        if batch.endswith(AGAIN):
            raise Transient("batch", "a process ended early")
        return release(zone, batch, originals, proof, sleep=sleep)

    monkeypatch.setattr("tests.pack.conftest.release", fails_again)
    bench.drop("another", bucket="other")
    tally = bench.run()
    let_go()

    assert (1, 1) == (tally.released, len(tally.errors))
    assert ["release"] == [event.step for event in bench.told("step_failed") if isinstance(event, StepFailed)]
