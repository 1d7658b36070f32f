"""The packing agent over a strict simulator, for drop zones and disks that mean it ill."""

from __future__ import annotations

from tests.pack.conftest import bench, make

__all__ = ["bench", "make"]
