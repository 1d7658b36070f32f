"""One process advances the restore requests of a state folder at a time.

The agent takes the lock and keeps it for as long as it lives; a waiting command takes it for one round, so that a laptop
without an agent gets its files all the same and an agent that starts meanwhile finds the door open a moment later. The kernel
lets go of it when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from s3sync.errors import Preflight


class AdvancingLock:
    """The lock file of one state folder. Not for several threads."""

    def __init__(self, state_folder: Path) -> None:
        """Name the lock of `state_folder`; nothing is taken yet."""
        self._path = state_folder / "restore.lock"
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Tell whether we hold it."""
        return self._fd is not None

    def take(self) -> bool:
        """Take it unless somebody else has it, and tell whether we hold it now. Raises `Preflight` where it cannot be made."""
        if self._fd is not None:
            return True
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
        except OSError as error:
            raise Preflight(
                str(self._path), f"cannot be opened: {error.strerror}", "Check the state folder's rights"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def let_go(self) -> None:
        """Give it back; harmless where we do not hold it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
