"""The life of a batch as a table, and one batch as the journal knows it.

RESERVED ──spooled──▶ SPOOLED ──stored──▶ STORED ──manifested──▶ MANIFESTED ──catalogued──▶ CATALOGUED ──released──▶ RELEASED
│                    │                  │                       │                          │
└────────────────────┴──abandoned───────┴───────────────────────┴──────────────────────────┴──▶ ABANDONED
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from sqlite3 import Row
from types import MappingProxyType

from s3batch.model import Reservation, SpooledArchive, StoredArchive
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.store.proof import Proof
from s3sync.times import parse_utc


class State(StrEnum):
    """Where a batch is."""

    RESERVED = "reserved"
    SPOOLED = "spooled"
    STORED = "stored"
    MANIFESTED = "manifested"
    CATALOGUED = "catalogued"
    RELEASED = "released"
    ABANDONED = "abandoned"


TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.RESERVED: frozenset({State.SPOOLED, State.ABANDONED}),
        State.SPOOLED: frozenset({State.STORED, State.ABANDONED}),
        State.STORED: frozenset({State.MANIFESTED, State.ABANDONED}),
        State.MANIFESTED: frozenset({State.CATALOGUED, State.ABANDONED}),
        State.CATALOGUED: frozenset({State.RELEASED, State.ABANDONED}),
        State.RELEASED: frozenset(),
        State.ABANDONED: frozenset(),
    }
)
"""Once a manifest is proved the host may burn: from there a batch only goes on, unless its archive has gone from S3."""


class OutOfPlace(Exception):
    """A transition that the table does not know; the row stays as it was. A defect, never an operator's fault."""


@dataclass(frozen=True, slots=True)
class ManifestMark:
    """Size and checksum of the manifest as it was rendered."""

    size: int
    crc64nvme: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One batch as the journal knows it."""

    reservation: Reservation
    state: State
    planned_bytes: int
    size: int | None
    crc64nvme: str | None
    members: int | None
    content_bytes: int | None
    upload_id: str | None
    version_id: str | None
    etag: str | None
    manifest: ManifestMark | None
    error: str | None
    changed: datetime

    def spooled(self, folder: Path) -> SpooledArchive:
        """Return the archive as it was journalled when it had been built into `folder`; not for a batch that never was."""
        if self.size is None or self.crc64nvme is None or self.members is None or self.content_bytes is None:
            raise OutOfPlace(self.reservation.id, self.state)
        return SpooledArchive(
            reservation=self.reservation,
            folder=folder,
            size=self.size,
            crc64nvme=self.crc64nvme,
            members=self.members,
            content_bytes=self.content_bytes,
        )

    def stored(self, folder: Path) -> StoredArchive:
        """Return the archive with the proof that was journalled; not for a batch that was never proved."""
        spooled = self.spooled(folder)
        if self.etag is None:
            raise OutOfPlace(self.reservation.id, self.state)
        archive = self.reservation.archive
        ref = ObjectRef(archive.bucket, archive.key, self.version_id)
        proof = Proof(ref=ref, size=spooled.size, crc64nvme=spooled.crc64nvme, etag=self.etag)
        return StoredArchive(spooled=spooled, proof=proof)


def recorded(row: Row) -> Recorded:
    """Return the batch that a row of the journal holds."""
    reservation = Reservation(
        id=row["id"],
        archive=ObjectRef(row["bucket"], row["archive_key"]),
        manifest=ObjectRef(row["manifest_bucket"], row["manifest_key"]),
        created=parse_utc(row["created"]),
        storage_class=StorageClass(row["storage_class"]),
        host=row["host"],
        tool=row["tool"],
    )
    mark = None if row["manifest_crc"] is None else ManifestMark(row["manifest_size"], row["manifest_crc"])
    return Recorded(
        reservation=reservation,
        state=State(row["state"]),
        planned_bytes=row["planned_bytes"],
        size=row["size"],
        crc64nvme=row["crc64nvme"],
        members=row["members"],
        content_bytes=row["content_bytes"],
        upload_id=row["upload_id"],
        version_id=row["version_id"],
        etag=row["etag"],
        manifest=mark,
        error=row["error"],
        changed=parse_utc(row["changed"]),
    )
