"""What verifications found, kept for `status`, and where the next sample begins. In journal.db, a room of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from s3batch.operate.sample import RING
from s3batch.operate.verification import Kind, Looked
from s3sync.statedb import StateDb
from s3sync.times import parse_utc, rfc3339

ROOM = "verified"

SCHEMA = (
    """
    -- Verifications that came to their end, newest last.
    CREATE TABLE verifications (
      id         INTEGER PRIMARY KEY,
      ended      TEXT NOT NULL,     -- RFC 3339 UTC
      sample     TEXT NOT NULL,     -- as it was asked for: `1%`, `all`; with what narrowed it
      archives   INTEGER NOT NULL,  -- that were looked at
      of         INTEGER NOT NULL,  -- that there were to choose from
      amiss      INTEGER NOT NULL,  -- archives with a finding
      unseen     INTEGER NOT NULL,  -- archives that could not be looked at
      next_place TEXT               -- where the next sample begins on the ring, decimal; NULL: this one was no turn of the ring
    ) STRICT;

    -- Archives that are not as they should be. Looked at again and found well, one goes from here.
    CREATE TABLE amiss (
      bucket TEXT NOT NULL,
      key    TEXT NOT NULL,  -- the archive's object key
      kind   TEXT NOT NULL,  -- see Kind
      detail TEXT NOT NULL,  -- for people
      since  TEXT NOT NULL,  -- RFC 3339 UTC: when it was found first
      PRIMARY KEY (bucket, key, kind)
    ) STRICT
    """,
)

_ENDED = """
  INSERT INTO verifications (ended, sample, archives, of, amiss, unseen, next_place)
  VALUES (:ended, :sample, :archives, :of, :amiss, :unseen, :next_place)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One verification, as it ended."""

    ended: datetime
    sample: str
    archives: int
    of: int
    amiss: int
    unseen: int
    next_place: int | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What is known from verifications."""

    last: Verification | None
    amiss: int
    """Archives that were found amiss by any of them, and not well since."""


class Verifications:
    """The tables."""

    def __init__(self, db: StateDb) -> None:
        """Keep them in `db`."""
        self._db = db
        db.migrate(ROOM, SCHEMA)

    def next_place(self) -> int:
        """Return where the next sample begins."""
        query = "SELECT next_place FROM verifications WHERE next_place IS NOT NULL ORDER BY id DESC LIMIT 1"
        with self._db.read() as connection:
            row = connection.execute(query).fetchone()
        return 0 if row is None else int(row["next_place"]) % RING

    def note(self, looked: Looked, now: datetime) -> None:
        """Remember what was found about one archive; where nothing could be seen, what is known stays."""
        ref = looked.record.ref
        if any(finding.kind is Kind.UNSEEN for finding in looked.findings):
            return
        kinds = [finding.kind.value for finding in looked.findings]
        with self._db.write() as connection:
            for (known,) in connection.execute(
                "SELECT kind FROM amiss WHERE bucket = ? AND key = ?", (ref.bucket, ref.key)
            ).fetchall():
                if known not in kinds:
                    connection.execute(
                        "DELETE FROM amiss WHERE bucket = ? AND key = ? AND kind = ?", (ref.bucket, ref.key, known)
                    )
            connection.executemany(
                """INSERT INTO amiss VALUES (?, ?, ?, ?, ?)
                  ON CONFLICT (bucket, key, kind) DO UPDATE SET detail = excluded.detail""",
                [(ref.bucket, ref.key, each.kind.value, each.detail, rfc3339(now)) for each in looked.findings],
            )

    def ended(self, verification: Verification) -> None:
        """Remember a verification that came to its end."""
        place = None if verification.next_place is None else str(verification.next_place)
        with self._db.write() as connection:
            connection.execute(_ENDED, {**asdict(verification), "ended": rfc3339(verification.ended), "next_place": place})

    def known(self) -> Verified:
        """Return what `status` shows."""
        with self._db.read() as connection:
            row = connection.execute("SELECT * FROM verifications ORDER BY id DESC LIMIT 1").fetchone()
            amiss = connection.execute("SELECT count(*) FROM (SELECT DISTINCT bucket, key FROM amiss)").fetchone()[0]
        if row is None:
            return Verified(None, amiss)
        return Verified(
            Verification(
                ended=parse_utc(row["ended"]),
                sample=row["sample"],
                archives=row["archives"],
                of=row["of"],
                amiss=row["amiss"],
                unseen=row["unseen"],
                next_place=None if row["next_place"] is None else int(row["next_place"]),
            ),
            amiss,
        )
