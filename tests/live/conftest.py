"""What tests with real clients share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.clients import end_all


@pytest.fixture(autouse=True)
def _clients_end_with_their_test() -> Iterator[None]:
    yield
    end_all()
