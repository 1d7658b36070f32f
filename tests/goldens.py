"""Files that show a format as it is published: a rendering must equal its golden file, which is renewed on purpose only."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
RENEW = "RENEW_GOLDENS"
"""Set this variable to write the golden files anew; then read the difference before committing it."""


def golden(name: str, rendered: bytes) -> bytes:
    """Return the golden file `name`, written anew from `rendered` where that was asked for."""
    path = FOLDER / name
    if os.environ.get(RENEW):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rendered)
    return path.read_bytes()
