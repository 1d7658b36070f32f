"""The unit files as the tests read them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "systemd"
INSTALLED = "/opt/s3batch/bin"
"""Where the units look for the programs."""

UNITS = sorted(FOLDER.iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


def directives(unit: Path) -> list[tuple[str, str]]:
    """Return what a unit says, in order, its comments left out."""
    lines = (line.strip() for line in unit.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and line[0] not in "#[")
    return [(name, value) for name, _, value in pairs]


def values(unit: Path, name: str) -> list[str]:
    """Return the values a unit gives one directive."""
    return [value for each, value in directives(unit) if each == name]
