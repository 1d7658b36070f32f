"""The wheels of everything the programs need on Debian's Python, as Pipfile.lock has them: installing them needs no network."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from tests.live.fetch import Part, kept, run

HOUSE = Path(__file__).parents[2]
PYTHON = "3.11"
"""Debian 12's."""


def _get(cache: Path) -> Path:
    digest = hashlib.sha256((HOUSE / "Pipfile.lock").read_bytes() + (HOUSE / "pyproject.toml").read_bytes()).hexdigest()[:12]
    return kept(cache, f"wheels-{digest}", _fetch)


def _fetch(into: Path) -> None:
    run([sys.executable, os.fspath(HOUSE / "deploy/package.py"), "--only-fetch", os.fspath(into), "--python", PYTHON])


PART = Part(name="wheelhouse", role="wheels", get=_get)
