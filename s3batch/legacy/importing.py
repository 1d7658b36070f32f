"""Make a manifest of an archive that has none: read it once, from front to back, and tell what lies where.

Nothing is replaced: the archive stays as it is, and a manifest is stored only where none lies. The manifest's place follows
from the object (its name and when it was stored), so importing again finds it. The catalogue is told last, and again if need
be.

Such archives do not bear our mark, and those of early years no checksum: their batch id begins with `imported-`, and what is
compared before they are read is size, version and, where S3 shows one, the checksum. Members carry a SHA-256 all the same.
A member's full key is the archive's folder and its name in the tar, since the original packed one folder at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue.contract import Catalogue, manifest_ref
from s3batch.catalogue.manifest_source import fetch
from s3batch.catalogue.remanifest import store_manifest
from s3batch.legacy.sources import folder, identity
from s3batch.legacy.tarscan import LeftOut, TarScan
from s3batch.model import IMPORTED, ArchiveRecord, Member, Reservation
from s3sync.errors import Permanent
from s3sync.keys import MAX_KEY_BYTES, printable
from s3sync.store.contract import ObjectInfo, ObjectRef, ObjectStore, ThawState
from s3sync.store.proof import BATCH_MARK


class Standing(StrEnum):
    """How an archive stands before it is imported."""

    MISSING = "missing"
    """There is no such object (any more)."""
    IMPORTED = "imported"
    """It has its manifest."""
    READABLE = "readable"
    FROZEN = "frozen"
    THAWING = "thawing"


@dataclass(frozen=True, slots=True)
class Looked:
    """One archive, looked at; `info` is None where it is missing."""

    ref: ObjectRef
    standing: Standing
    info: ObjectInfo | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one archive."""

    members: int
    left_out: tuple[LeftOut, ...]
    lost: frozenset[str]
    """Names that documents tell of and the archive has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What manifests say of who made them, and where they go."""

    manifest_bucket: str | None
    host: str
    tool: str


class Importer:
    """Imports archives. Members of one archive are held in memory while it is imported."""

    def __init__(
        self, store: ObjectStore, catalogue: Catalogue, enqueue: Callable[[Reservation], None], naming: Naming
    ) -> None:
        """Tell `catalogue`, and by `enqueue` the fleet's index."""
        self._store = store
        self._catalogue = catalogue
        self._enqueue = enqueue
        self._naming = naming

    def look(self, ref: ObjectRef) -> Looked:
        """Return how an archive stands. Raises what the store raises."""
        info = self._store.head(ref)
        if info is None:
            return Looked(ref, Standing.MISSING, None)
        if self._store.head(self._reservation(info).manifest) is not None:
            return Looked(ref, Standing.IMPORTED, info)
        if info.thaw.readable_now:
            return Looked(ref, Standing.READABLE, info)
        return Looked(ref, Standing.THAWING if info.thaw.state is ThawState.THAWING else Standing.FROZEN, info)

    def take_over(self, looked: Looked) -> None:
        """Make sure that the catalogue knows an archive that has its manifest. Raises what reading it raises."""
        if looked.info is not None:
            reservation = self._reservation(looked.info)
            manifest = fetch(self._store, reservation.manifest)
            manifest_format.believe(self._store, manifest, reservation.manifest)
            self._tell(reservation, manifest.record, manifest.members)

    def read(self, looked: Looked, known: set[str]) -> Imported:
        """Read an archive, store its manifest and tell the catalogue.

        Raises `Permanent` where it is no tar or has no member, `Frozen` where its readable copy lapsed, and what the store
        raises.
        """
        info = looked.info
        if info is None:
            raise Permanent(str(looked.ref), "is not there", "Leave it out")
        reservation = self._reservation(info)
        members, left_out, crc64nvme = self._scanned(info)
        record = _record(reservation, info, crc64nvme, len(members))
        store_manifest(self._store, record, members)
        self._tell(reservation, record, lambda: iter(members))
        names = {member.key.decode("utf-8", "replace").rpartition("/")[2] for member in members}
        return Imported(len(members), left_out, frozenset(known - names - {""}))

    def _scanned(self, info: ObjectInfo) -> tuple[list[Member], tuple[LeftOut, ...], str]:
        before = folder(info.ref.key).encode()
        members: list[Member] = []
        left_out: list[LeftOut] = []
        try:
            with self._store.read(info.ref, offset=0, length=info.size, etag=info.etag) as chunks:
                scan = TarScan(iter(chunks), info.size)
                for entry in scan.entries():
                    one = _keyed(entry, before) if isinstance(entry, Member) else entry
                    if isinstance(one, Member):
                        members.append(one)
                    else:
                        left_out.append(one)
                crc64nvme = scan.crc64nvme
        except ValueError as error:
            raise Permanent(printable(str(info.ref)), f"cannot be imported: {error}", "Look at it by hand") from error
        if not members:
            raise Permanent(printable(str(info.ref)), "holds no ordinary file", "Leave it out")
        if info.crc64nvme is not None and info.checksum_type == "FULL_OBJECT" and info.crc64nvme != crc64nvme:
            wrong = f"came as other bytes than S3 keeps: CRC64NVME {crc64nvme} instead of {info.crc64nvme}"
            raise Permanent(printable(str(info.ref)), wrong, "Import it again")
        return members, tuple(left_out), crc64nvme

    def _tell(self, reservation: Reservation, record: ArchiveRecord, members: Callable[[], Iterator[Member]]) -> None:
        if self._catalogue.archive(record.ref.bucket, record.ref.key) is None:
            self._enqueue(reservation)
            self._catalogue.add(record, members())

    def _reservation(self, info: ObjectInfo) -> Reservation:
        name, created = identity(info.ref.key), info.last_modified
        if name is None or created is None or BATCH_MARK in info.metadata:
            raise Permanent(printable(str(info.ref)), "is no archive of the original program", "Leave it out")
        batch, bucket = f"{IMPORTED}{name}", info.ref.bucket
        return Reservation(
            id=batch,
            archive=ObjectRef(bucket, info.ref.key),
            manifest=manifest_ref(bucket, batch, created, self._naming.manifest_bucket or bucket),
            created=created,
            storage_class=info.storage_class,
            host=self._naming.host,
            tool=self._naming.tool,
        )


def _keyed(member: Member, before: bytes) -> Member | LeftOut:
    """Return the member under its full key, where its name makes one."""
    key = before + member.key
    if not member.key or b"\0" in key or len(key) > MAX_KEY_BYTES:
        return LeftOut(member.key[:MAX_KEY_BYTES], "a name that is no key")
    return member._replace(key=key)


def _record(reservation: Reservation, info: ObjectInfo, crc64nvme: str, members: int) -> ArchiveRecord:
    return ArchiveRecord(
        ref=info.ref,
        size=info.size,
        crc64nvme=crc64nvme,
        storage_class=info.storage_class,
        batch=reservation.id,
        created=reservation.created,
        host=reservation.host,
        tool=reservation.tool,
        manifest=reservation.manifest,
        members=members,
    )
