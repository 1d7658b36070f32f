"""A disk that cannot read some of the files any more: those stay where they are and are named, the others get through."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from s3sync.errors import Exit
from tests.doubles.moto_server import MotoServer
from tests.hostile.host import Host
from tests.support import files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that fails reads, see `eio.c`."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc or gcc)")
    library = tmp_path_factory.mktemp("eio") / "eio.so"
    source = Path(__file__).with_name("eio.c")
    subprocess.run([compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def test_file_that_cannot_be_read_stays_and_the_others_go(tmp_path: Path, moto: MotoServer, shim: Path) -> None:
    """Reading fails while the archive is built: that file is cut out of it, named, and archived once the disk is mended."""
    host = Host(tmp_path, moto)
    for number in range(4):
        host.drop(f"day/good-{number}", os.urandom(3000))
    bad = host.drop("day/bad-sector", os.urandom(3000))
    broken = {"LD_PRELOAD": str(shim), "EIO_IN": "bad-sector"}
    first, second = (host.one_pass(S3BATCH_LOG_LEVEL="debug", **broken) for _ in range(2))
    lying, archives = files(host.zone), host.archives()
    mended = host.one_pass()

    assert (4, 1) == (first.summary["files"], first.summary["left"]), first.said
    assert {b"bucket/day/bad-sector"} == set(lying)
    assert "bad-sector" in first.err
    assert (0, 1) == (second.summary["files"], len(archives))
    assert (Exit.DONE, 1, {}) == (mended.code, mended.summary["files"], files(host.zone))
    assert not bad.exists()
