"""The server that stands behind the cold front in these tests."""

from __future__ import annotations

import pytest

from tests.doubles.cold_front import S3Server
from tests.live.parts import PARTS, LiveParts


@pytest.fixture
def server(request: pytest.FixtureRequest, live_parts: LiveParts) -> tuple[str, S3Server]:
    """The real one where it can be had, and moto elsewhere; with what it is called."""
    if live_parts.reason("versitygw") is None:
        return PARTS["versitygw"].label, request.getfixturevalue("versitygw")
    return "s3(moto)", request.getfixturevalue("moto")
