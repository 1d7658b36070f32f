"""The tables of the room `restore` in journal.db, with the meaning of every column.

Three tables, one for each level: what somebody wants (`requests`), each member it takes (`parts`), and the thaw of each archive
(`thaws`), which all requests share. What a finished request did stays readable. Times are RFC 3339 UTC with microseconds, so
that text order is time order; sizes and offsets are bytes.
"""

from __future__ import annotations

SCHEMA = (
    """
    -- One row a wish: members of archives, brought to one destination. It has no state of its own: it shows its least
    -- advanced part (see requests.py).
    CREATE TABLE requests (
      id          TEXT PRIMARY KEY,
      created     TEXT NOT NULL,        -- when it was filed
      user        TEXT NOT NULL,        -- login name of who asked, for people
      uid         INTEGER NOT NULL,     -- user id of who asked; only this user's own command delivers to its folders
      destination BLOB NOT NULL,        -- /an/absolute/folder without symbolic links, or s3://bucket/prefix
      deliverer   TEXT NOT NULL,        -- agent: whoever advances requests; requester: only a command of `uid`
      tier        TEXT NOT NULL,        -- the retrieval tier paid for: bulk or standard
      days        INTEGER NOT NULL,     -- how long the thawed copies are asked for
      overwrite   INTEGER NOT NULL,     -- 1: a file of the same name and other content is replaced
      attended    TEXT,                 -- when a command of the requester last waited for it; NULL if none ever did
      finished    TEXT,                 -- when every part was first seen in a final state; NULL before
      note        TEXT NOT NULL,        -- what was asked for as it was typed; may be empty
      members     INTEGER NOT NULL,     -- number of parts
      bytes       INTEGER NOT NULL      -- sum of their sizes
    ) STRICT;
    CREATE INDEX requests_unfinished ON requests (id) WHERE finished IS NULL;

    -- One row an archive that somebody wants something of, whether it needs a thaw or not; shared by all requests and never
    -- removed. Its lifecycle is in thaw.py.
    CREATE TABLE thaws (
      id            INTEGER PRIMARY KEY,
      bucket        TEXT NOT NULL,
      key           TEXT NOT NULL,
      version_id    TEXT NOT NULL,      -- empty in a bucket that keeps no versions
      size          INTEGER NOT NULL,   -- of the archive as recorded, as the next three; HEAD must agree
      crc64nvme     TEXT NOT NULL,      -- base64 as S3 shows it
      batch         TEXT NOT NULL,      -- the batch id in its metadata
      storage_class TEXT NOT NULL,      -- as stored, or where a lifecycle rule had moved it when it was to be thawed
      state         TEXT NOT NULL,      -- thaw.State
      tier          TEXT,               -- of our last RestoreObject; NULL before the first, or if somebody else began
      days          INTEGER,            -- of our last RestoreObject; NULL as `tier`
      asked_at      TEXT,               -- when `tier` was asked for; noted before asking
      until         TEXT,               -- expiry of the readable copy as S3 showed it; NULL unless THAWED
      next_check    TEXT NOT NULL,      -- when to look again, while any part is unfinished
      asks          INTEGER NOT NULL DEFAULT 0, -- how often it was asked for in this window
      extensions    INTEGER NOT NULL DEFAULT 0, -- how often its days were extended in this window
      upgraded      INTEGER NOT NULL DEFAULT 0, -- 1: asked for again in a faster tier
      overdue       INTEGER NOT NULL DEFAULT 0, -- 1: it was reported as taking too long
      refused_reads INTEGER NOT NULL DEFAULT 0, -- reads refused as frozen although HEAD called it readable
      failures      INTEGER NOT NULL DEFAULT 0, -- failed attempts in a row that are worth repeating
      error         TEXT,               -- the last failure, for people; NULL when the last step went well
      UNIQUE (bucket, key, version_id)
    ) STRICT;
    CREATE INDEX thaws_by_check ON thaws (next_check);

    -- One row a member wanted by a request.
    CREATE TABLE parts (
      id        INTEGER PRIMARY KEY,
      request   TEXT NOT NULL REFERENCES requests (id),
      thaw      INTEGER NOT NULL REFERENCES thaws (id), -- the archive it lies in
      key       BLOB NOT NULL,          -- its full key, raw
      place     BLOB NOT NULL,          -- where it goes below the destination: <bucket>/<key> or <batch>/<bucket>/<key>
      offset    INTEGER NOT NULL,       -- of its data in the archive
      size      INTEGER NOT NULL,
      sha256    TEXT NOT NULL,          -- lower-case hex, as archived
      mtime_ns  INTEGER NOT NULL,       -- nanoseconds since the epoch, as archived
      state     TEXT NOT NULL,          -- requests.State
      error     TEXT,                   -- the last failure, for people; NULL when the last attempt went well
      mismatch  INTEGER NOT NULL DEFAULT 0, -- 1: it FAILED because its bytes are not the recorded ones
      delivered TEXT,                   -- where it lies now; NULL before DELIVERED
      upload_id TEXT,                   -- the multipart upload to its destination under way, if any
      attempts  INTEGER NOT NULL DEFAULT 0, -- failed deliveries that are worth repeating
      next_try  TEXT NOT NULL,          -- not to be delivered before this
      UNIQUE (request, place)
    ) STRICT;
    CREATE INDEX parts_by_request ON parts (request, state);
    CREATE INDEX parts_uploading ON parts (upload_id) WHERE upload_id IS NOT NULL;
    CREATE INDEX parts_by_thaw ON parts (thaw, state);
    CREATE INDEX parts_by_state ON parts (state, request, thaw, offset);

    -- Parts that something may still happen to.
    CREATE VIEW open_parts AS SELECT * FROM parts WHERE state IN ('requested', 'thawing', 'thawed', 'expired');

    -- Parts with the names of their archives.
    CREATE VIEW named_parts AS SELECT p.*, t.bucket AS bucket, t.key AS archive FROM parts p JOIN thaws t ON t.id = p.thaw;
    """,
)
