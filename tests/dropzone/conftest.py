"""What tests of the drop zone share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from s3batch.pack.workers import Workers


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Real processes that remove, two at a time."""
    with Workers(1, 2) as workers:
        yield workers
