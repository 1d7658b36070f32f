"""Files somebody vouches for: probably partial by the log, and to be archived all the same.

What is accepted is one state of one file. Where it is written to or replaced afterwards, the evidence counts again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from s3sync.dropzone.candidate import Identity
from s3sync.statedb import StateDb
from s3sync.times import rfc3339

ROOM = "accepted"

SCHEMA = (
    """
    CREATE TABLE accepted (
      path     BLOB PRIMARY KEY,  -- where it lies, relative to the drop zone's root
      device   INTEGER NOT NULL,  -- its identity when it was accepted, as the next four; device and inode are stored as
      inode    INTEGER NOT NULL,  --   SQLite's signed 64 bits
      size     INTEGER NOT NULL,
      mtime_ns INTEGER NOT NULL,
      ctime_ns INTEGER NOT NULL,  -- kept for people: a chmod does not take back what was accepted
      evidence TEXT NOT NULL,     -- what the log said against it
      since    TEXT NOT NULL      -- RFC 3339 UTC
    ) STRICT
    """,
)


class AcceptedFiles:
    """The table of them."""

    def __init__(self, db: StateDb, *, now: Callable[[], datetime]) -> None:
        """Keep them in `db`."""
        self._db = db
        self._now = now
        db.migrate(ROOM, SCHEMA)

    def accept(self, path: bytes, identity: Identity, evidence: str) -> None:
        """Remember that the file at `path`, as it is now, counts as whole; repeating it is harmless."""
        with self._db.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO accepted VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (path, *identity, evidence, rfc3339(self._now())),
            )

    def is_accepted(self, path: bytes, identity: Identity) -> bool:
        """Tell whether somebody accepted this very state of the file at `path`."""
        with self._db.read() as connection:
            row = connection.execute("SELECT * FROM accepted WHERE path = ?", (path,)).fetchone()
        return row is not None and Identity(*row[1:6]).same_but_ctime(identity)
