"""A moto server for the suites that hold a store to its contract."""

from __future__ import annotations

from tests.doubles.moto_server import _moto_running, moto

__all__ = ["_moto_running", "moto"]
