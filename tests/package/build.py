"""What `make package` builds, of this tree, and of one that calls itself another version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).parents[2]
PARTS = ("deploy", "s3batch", "s3sync", "systemd", "LICENSE", "Pipfile.lock", "README.md", "pyproject.toml")
"""All that it is built of."""


def build(wheels: Path, into: Path, *, house: Path = HOUSE) -> Path:
    """Build bundle and Debian package into a folder, with `wheels` as what is needed, and unpack the bundle beside them."""
    words = ["--wheels", os.fspath(wheels), "--into", os.fspath(into)]
    subprocess.run([sys.executable, os.fspath(house / "deploy" / "package.py"), *words], check=True)
    (packed,) = into.glob("*.tar.gz")
    bundle = into / "bundle"
    bundle.mkdir()
    subprocess.run(["tar", "-xzf", packed, "-C", bundle, "--strip-components=1"], check=True)
    return bundle


def build_as(version: str, wheels: Path, into: Path, scratch: Path) -> Path:
    """The same, of a copy of this tree in the folder `scratch` that differs in its version alone."""
    for name in PARTS:
        source = HOUSE / name
        if source.is_dir():
            shutil.copytree(source, scratch / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, scratch / name)
    says = scratch / "s3sync" / "__init__.py"
    says.write_text(re.sub(r'^__version__ = ".*"', f'__version__ = "{version}"', says.read_text("utf-8"), flags=re.MULTILINE))
    return build(wheels, into, house=scratch)
