"""A real quota, which no look at the disk's free space foretells: it strikes within a write (EDQUOT)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3sync.errors import Exit
from tests.doubles.moto_server import MotoServer
from tests.hostile.disks import Quota, quota
from tests.hostile.host import Host
from tests.support import files

pytestmark = pytest.mark.slow

SMALL, LARGE = bytes(10_000), bytes(3_000_000)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Quota]:
    """A folder with a quota."""
    with quota(tmp_path / "disk", tmp_path / "image") as found:
        yield found


def test_the_quota_is_one(limited: Quota) -> None:
    """More than the quota cannot be written, whatever the disk has free."""
    limited.limit(500_000)

    with pytest.raises(OSError, match="quota") as refused:
        (limited.place / "file").write_bytes(LARGE)
    assert errno.EDQUOT == refused.value.errno


def test_spool_at_its_quota(tmp_path: Path, moto: MotoServer, limited: Quota) -> None:
    """A batch is abandoned whole and told with folder and bytes, no byte is lost; with room again all is archived once.

    That smaller batches go on in the same pass is not asked for here: the room of an abandoned batch is free only when btrfs
    has committed, seconds after.
    """
    host = Host(tmp_path, moto)
    spool = limited.place / "spool"
    host.settings |= {"S3BATCH_SPOOL": str(spool), "S3BATCH_MAX_BATCH_SIZE": "4MiB"}
    host.drop("large/file", LARGE)
    host.drop("small/file", SMALL)
    limited.limit(1_000_000)
    full = host.one_pass()
    lying = set(files(host.zone))
    limited.limit(None)
    again = host.one_pass()

    assert b"bucket/large/file" in lying
    assert Exit.DONE != full.code
    assert f"spool {spool}, where it needs 300" in full.said
    assert "quota exceeded" in full.said
    assert "Traceback" not in full.said
    assert {} == files(host.zone), again.said
    assert 2 == len(host.archives())


@pytest.mark.long
def test_state_at_its_quota(tmp_path: Path, moto: MotoServer, limited: Quota) -> None:
    """Wherever the journal's or the catalogue's quota strikes: one line, no file lost; with room again all is archived once."""
    host = Host(tmp_path, moto)
    host.state = limited.place / "state"
    host.settings |= {"S3BATCH_STATE": str(host.state), "S3BATCH_SPOOL": str(tmp_path / "spool")}
    host.drop("first", SMALL)
    host.one_pass()
    codes = set()
    for number in range(6):
        host.drop(f"{number}/file", bytes([number]) * 10_000)
        limited.limit(limited.used() + number * 32_768)
        done = host.one_pass()
        codes.add(done.code)
        assert "Traceback" not in done.said
    limited.limit(None)
    host.one_pass()
    last = host.one_pass()
    found = host.run("find", "--json", "file")

    assert len(codes) > 1, codes
    assert {} == files(host.zone), last.said
    assert 6 == found.out.count('"key"'), found.said


@pytest.mark.long
def test_restore_into_a_folder_at_its_quota(tmp_path: Path, moto: MotoServer, limited: Quota) -> None:
    """What does not fit is named and leaves nothing behind; with room again the same request delivers it, in a minute."""
    host = Host(tmp_path, moto)
    host.settings |= {"S3BATCH_STORAGE_CLASS": "STANDARD", "S3BATCH_MAX_BATCH_SIZE": "4MiB"}
    host.drop("large", LARGE)
    host.one_pass()
    limited.limit(1_000_000)
    full = host.run("restore", "s3://bucket/large", "--to", str(limited.place / "back"), "--yes")
    left = files(limited.place)
    limited.limit(None)
    again = host.run("requests", "wait", full.said.partition("request ")[2].split(":")[0].split(" ")[0])

    assert {} == left, full.said
    assert "quota" in full.said.lower()
    assert Exit.DONE == again.code, again.said
    assert {b"back/bucket/large": LARGE} == files(limited.place)
