"""The journal of batches: one row a batch, one method a transition of `s3batch.pack.lifecycle`, one transaction each.

Intent is written before the act: names before anything is built, size and checksum before the upload, the upload id before the
first part, the manifest's checksum before its upload. A batch that cannot go on is abandoned: its originals are where they were
and join a later batch under other names, so nothing ever certifies an archive with parts of another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from sqlite3 import Connection

from s3batch.model import Batch, Reservation, SpooledArchive, StoredArchive
from s3batch.pack.lifecycle import TRANSITIONS, ManifestMark, OutOfPlace, Recorded, State, recorded
from s3batch.pack.names import Names
from s3sync.statedb import StateDb
from s3sync.times import parse_utc, rfc3339

SCHEMA = (
    """
    -- One row a batch, kept after it is done (status and reports read them).
    CREATE TABLE batches (
      id              TEXT PRIMARY KEY,   -- <yyyymmddThhmmss>-<random hex>; also the archive's file name
      bucket          TEXT NOT NULL,      -- where the archive goes
      archive_key     TEXT NOT NULL,
      manifest_bucket TEXT NOT NULL,
      manifest_key    TEXT NOT NULL,
      created         TEXT NOT NULL UNIQUE, -- RFC 3339 UTC, microseconds; strictly increasing over the life of the journal
      storage_class   TEXT NOT NULL,
      host            TEXT NOT NULL,
      tool            TEXT NOT NULL,      -- program and version that reserved it; the manifest repeats it
      reason          TEXT NOT NULL,      -- why it was closed (model.Closed)
      state           TEXT NOT NULL,      -- lifecycle.State
      planned_bytes   INTEGER NOT NULL,   -- what it may take in the spool
      size            INTEGER,            -- bytes of the tar; NULL before SPOOLED, as the next three
      crc64nvme       TEXT,               -- of the tar, computed while it was written; base64 as S3 shows it
      members         INTEGER,
      content_bytes   INTEGER,            -- sum of the members' sizes
      upload_id       TEXT,               -- the multipart upload under way, if any
      version_id      TEXT,               -- of the archive; NULL before STORED or in a bucket that keeps no versions
      etag            TEXT,               -- of the archive; NULL before STORED
      manifest_size   INTEGER,            -- of the manifest as rendered (gzip), noted before its upload
      manifest_crc    TEXT,
      released        INTEGER,            -- originals removed; NULL before RELEASED, as the next two
      vanished        INTEGER,            -- originals that were gone already
      kept            INTEGER,            -- originals given back or not removable
      error           TEXT,               -- the last failure, for people; NULL when the last step went well
      changed         TEXT NOT NULL       -- when this row changed last, RFC 3339 UTC
    ) STRICT;
    CREATE INDEX batches_unfinished ON batches (created) WHERE state NOT IN ('released', 'abandoned');
    CREATE INDEX batches_orphaned ON batches (id) WHERE state = 'abandoned' AND upload_id IS NOT NULL;
    """,
    """
    -- Members that were archived before, the same bytes under the same key, and not long ago: somebody uploads what vanishes.
    -- NULL before RELEASED, and in rows of earlier versions.
    ALTER TABLE batches ADD COLUMN redelivered INTEGER;
    """,
)


class PackJournal:
    """The batches of one agent."""

    def __init__(self, db: StateDb, *, now: Callable[[], datetime]) -> None:
        """Keep batches in `db`, dating changes by `now`. Raises `Preflight` where the schema is newer than this program."""
        self._db = db
        self._now = now
        db.migrate("pack", SCHEMA)

    def reserve(self, batch: Batch, names: Names) -> Reservation:
        """Give the batch its names, for good."""
        with self._db.write() as connection:
            (latest,) = connection.execute("SELECT max(created) FROM batches").fetchone()
            created = max(self._now(), parse_utc(latest) + timedelta(microseconds=1)) if latest else self._now()
            reservation = names.reservation(batch, created)
            connection.execute(
                "INSERT INTO batches (id, bucket, archive_key, manifest_bucket, manifest_key, created, storage_class, host,"
                " tool, reason, state, planned_bytes, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    reservation.id,
                    reservation.archive.bucket,
                    reservation.archive.key,
                    reservation.manifest.bucket,
                    reservation.manifest.key,
                    rfc3339(created),
                    reservation.storage_class,
                    reservation.host,
                    reservation.tool,
                    batch.reason,
                    State.RESERVED,
                    batch.planned_bytes,
                    rfc3339(self._now()),
                ),
            )
        return reservation

    def spooled(self, archive: SpooledArchive) -> None:
        """Note size and checksum of the tar, before anything is uploaded."""
        self._move(
            archive.reservation.id,
            State.SPOOLED,
            size=archive.size,
            crc64nvme=archive.crc64nvme,
            members=archive.members,
            content_bytes=archive.content_bytes,
        )

    def stored(self, archive: StoredArchive) -> None:
        """Note the proof of the archive."""
        proof = archive.proof
        self._move(
            archive.spooled.reservation.id,
            State.STORED,
            version_id=proof.ref.version_id,
            etag=proof.etag,
            upload_id=None,
        )

    def manifest_rendered(self, batch: str, mark: ManifestMark) -> None:
        """Note the manifest's size and checksum before it is uploaded; the state stays."""
        self._set(batch, manifest_size=mark.size, manifest_crc=mark.crc64nvme)

    def manifested(self, batch: str) -> None:
        """Note that the manifest is proved."""
        self._move(batch, State.MANIFESTED)

    def catalogued(self, batch: str, also: Callable[[Connection], None]) -> None:
        """Note that the catalogue knows every member, and do `also` (the outbox) in the same transaction."""
        with self._db.write() as connection:
            self._update(connection, batch, State.CATALOGUED, {})
            also(connection)

    def released(self, batch: str, *, released: int, vanished: int, kept: int, redelivered: int = 0) -> None:
        """Note that no original of the batch is left for us to remove, and how many were nothing new."""
        self._move(batch, State.RELEASED, released=released, vanished=vanished, kept=kept, redelivered=redelivered)

    def abandoned(self, batch: str, why: str) -> None:
        """Give the batch up; its originals join a later one. An upload it had begun stays noted until it is aborted."""
        with self._db.write() as connection:
            self._update(connection, batch, State.ABANDONED, {"error": why})

    def orphaned_uploads(self) -> list[Recorded]:
        """Return the abandoned batches whose multipart upload has not been aborted yet."""
        query = "SELECT * FROM batches WHERE state = 'abandoned' AND upload_id IS NOT NULL"
        with self._db.read() as connection:
            return [recorded(row) for row in connection.execute(query)]

    def failed(self, batch: str, why: str) -> None:
        """Note why the last step failed; the state stays and the step will be tried again."""
        self._set(batch, error=why)

    def upload_log(self, batch: str) -> BatchUploadLog:
        """Return the upload log of the batch's archive."""
        return BatchUploadLog(self, batch)

    def get(self, batch: str) -> Recorded | None:
        """Return one batch."""
        with self._db.read() as connection:
            row = connection.execute("SELECT * FROM batches WHERE id = ?", (batch,)).fetchone()
        return None if row is None else recorded(row)

    def unfinished(self) -> list[Recorded]:
        """Return the batches that are neither released nor abandoned, oldest first."""
        query = "SELECT * FROM batches WHERE state NOT IN ('released', 'abandoned') ORDER BY created"
        with self._db.read() as connection:
            return [recorded(row) for row in connection.execute(query)]

    def catalogued_in(self, month: str) -> list[Reservation]:
        """Return the archives reserved in a month (`2026-11`) that the catalogue knows, oldest first."""
        query = "SELECT * FROM batches WHERE created >= ? AND created < ? AND state IN (?, ?) ORDER BY created"
        with self._db.read() as connection:
            values = (f"{month}-", f"{month}.", State.CATALOGUED, State.RELEASED)
            return [recorded(row).reservation for row in connection.execute(query, values).fetchall()]

    def note_upload(self, batch: str, upload_id: str | None) -> None:
        """Make the upload id durable; the state stays."""
        self._set(batch, upload_id=upload_id)

    def _move(self, batch: str, to: State, **values: str | int | None) -> None:
        with self._db.write() as connection:
            self._update(connection, batch, to, {"error": None, **values})

    def _update(self, connection: Connection, batch: str, to: State, values: Mapping[str, str | int | None]) -> None:
        origins = [state for state, targets in TRANSITIONS.items() if to in targets]
        setters = ", ".join(f"{column} = ?" for column in ("state", "changed", *values))
        places = ", ".join("?" for _ in origins)
        cursor = connection.execute(
            f"UPDATE batches SET {setters} WHERE id = ? AND state IN ({places})",  # noqa: S608 - column names are ours
            (to, rfc3339(self._now()), *values.values(), batch, *origins),
        )
        if cursor.rowcount != 1:
            raise OutOfPlace(batch, to)

    def _set(self, batch: str, **values: str | int | None) -> None:
        setters = ", ".join(f"{column} = ?" for column in values)
        with self._db.write() as connection:
            connection.execute(
                f"UPDATE batches SET {setters} WHERE id = ?",  # noqa: S608 - column names are ours
                (*values.values(), batch),
            )


class BatchUploadLog:
    """The `UploadLog` of one batch's archive, kept in its journal row."""

    def __init__(self, journal: PackJournal, batch: str) -> None:
        """Note upload ids of `batch` in `journal`."""
        self._journal = journal
        self._batch = batch

    @property
    def upload_id(self) -> str | None:
        """Return the id noted earlier, if any."""
        recorded = self._journal.get(self._batch)
        return None if recorded is None else recorded.upload_id

    def note(self, upload_id: str | None) -> None:
        """Make `upload_id` durable."""
        self._journal.note_upload(self._batch, upload_id)
