"""What tests with real clients share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.clients import end_all
from tests.live.parts import LiveParts


@pytest.fixture(autouse=True)
def _clients_end_with_their_test() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture
def asyncssh(live_parts: LiveParts) -> Path:
    """The folder that has asyncssh, for a program's PYTHONPATH."""
    return live_parts.path("asyncssh")
