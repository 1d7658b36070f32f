"""A drop zone whose disk uploads have filled to the last byte, or the last file: emptying it is what the agent is for."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from s3sync.errors import Exit
from tests.doubles.moto_server import MotoServer
from tests.hostile.disks import small_ext4
from tests.hostile.host import Host
from tests.support import files

pytestmark = pytest.mark.slow


def _fill(folder: Path, size_bytes: int) -> None:
    """Drop files until not even an empty one can be dropped, or a block be written."""
    number = 0
    while size_bytes >= 0:
        try:
            with (folder / f"{number}").open("wb", buffering=0) as file:
                written = file.write(bytes([number % 251]) * size_bytes)
                full = written != size_bytes
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - that is when it is full
            full = True
        number += 1
        if full:
            size_bytes = size_bytes // 16 if size_bytes >= 16 else -1


FULL = pytest.mark.parametrize(("inodes", "size_bytes"), [(64, 10), (4096, 200_000)], ids=["no more files", "no more bytes"])


@FULL
def test_full_drop_zone_is_emptied(tmp_path: Path, moto: MotoServer, inodes: int, size_bytes: int) -> None:
    """Nothing can be made on the drop zone's disk any more, no probe, no folder, no note; all of it is archived, and goes."""
    with small_ext4(tmp_path / "zone", tmp_path / "image", 8 << 20, inodes=inodes):
        host = Host(tmp_path, moto)
        host.drop("before")
        assert host.one_pass().code == Exit.DONE
        _fill(host.zone / "bucket", size_bytes)
        dropped = len(files(host.zone))
        first, again = host.one_pass(), host.one_pass()

        assert dropped > 20
        assert {} == files(host.zone), first.said + again.said
        assert dropped == first.summary["files"] + again.summary["files"]
        assert {0} == {done.summary["errors"] for done in (first, again)}


@FULL
def test_drop_zone_that_was_full_before_the_agent_came(tmp_path: Path, moto: MotoServer, inodes: int, size_bytes: int) -> None:
    """Without any folder to remove through nothing is archived, or it would be paid for again; with a little room, all is."""
    with small_ext4(tmp_path / "zone", tmp_path / "image", 8 << 20, inodes=inodes):
        host = Host(tmp_path, moto)
        _fill(host.zone / "bucket", size_bytes)
        dropped = len(files(host.zone))
        full = host.one_pass()
        archived = host.archives()
        for number in range(2):
            (host.zone / f"bucket/{number}").unlink()
        first, again = host.one_pass(), host.one_pass()

        assert ({"no_space": dropped}, []) == (full.summary["held"], archived), full.said
        assert {} == files(host.zone), first.said + again.said
        assert dropped - 2 == first.summary["files"] + again.summary["files"]
