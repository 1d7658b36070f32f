"""What the journal says of batches taken together: for people who ask how things stand. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from s3batch.pack.lifecycle import State
from s3sync.statedb import StateDb
from s3sync.times import parse_utc, rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """The newest failure of a bucket that no later success has made history."""

    batch: str
    state: State
    error: str

    @property
    def given_up(self) -> bool:
        """Tell whether the batch was given up: its files join a later one."""
        return self.state is State.ABANDONED


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One archive as it was built."""

    bytes: int
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What of a bucket was ever archived: proved, catalogued, and its originals let go."""

    archives: int
    archive_bytes: int
    files: int
    bytes: int
    """Of the files."""


class History:
    """Questions to the table of batches; its schema is in `s3batch.pack.journal`."""

    def __init__(self, db: StateDb) -> None:
        """Read journal.db, its room `pack` migrated."""
        self._db = db

    def phases(self) -> dict[State, int]:
        """Return how many batches are in each state, zeros too."""
        with self._db.read() as connection:
            found = dict(connection.execute("SELECT state, count(*) FROM batches GROUP BY state").fetchall())
        return {state: found.get(state.value, 0) for state in State}

    def last_archives(self) -> dict[str, datetime]:
        """Return when each bucket's last batch went all the way."""
        query = "SELECT bucket, max(changed) FROM batches WHERE state = ? GROUP BY bucket"
        with self._db.read() as connection:
            return {bucket: parse_utc(when) for bucket, when in connection.execute(query, (State.RELEASED,))}

    def totals(self) -> dict[str, Total]:
        """Return for each bucket what went all the way, since this journal was begun."""
        query = """
          SELECT bucket, count(*) AS archives, sum(size) AS archive_bytes, sum(members) AS files, sum(content_bytes) AS bytes
          FROM batches WHERE state = 'released' GROUP BY bucket
        """
        with self._db.read() as connection:
            rows = connection.execute(query).fetchall()
        return {row["bucket"]: Total(**{name: row[name] for name in row.keys() if name != "bucket"}) for row in rows}  # noqa: SIM118

    def redelivered(self, since: datetime) -> dict[str, int]:
        """Return how many files of each bucket were archived again since then although nothing about them was new."""
        query = """
          SELECT bucket, sum(redelivered) FROM batches WHERE created >= ? AND redelivered > 0 GROUP BY bucket
        """
        with self._db.read() as connection:
            return dict(connection.execute(query, (rfc3339(since),)).fetchall())

    def last_errors(self) -> dict[str, LastError]:
        """Return each bucket's newest failure: of a batch on its way, or given up since the bucket's last stored archive."""
        query = """
          SELECT bucket, id, state, error FROM batches b
          WHERE error IS NOT NULL AND (state IN ('reserved', 'spooled', 'stored', 'manifested', 'catalogued')
            OR (state = 'abandoned' AND created > coalesce((SELECT max(created) FROM batches s WHERE s.bucket = b.bucket
                AND s.state IN ('stored', 'manifested', 'catalogued', 'released')), '')))
          ORDER BY created
        """
        with self._db.read() as connection:
            rows = connection.execute(query).fetchall()
        return {row["bucket"]: LastError(batch=row["id"], state=State(row["state"]), error=row["error"]) for row in rows}

    def recent_sizes(self, count: int) -> list[Size]:
        """Return the sizes of the last `count` archives that S3 confirmed, newest first."""
        query = """
          SELECT size, members FROM batches
          WHERE size IS NOT NULL AND state IN ('stored', 'manifested', 'catalogued', 'released')
          ORDER BY created DESC LIMIT ?
        """
        with self._db.read() as connection:
            return [Size(bytes=row["size"], members=row["members"]) for row in connection.execute(query, (count,))]
