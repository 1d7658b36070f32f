"""`.ci/run`, with nothing behind it: what it comes to is what its steps came to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / ".ci" / "run"


@pytest.mark.parametrize("code", [0, 2])
def test_it_ends_as_its_steps_do(tmp_path: Path, code: int) -> None:
    """Also where fetching ahead has long been done: a green run is green, a red one keeps its code, and both say their last."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(RUN, tmp_path / ".ci/run")
    _program(tmp_path / ".venv/bin/python", "exit 0")
    _program(tmp_path / "bin/id", "echo 1000")
    _program(tmp_path / "bin/make", f'[ "$1" = audit ] || exit 0; sleep 0.2; exit {code}')
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    ended = subprocess.run(["bash", tmp_path / ".ci/run"], env=environment, capture_output=True, text=True, check=False)

    assert code == ended.returncode, ended.stderr
    assert "audit: not done" in ended.stdout.splitlines()[-1]


def _program(place: Path, words: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{words}\n")
    place.chmod(0o755)
