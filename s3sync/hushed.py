"""Text without the secrets that got into it: for stacks and messages of others, of which nobody knows what they quote."""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "(hidden)"

_SECRET_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD")
_USERINFO = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_SHORTEST = 6
"""What is shorter stands in ordinary words too, and is no secret worth the name."""


def hushed(text: str, environment: Mapping[str, str]) -> str:
    """Return `text` with the names and passwords of URLs hidden, and the values of variables that are called secret."""
    for name, value in environment.items():
        if _SECRET_NAMES.search(name) and len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
    return _USERINFO.sub(HIDDEN, text)
