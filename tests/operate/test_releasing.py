"""What fails a release on this host is told in a sentence, and is no mistake of ours to be reported."""

from __future__ import annotations

import errno
import os
from concurrent.futures import BrokenExecutor
from typing import NoReturn

import pytest

from s3sync.errors import Transient
from tests.dropzone.zones import PROOF
from tests.operate.conftest import Host


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
        (BrokenExecutor("killed"), "a process that removes originals ended early"),
    ],
)
def test_a_release_that_fails_here_passes(host: Host, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    """The disk of the drop zone, or a process: the next pass goes on with the batch."""

    def fails(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr("s3batch.app.release", fails)
    with host.app() as app, pytest.raises(Transient) as told:
        app._release("batch", [], PROOF)

    assert said in told.value.wrong
    assert "next pass" in told.value.hint
