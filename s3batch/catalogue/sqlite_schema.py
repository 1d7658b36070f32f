"""The tables of catalogue.db, and what every column means. Bytes are sizes in bytes; ids are our own and mean nothing outside.

A catalogue of ten million members must stay small and quick to fill, hence: digests as 32 bytes, names that repeat (buckets,
owners) by id, the key stored raw (bytes sort as S3 lists, and a name that is not UTF-8 needs no second column), and a
full-text index that keeps neither the text nor positions. The members of one archive have ids in one unbroken row, beginning
with the archive's own id, in the order they lie in the archive: so an archive's members are a range, of the table and of the
full-text index alike.

Ids are given in order of arrival, which is not always the order of creation: an old archive may be catalogued late. `stretches`
remembers where the two agree, so that a search can walk archives newest first without sorting all hits. Order itself is always
`archives.created`, then `batch`.
"""

from __future__ import annotations

ROOM = "catalogue"

_FIRST = """
-- Buckets that members were dropped for.
--   id      ours
--   name    the bucket's name
CREATE TABLE buckets (
    id   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
) STRICT;

-- Who owned originals, and with which rights: a handful of combinations.
--   id        ours
--   mode      permission bits, 0 to 4095
--   uid, gid  as numbers, on the host that archived
--   user, grp as names there; empty where the number has none
CREATE TABLE owners (
    id   INTEGER PRIMARY KEY,
    mode INTEGER NOT NULL,
    uid  INTEGER NOT NULL,
    gid  INTEGER NOT NULL,
    user TEXT    NOT NULL,
    grp  TEXT    NOT NULL,
    UNIQUE (mode, uid, gid, user, grp)
) STRICT;

-- Archives that were proved and whose manifest can be read. Never one without members.
--   id              the id of its first member; its members are id .. id + members - 1
--   members         how many members it has, at least 1
--   content_bytes   the sum of its members' sizes
--   bucket          buckets.id: where the archive object lies, and what its members were dropped for
--   key             the archive's object key
--   version_id      the object's version, NULL in a bucket that keeps none
--   size            of the archive object, bytes
--   crc64nvme       of the whole object as S3 shows it: base64 of 64 bits
--   storage_class   as stored, such as DEEP_ARCHIVE
--   batch           the batch id, unique in its bucket
--   created         when it was reserved: microseconds since 1970, UTC
--   host, tool      which host archived it, with which program
--   manifest_bucket, manifest_key   where its manifest lies
CREATE TABLE archives (
    id              INTEGER PRIMARY KEY,
    members         INTEGER NOT NULL CHECK (members > 0),
    content_bytes   INTEGER NOT NULL,
    bucket          INTEGER NOT NULL REFERENCES buckets (id),
    key             TEXT    NOT NULL,
    version_id      TEXT,
    size            INTEGER NOT NULL,
    crc64nvme       TEXT    NOT NULL,
    storage_class   TEXT    NOT NULL,
    batch           TEXT    NOT NULL,
    created         INTEGER NOT NULL,
    host            TEXT    NOT NULL,
    tool            TEXT    NOT NULL,
    manifest_bucket TEXT    NOT NULL,
    manifest_key    TEXT    NOT NULL,
    UNIQUE (bucket, batch),
    UNIQUE (bucket, key)
) STRICT;

CREATE INDEX archives_by_age ON archives (created, batch, bucket);

-- Files inside archives. Written once, with their archive. No foreign keys: they would cost a look-up a row, and the one
-- transaction that writes an archive writes all of it.
--   id        ours; see archives.id
--   archive   archives.id
--   bucket    archives.bucket, repeated so that the index below can begin with it
--   key       the object key, raw bytes
--   offset    where its bytes begin in the archive
--   size      how many they are
--   sha256    their digest, 32 bytes
--   mtime     nanoseconds since 1970
--   owner     owners.id
CREATE TABLE members (
    id      INTEGER PRIMARY KEY,
    archive INTEGER NOT NULL,
    bucket  INTEGER NOT NULL,
    key     BLOB    NOT NULL,
    offset  INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    sha256  BLOB    NOT NULL,
    mtime   INTEGER NOT NULL,
    owner   INTEGER NOT NULL
) STRICT;

CREATE INDEX members_by_key ON members (bucket, key);

-- Ranges of member ids in which archives lie oldest to newest; together they are all ids. A catalogue filled in order has one.
--   first   the first id of the range
--   last    its last id
CREATE TABLE stretches (
    first INTEGER PRIMARY KEY,
    last  INTEGER NOT NULL
) STRICT;

-- Which members' keys (as shown, see s3sync.keys) hold which three characters in a row, case folded. Keeps no text and no
-- positions, so it can only be asked for trigrams.
--   rowid   members.id
CREATE VIRTUAL TABLE names USING fts5 (key, content='', columnsize=0, detail=none, tokenize='trigram');
"""

STEPS = (_FIRST,)
"""Numbered from 1; a step that was released is never changed."""
