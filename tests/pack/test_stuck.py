"""An original that could not even be given back stays in its slot, and is never taken for another one of its batch."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import NoReturn

import pytest

from s3sync.dropzone.slots import Slots
from tests.pack.conftest import Make
from tests.support import files


def _no_room(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_stuck_in_quarantine_never_gets_another_ones_name(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file of a batch is stuck in its slot, another could not be removed: trying that again leaves the first alone."""
    bench = make()
    changed, pinned = bench.drop("folder/a-changed", b"1234"), bench.drop("folder/b-pinned", b"5678")
    times, put = changed.stat(), bench.store.put

    def put_and_interfere(*args: object, **kwargs: object) -> None:
        put(*args, **kwargs)  # type: ignore[arg-type]
        changed.write_bytes(b"4321")
        os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
        if subprocess.run(["chattr", "+i", pinned], check=False, capture_output=True).returncode:
            pytest.skip("no chattr, or no right to use it here")

    bench.store.put = put_and_interfere  # type: ignore[method-assign]
    try:
        with monkeypatch.context() as full:
            full.setattr(Slots, "_back", _no_room)
            full.setattr(Slots, "_displace", _no_room)
            bench.run()
        bench.store.put = put  # type: ignore[method-assign]
        stuck = files(bench.root)
        bench.run()
        again = files(bench.root)
    finally:
        subprocess.run(["chattr", "-i", pinned], check=False, capture_output=True)
    started_again = make()
    for _ in range(3):
        started_again.run()

    assert stuck == again
    assert [b"4321", b"5678"] == sorted(content for path, content in stuck.items() if not path.endswith(b"/origins"))
    assert ({}, {b"folder/a-changed": 2, b"folder/b-pinned": 1}) == (files(bench.root), started_again.found())
