"""The counter of a sweep: one for all its tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.counter import Counter, build, missing


@pytest.fixture(scope="session")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    """The program under the counter; skipped with the reason where nothing can be counted."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with Counter(build(tmp_path_factory.mktemp("shim"))) as counter:
        yield counter
