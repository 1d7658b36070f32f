"""The tables of the room `sync` in the state database, and how they came to be: a step once shipped is never changed."""

from __future__ import annotations

SCHEMA = (
    """
    -- One row per drop in hand: one state of one file, on its way to one object.
    --   id             made once, never again; the object bears it as its mark, the quarantine names a folder by it
    --   bucket, key    where it goes; the key in raw bytes
    --   path           where the file lies, raw bytes relative to the drop zone's root
    --   device .. ctime_ns   the state of the file whose bytes were read; another state is another drop
    --   crc64nvme      of those bytes, as S3 shows it
    --   sha256         of those bytes, lower-case hex
    --   storage_class  asked of S3 when the drop was taken up; the setting may have changed since
    --   phase          see Phase
    --   upload_id      of a multipart upload begun and not yet completed or aborted; NULL otherwise
    --   version_id, etag   in phases stored and unreleased: the object S3 confirmed (version NULL where none are kept);
    --                  in phase exists: the object that is in the way
    --   since          when the phase was entered, whole seconds since 1970
    --   detail         in phases unreleased and exists: why, for people; empty otherwise
    -- At most one row per path is in phase storing or exists. A path may have an older row whose file is in quarantine.
    CREATE TABLE drops (
        id            TEXT    PRIMARY KEY,
        bucket        TEXT    NOT NULL,
        key           BLOB    NOT NULL,
        path          BLOB    NOT NULL,
        device        INTEGER NOT NULL,
        inode         INTEGER NOT NULL,
        size          INTEGER NOT NULL,
        mtime_ns      INTEGER NOT NULL,
        ctime_ns      INTEGER NOT NULL,
        crc64nvme     TEXT    NOT NULL,
        sha256        TEXT    NOT NULL,
        storage_class TEXT    NOT NULL,
        phase         TEXT    NOT NULL,
        upload_id     TEXT,
        version_id    TEXT,
        etag          TEXT,
        since         INTEGER NOT NULL,
        detail        TEXT    NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX drops_by_path ON drops (path);

    -- Buckets left alone for a while, for `status`; the agent that parked them knows until when.
    --   since     when it was first refused in a row, whole seconds since 1970
    --   failures  how many passes in a row were refused
    --   wrong     what was wrong the last time, for people
    CREATE TABLE parked (
        bucket   TEXT    PRIMARY KEY,
        since    INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        wrong    TEXT    NOT NULL
    ) WITHOUT ROWID, STRICT;

    -- With what less than full protection or reach the last pass had to work.
    --   cause    stable, for programs
    --   detail   for people
    CREATE TABLE degraded (
        cause  TEXT PRIMARY KEY,
        detail TEXT NOT NULL
    ) WITHOUT ROWID, STRICT;

    -- The last pass and the last one without an error; one row each.
    --   which     `last` or `success`
    --   finished  whole seconds since 1970
    --   files .. errors   as in its summary line
    CREATE TABLE passes (
        which    TEXT    PRIMARY KEY,
        finished INTEGER NOT NULL,
        files    INTEGER NOT NULL,
        bytes    INTEGER NOT NULL,
        released INTEGER NOT NULL,
        held     INTEGER NOT NULL,
        errors   INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    """,
    """
    -- In phase stored: by which slot its original leaves, or has left half way. Files that were stored together leave together.
    --   slot_folder  the folder in quarantine, named by a drop; NULL in rows of before, whose folder is named by their own id
    --   slot         the number in it
    ALTER TABLE drops ADD COLUMN slot_folder TEXT;
    ALTER TABLE drops ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
    """,
)
