"""A batch that is ended without a release gives back, in the same pass, what it has in quarantine: nobody else comes for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from s3batch.pack.steps import Steps
from s3sync.errors import Transient
from s3sync.store.contract import ObjectRef
from tests.dropzone.test_recover import died_after_moving_in
from tests.pack.conftest import Bench
from tests.support import files


def _lose_the_list(bench: Bench) -> None:
    shutil.rmtree(bench.spool.root)
    bench.spool.root.mkdir()


def _lose_the_archive(bench: Bench) -> None:
    (key,) = [key for key in bench.store.keys("bucket") if key.endswith(".tar")]
    bench.store.delete(ObjectRef("bucket", key))


def _broken(_steps: Steps, *_: object, **__: object) -> None:
    raise Transient("the disk", "is busy")


@pytest.fixture
def half_released(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose agent goes on with a batch whose release ended with the first of its two files in quarantine."""
    bench.drop("folder/first", b"first")
    bench.drop("folder/second", b"second")
    with monkeypatch.context() as broken:
        broken.setattr(Steps, "released", _broken)
        bench.run()
    (recorded,) = bench.journal.unfinished()
    died_after_moving_in(bench.root, recorded.reservation.id, b"bucket/folder/first")
    assert not os.path.exists(bench.root / "bucket/folder/first")
    return bench


@pytest.mark.parametrize("lose", [_lose_the_list, _lose_the_archive])
def test_what_a_batch_has_in_quarantine_does_not_stay_there(half_released: Bench, lose: Callable[[Bench], None]) -> None:
    """A long-running agent has no next start: the file is in its place after the pass, counted, and archived by the next."""
    bench = half_released
    lose(bench)
    tally = bench.run()
    lying = files(bench.root)
    again = bench.run()

    assert b"first" == lying.get(b"bucket/folder/first"), lying
    assert 1 == tally.left["changed"]
    assert 1 == len(bench.told("stray_files_swept"))
    assert ({}, 2) == (files(bench.root), tally.files + again.files)
