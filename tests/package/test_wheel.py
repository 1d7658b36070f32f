"""The wheel: what is in it, what is not, and that it works in an environment that has nothing else of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import s3sync

HOUSE = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without a network."""
    into = tmp_path_factory.mktemp("wheel")
    code = f"import package, pathlib; print(package.own_wheel(pathlib.Path({os.fspath(into)!r})))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HOUSE / "deploy")
    (made,) = into.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; the libraries it needs are lent by ours, so that no network is."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin" / "pip", "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    lent = place / "lib" / version / "site-packages" / "zz-lent.pth"
    lent.write_text(sysconfig.get_paths()["purelib"] + "\n")
    return place


def said(place: Path, *words: str) -> str:
    """Return what a program of the environment says, run where nothing of the repository can be imported."""
    program, *rest = words
    ended = subprocess.run(
        [place / "bin" / program, *rest], check=True, cwd="/", text=True, capture_output=True, env={"HOME": "/nowhere"}
    )
    return ended.stdout


def test_the_version_comes_from_one_place(wheel: Path) -> None:
    """The wheel is of the version that the programs tell, and asks for the Python they need."""
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(packed.read(name).decode())

    assert (s3sync.__version__, ">=3.11") == (metadata["Version"], metadata["Requires-Python"])
    assert {"demo", "dev"} <= set(metadata.get_all("Provides-Extra", []))


def test_everything_of_the_packages_is_in_it_and_nothing_else(wheel: Path) -> None:
    """Every module, and the marks that say there are types; no tests, no deploy folder."""
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    sources = {
        os.fspath(path.relative_to(HOUSE))
        for package in ("s3batch", "s3sync")
        for path in (HOUSE / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert sources == names
    assert {"s3batch/py.typed", "s3sync/py.typed"} <= names


def test_it_works_where_nothing_else_of_ours_is(installed: Path) -> None:
    """Console scripts, what Dashboards get, manual pages and completion come out of the installed files."""
    code = "import s3batch; print(s3batch.__file__)"

    assert said(installed, "python", "-c", code).startswith(os.fspath(installed))
    for program in ("s3batch", "s3sync"):
        assert f"{program} {s3sync.__version__}\n" == said(installed, program, "--version")
        assert "exit codes:" in said(installed, program, "--help")
    settings = ("--set", "folder=/srv/drop", "--set", "state=/tmp/state-that-is-not-made")
    shipped = (HOUSE / "deploy" / "dashboards" / "s3batch.ndjson").read_text("utf-8")
    assert shipped.strip() == said(installed, "s3batch", "dashboards", "export", *settings).strip()
    assert "_shtab_s3batch" in said(installed, "s3batch", "completion", "bash", *settings)
