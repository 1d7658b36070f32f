"""A catalogue for every test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3batch.catalogue.sqlite import SqliteCatalogue
from tests.catalogue.examples import opened


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[SqliteCatalogue]:
    """Return an empty catalogue."""
    with opened(tmp_path) as made:
        yield made
