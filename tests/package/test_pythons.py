"""Each Python we run on that this machine has: installed with extras, every warning an error, and the rooms' own tests.

Run by `make pythons`. Packages come from where pip's configuration says; where none can be had, the test is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ROOMS = ("state", "dropzone", "pack", "catalogue", "restore", "store", "sync", "front", "observe", "operate")

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def interpreter(version: str) -> str | None:
    """Return a Python of this version: on the PATH, or one that pyenv keeps."""
    kept = sorted(Path.home().glob(f".{'pyenv'}/versions/{version}.*/bin/python{version}"))
    for candidate in (shutil.which(f"python{version}"), *map(os.fspath, kept)):
        if candidate and subprocess.run([candidate, "-c", "import venv"], check=False, capture_output=True).returncode == 0:
            return candidate
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_on_each_python(version: str, tmp_path: Path) -> None:
    """The package installs with its extras, the demo holds its promises, and the tests of the rooms pass."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    ours = tmp_path / "venv" / "bin" / "python"
    code = f"import package, pathlib; package.own_wheel(pathlib.Path({os.fspath(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HOUSE / "deploy")
    (wheel,) = tmp_path.glob("*.whl")
    fetched = subprocess.run([ours, "-m", "pip", "install", "--quiet", f"{wheel}[dev]"], check=False)
    if fetched.returncode:
        pytest.skip("the packages it needs cannot be had")

    subprocess.run([ours, "-W", "error", "-m", "s3batch.demo"], check=True, cwd=tmp_path)
    rooms = [f"tests/{room}" for room in ROOMS]
    # A place of its own: beside other runs' folders it would clean up after them, and fail where that fails.
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "PYTEST_DEBUG_TEMPROOT": place}
        words = ["-q", "-p", "no:cacheprovider", "-m", "not slow", *rooms]
        subprocess.run([ours, "-m", "pytest", *words], check=True, cwd=HOUSE, env=environment)
