"""Killed before any rename, removal or new folder, a release leaves nothing that its repetition does not put right."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from s3sync.dropzone.recover import RecoverReport, recover
from s3sync.dropzone.release import release
from s3sync.dropzone.slots import Original
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.dropzone.zone import DropZone
from tests.dropzone.zones import PROOF, REPOSITORY, no_sleep, originals
from tests.support import assert_tree, tree

RELEASE = """
import pickle, sys
from pathlib import Path
from s3sync.dropzone.release import release
from s3sync.dropzone.zone import DropZone
from tests.dropzone.zones import PROOF, no_sleep
members = pickle.loads(Path(sys.argv[2]).read_bytes())
with DropZone.open(Path(sys.argv[1])) as zone:
    release(zone, "batch", members, PROOF, sleep=no_sleep)
"""

CHANGED = "written after it was archived"


@cache
def _may_trace() -> bool:
    try:
        return subprocess.run(["strace", "-e", "trace=none", "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _killed(root: Path, members: list[Original], call: str, number: int) -> bool:
    """Run the release and kill it before its `number`-th `call`; tell whether there was one."""
    notes = root.parent / "members"
    notes.write_bytes(pickle.dumps(members))
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    command = [*inject, sys.executable, "-B", "-c", RELEASE, str(root), str(notes)]
    return subprocess.run(command, check=False, cwd=REPOSITORY, timeout=60).returncode != 0


@pytest.mark.skipif(not _may_trace(), reason="no strace, or no right to trace here")
@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("call", ["renameat2", "unlinkat", "mkdirat"])
def test_a_killed_release_loses_nothing(tmp_path: Path, call: str, knows: bool) -> None:
    """Whether the batch is repeated, or was forgotten and is given back; a changed file survives either way."""
    ignore_lease_signals()
    for number in range(1, 20):
        root = tmp_path / f"{number}/root"
        tree(root, {"bucket/a": {"1": "one", "2": "two", "3": "three"}})
        members = originals(root, b"bucket/a/1", b"bucket/a/2", b"bucket/a/3")
        (root / "bucket/a/2").write_text(CHANGED)
        if not _killed(root, members, call, number):
            break
        with DropZone.open(root) as zone:
            if knows:
                assert RecoverReport((), ()) == recover(zone, {"batch"})
                release(zone, "batch", members, PROOF, sleep=no_sleep)
                assert_tree(root, {"bucket/a/2": CHANGED})
            else:
                recover(zone, set())
                left = {path.name: path.read_text() for path in (root / "bucket/a").iterdir()}
                assert CHANGED == left.pop("2")
                assert left.items() <= {"1": "one", "3": "three"}.items()
    else:
        pytest.fail("the release never ended by itself")
    assert number > 1
    assert_tree(root, {"bucket/a/2": CHANGED})
