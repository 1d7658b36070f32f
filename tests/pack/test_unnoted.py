"""An upload that was begun, and whose id we died before noting: its parts are billed until somebody aborts it, so we do."""

from __future__ import annotations

import pytest

from s3sync.errors import Transient
from tests.pack.conftest import Bench
from tests.support import files

LARGE = b"x" * (9 << 20)
"""Enough to be uploaded in parts."""


def _break_off(_number: int) -> None:
    raise Transient("the line", "is gone")


@pytest.mark.parametrize("lost", [(), ("archive.tar",), ("members",), ("archive.tar", "members")], ids="+".join)
def test_upload_nobody_noted_is_aborted(bench: Bench, lost: tuple[str, ...]) -> None:
    """Whatever became of the spool meanwhile, nothing is left begun, and the file is stored once."""
    bench.drop("a/large", LARGE)
    bench.store.on_part = _break_off
    bench.run()
    (unfinished,) = bench.journal.unfinished()
    batch = unfinished.reservation.id
    bench.journal.note_upload(batch, None)
    for name in lost:
        (bench.spool.folder(batch) / name).unlink()
    bench.store.on_part = lambda _number: None

    bench.run()
    bench.run()

    assert [] == list(bench.store.uploads("bucket", ""))
    assert ({b"a/large": 1}, {}) == (bench.found(), files(bench.root))
