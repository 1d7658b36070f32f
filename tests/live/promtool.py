"""Prometheus' own checker of metrics and rules, from Debian's package prometheus."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.fetch import Part, Unfetched

if TYPE_CHECKING:
    from tests.live.parts import LiveParts


def _look(_cache: Path) -> Path:
    found = shutil.which("promtool")
    if found is None:
        raise Unfetched("not installed: prometheus")
    return Path(found)


PART = Part(name="promtool", role="promtool", get=_look)


@pytest.fixture
def promtool(live_parts: LiveParts) -> Path:
    """Where promtool is."""
    return live_parts.path("promtool")
