from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync.errors import Mismatch
from s3sync.store.checksum import READ_BYTES, Crc64Nvme, crc64nvme_base64, of_fd


def test_it_is_the_checksum_s3_shows() -> None:
    """The catalogue of CRCs gives AE8B14860A799888 for the nine digits, and zero for nothing."""
    running = Crc64Nvme()
    running.update(b"123456789")

    assert 0xAE8B14860A799888 == running.value
    assert "rosUhgp5mIg=" == running.base64()
    assert "AAAAAAAAAAA=" == crc64nvme_base64(b"")


@given(st.lists(st.binary(max_size=300)))
def test_pieces_give_the_checksum_of_the_whole(pieces: list[bytes]) -> None:
    """However the bytes come, the value is that of all of them."""
    running = Crc64Nvme()
    for piece in pieces:
        running.update(memoryview(bytearray(piece)))

    assert crc64nvme_base64(b"".join(pieces)) == running.base64()


def test_a_copy_goes_its_own_way() -> None:
    """What is cut back out of an archive continues from the copy taken before it."""
    running = Crc64Nvme()
    running.update(b"kept")
    copy = running.copy()
    running.update(b"dropped")
    copy.update(b" and more")

    assert crc64nvme_base64(b"kept and more") == copy.base64()
    assert copy.value == Crc64Nvme.from_value(copy.value).value


@pytest.mark.parametrize("size", [0, 1, READ_BYTES - 1, READ_BYTES, 2 * READ_BYTES + 7])
def test_a_file_is_read_without_moving_its_position(tmp_path: Path, size: int) -> None:
    """The checksum is that of the stretch, and the descriptor stands where it stood."""
    path = tmp_path / "file"
    data = os.urandom(size)
    path.write_bytes(b"before" + data + b"after")
    with path.open("rb") as file:
        file.seek(3)

        assert crc64nvme_base64(data) == of_fd(file.fileno(), size, offset=6).base64()
        assert 3 == os.lseek(file.fileno(), 0, os.SEEK_CUR)


def test_a_file_that_ends_early_is_a_mismatch(tmp_path: Path) -> None:
    """A checksum of fewer bytes than asked for is never given."""
    path = tmp_path / "file"
    path.write_bytes(b"four")
    with path.open("rb") as file, pytest.raises(Mismatch, match="ends after 4 of 5 bytes"):
        of_fd(file.fileno(), 5)


def test_importing_it_brings_in_nothing_heavy() -> None:
    """Every worker process imports it."""
    code = "import sys, s3sync.store.checksum; print(*sorted({'boto3', 'botocore', 'urllib3', 'ssl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "" == done.stdout.strip()
