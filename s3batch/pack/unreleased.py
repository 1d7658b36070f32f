"""Originals that are safely archived and could not be removed: shown, retried, and not archived again while unchanged.

Without this memory a file that cannot be removed would be archived, and paid for, at every pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.release import ReleaseReport
from s3sync.dropzone.slots import Original
from s3sync.statedb import StateDb
from s3sync.times import rfc3339

SCHEMA = (
    """
    CREATE TABLE unreleased (
      path     BLOB PRIMARY KEY,  -- where it lies, relative to the drop zone's root
      device   INTEGER NOT NULL,  -- its identity when it was left, as the next four; device and inode are stored as SQLite's
      inode    INTEGER NOT NULL,  --   signed 64 bits
      size     INTEGER NOT NULL,
      mtime_ns INTEGER NOT NULL,
      ctime_ns INTEGER NOT NULL,
      sha256   TEXT NOT NULL,     -- hex, of the archived bytes
      batch    TEXT NOT NULL,     -- the batch that holds them
      reason   TEXT NOT NULL,     -- dropzone.reasons.Reason
      since    TEXT NOT NULL      -- RFC 3339 UTC
    ) STRICT
    """,
)


AGAIN = ".again"
"""Ends the id under which a batch's originals pass through quarantine when their removal is tried again. What the batch's own
release may have left in its slots, of which only that release knows the numbers, is given back at the next start."""


@dataclass(frozen=True, slots=True)
class Unreleased:
    """One archived original that is still there."""

    path: bytes
    identity: Identity
    sha256: str
    batch: str
    reason: str
    since: str

    @property
    def original(self) -> Original:
        """What a release is asked for, with a number that stays its own whatever becomes of the others."""
        number = int.from_bytes(hashlib.sha256(self.path).digest()[:7])
        return Original(number, self.path, self.identity, self.sha256, as_archived=False)


class UnreleasedFiles:
    """The table of them."""

    def __init__(self, db: StateDb, *, now: Callable[[], datetime]) -> None:
        """Keep them in `db`."""
        self._db = db
        self._now = now
        db.migrate("unreleased", SCHEMA)

    def settle(self, batch: str, archived: Mapping[bytes, str], report: ReleaseReport) -> None:
        """Take over what a release of `batch` left: remember what cannot be removed, forget what need not be remembered.

        `archived` has the SHA-256 of the archived bytes of every path that was asked for and is known or kept. What turned out
        to hold something else is forgotten, so that it is archived as a new version.
        """
        stuck = {one.path: one for one in report.kept if one.reason is not Reason.CHANGED and one.path in archived}
        rows = [
            (path, *one.identity, archived[path], batch, one.reason, rfc3339(self._now()))
            for path, one in stuck.items()
            if one.identity is not None
        ]
        with self._db.write() as connection:
            connection.executemany("DELETE FROM unreleased WHERE path = ?", [(path,) for path in archived if path not in stuck])
            connection.executemany(
                "INSERT INTO unreleased VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (path) DO UPDATE SET device = excluded.device, inode = excluded.inode, size = excluded.size,"
                " mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, sha256 = excluded.sha256,"
                " batch = excluded.batch, reason = excluded.reason",
                rows,
            )

    def forget(self, paths: Iterable[bytes]) -> None:
        """Remember files no longer: they are judged, and archived, as any others."""
        with self._db.write() as connection:
            connection.executemany("DELETE FROM unreleased WHERE path = ?", [(path,) for path in paths])

    def all(self) -> list[Unreleased]:
        """Return every one, by batch and path."""
        with self._db.read() as connection:
            rows = connection.execute("SELECT * FROM unreleased ORDER BY batch, path").fetchall()
        return [
            Unreleased(row["path"], Identity(*row[1:6]), row["sha256"], row["batch"], row["reason"], row["since"])
            for row in rows
        ]

    def by_path(self) -> dict[bytes, Identity]:
        """Return their identities, for the scan to skip what is unchanged."""
        return {one.path: one.identity for one in self.all()}
