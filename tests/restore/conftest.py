from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.restore.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A world of its own for each test."""
    state = tmp_path / "house"
    state.mkdir()
    made = House(state)
    yield made
    made.close()
