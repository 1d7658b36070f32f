"""A moto server for the tests of this room."""

from __future__ import annotations

from tests.doubles.moto_server import _moto_running, moto

__all__ = ["_moto_running", "moto"]
