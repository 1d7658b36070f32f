"""The agent's own folders: state and spool are nobody else's, and on a disk whose locks are real.

Whoever could write into them could have archives of their making certified and other people's files removed, so an agent
refuses to start on a folder that is another user's or open to others. People who only ask questions are not held to it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from s3sync.errors import Preflight
from s3sync.mounts import filesystem_of


def made(folder: Path, variable: str) -> Path:
    """Make a private folder where it is missing, and return it. Raises `Preflight`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Preflight(str(folder), f"cannot be made: {error.strerror}", f"Make it, or set {variable}") from error
    return folder


def refuse_unless_ours(folder: Path, variable: str) -> None:
    """Raise `Preflight` where `folder` is another user's, or where everybody may write into it."""
    seen = _looked_at(folder, variable)
    if seen.st_uid != os.geteuid():
        wrong = f"belongs to uid {seen.st_uid}, and this agent is uid {os.geteuid()}"
        raise Preflight(str(folder), wrong, f"Run the agent as its owner, or set {variable}")
    if seen.st_mode & stat.S_IWOTH:
        raise Preflight(str(folder), "may be written by everybody", f"Take that away (chmod 0700), or set {variable}")


def refuse_unless_private(folder: Path, variable: str) -> None:
    """Raise `Preflight` where `folder` is another user's, or where its mode lets anybody else in."""
    refuse_unless_ours(folder, variable)
    mode = stat.S_IMODE(_looked_at(folder, variable).st_mode)
    if mode & 0o077:
        raise Preflight(str(folder), f"is open to others (mode {mode:04o})", f"Make it private (chmod 0700), or set {variable}")


def refuse_over_the_network(folder: Path, variable: str) -> None:
    """Raise `Preflight` where `folder` lies on a filesystem other hosts may have mounted: its locks would prove nothing."""
    try:
        filesystem = filesystem_of(folder)
    except OSError as error:
        raise _unseen(folder, variable, error) from error
    if filesystem.networked:
        wrong = f"lies on {filesystem.kind} (mounted at {filesystem.mounted_at}), where another host's agent would not be seen"
        raise Preflight(str(folder), wrong, f"Put it on a local disk: set {variable}")


def _looked_at(folder: Path, variable: str) -> os.stat_result:
    try:
        return os.stat(folder)
    except OSError as error:
        raise _unseen(folder, variable, error) from error


def _unseen(folder: Path, variable: str, error: OSError) -> Preflight:
    return Preflight(str(folder), f"cannot be looked at: {error.strerror}", f"Check its rights, or set {variable}")
