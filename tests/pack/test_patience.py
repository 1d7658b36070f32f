from __future__ import annotations

from pathlib import Path

from s3batch.pack.patience import Patience
from s3batch.pack.spool import Spool


def said(signs: list[str], sign: str) -> bool:
    """Note who asks; nobody is to stop."""
    signs.append(sign)
    return False


def test_a_worker_that_writes_is_a_sign_of_life_and_one_that_does_not_is_none(tmp_path: Path) -> None:
    """Who waits for a build asks as one who works only where the spool has grown since the last look."""
    signs: list[str] = []
    spool = Spool(tmp_path / "spool", 1 << 20)
    patience = Patience(spool, stopping=lambda: said(signs, "at work"), asked=lambda: said(signs, "waiting"))
    tar = spool.folder("batch") / "archive.tar"
    tar.parent.mkdir()
    patience()
    tar.write_bytes(b"some")
    patience()
    patience()
    tar.write_bytes(b"some more")
    patience()

    assert ["at work", "at work", "waiting", "at work"] == signs


def test_a_spool_that_has_gone_is_no_sign_of_life(tmp_path: Path) -> None:
    """Where nothing can be seen, nothing gets on."""
    signs: list[str] = []
    spool = Spool(tmp_path / "spool", 1 << 20)
    patience = Patience(spool, stopping=lambda: said(signs, "at work"), asked=lambda: said(signs, "waiting"))
    patience()
    spool.root.rmdir()
    patience()

    assert ["at work", "waiting"] == signs
