"""Whether standard error leads to journald, which then takes a level from the beginning of each line (sd-daemon(3)).

Its own protocol was weighed and left: it says no more than a JSON line that journald stores whole, and a test or a terminal
cannot read it. The identifier is the name of the unit's program, which is ours.
"""

from __future__ import annotations

import os
from typing import TextIO

from s3sync.events import Level
from s3sync.observe.lines import SEVERITY


def leads_to_journald(stream: TextIO, journal_stream: str | None) -> bool:
    """Tell whether `stream` is the very one that `JOURNAL_STREAM` names by device and inode (systemd.exec(5)).

    A program started by the service with its output elsewhere inherits the variable, and must not be fooled.
    """
    if not journal_stream:
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return journal_stream == f"{found.st_dev}:{found.st_ino}"


def with_priority(level: Level, line: str) -> str:
    """Return `line` as journald wants it."""
    return f"<{SEVERITY[level]}>{line}"
