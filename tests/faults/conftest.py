"""What the tests over the cold front share: the server behind it, and a quick folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.cold_front import S3Server
from tests.live.parts import PARTS, LiveParts


@pytest.fixture
def server(request: pytest.FixtureRequest, live_parts: LiveParts) -> tuple[str, S3Server]:
    """The real one where it can be had, and moto elsewhere; with what it is called."""
    if live_parts.reason("versitygw") is None:
        return PARTS["versitygw"].label, request.getfixturevalue("versitygw")
    return "s3(moto)", request.getfixturevalue("moto")


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder in memory where there is one: a thousand programs flush their journals, and nothing here is about power cuts."""
    memory = "/dev/shm"
    usable = os.path.isdir(memory) and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(prefix="s3batch-", dir=memory if usable else None) as folder:
        yield Path(folder)
