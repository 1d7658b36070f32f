"""Store manifests, and store those anew that S3 has lost: a catalogue knows all that was in them.

A manifest is written again only for an archive that is still the one the catalogue describes (mark, size, checksum), only where
the catalogue has all its members, and only where no object lies in the manifest's place: one that is there and damaged is
somebody's to look at first. The bytes are those of the first one where the catalogue is of this version.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue.contract import Lookup, manifest_ref
from s3batch.catalogue.manifest_source import fetch
from s3batch.model import ArchiveRecord, Member
from s3sync.errors import Failure, Permanent
from s3sync.store.checksum import of_fd
from s3sync.store.contract import ObjectRef, ObjectStore, Payload, StorageClass
from s3sync.store.proof import BATCH_MARK
from s3sync.store.stored import NoLog, store_and_prove


class Fate(StrEnum):
    """How an archive stands, or what became of its manifest."""

    THERE = "there"
    WRITTEN = "written"
    MISSING = "missing"
    """Would be written."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Told:
    """One archive; `failure` where it was refused."""

    record: ArchiveRecord
    fate: Fate
    failure: Failure | None = None


def store_manifest(store: ObjectStore, record: ArchiveRecord, members: Iterable[Member]) -> None:
    """Store and prove the manifest of `record` in its place, replacing nothing. Raises what the store raises."""
    with tempfile.TemporaryFile() as file:
        manifest_format.write(file, record, members)
        file.flush()
        size = os.fstat(file.fileno()).st_size
        payload = Payload(
            fd=file.fileno(),
            size=size,
            crc64nvme=of_fd(file.fileno(), size).base64(),
            storage_class=StorageClass.STANDARD,
            metadata={BATCH_MARK: record.batch},
            content_type="application/gzip",
        )
        store_and_prove(store, record.manifest, payload, NoLog())


class Remanifest:
    """Looks at archives one by one; may be broken off and begun again."""

    def __init__(self, store: ObjectStore, catalogue: Lookup, manifest_bucket: str | None, *, dry_run: bool) -> None:
        """Write into `manifest_bucket`, or where each manifest was."""
        self._store = store
        self._catalogue = catalogue
        self._manifest_bucket = manifest_bucket
        self._dry_run = dry_run

    def run(self, bucket: str) -> Iterator[Told]:
        """Go through the archives of `bucket`. What is wrong with one is told; raises where catalogue or store are away."""
        for record in self._catalogue.archives(bucket):
            placed = replace(record, manifest=self._place(record))
            try:
                yield Told(placed, self._one(placed))
            except Permanent as failure:
                yield Told(placed, Fate.REFUSED, failure)

    def _place(self, record: ArchiveRecord) -> ObjectRef:
        return manifest_ref(record.ref.bucket, record.batch, record.created, self._manifest_bucket or record.manifest.bucket)

    def _one(self, record: ArchiveRecord) -> Fate:
        if self._store.head(record.manifest) is not None:
            manifest_format.believe(self._store, fetch(self._store, record.manifest), record.manifest)
            return Fate.THERE
        members = (entry.member for entry in self._catalogue.members(record.ref.bucket, record.ref.key))
        manifest = manifest_format.read(manifest_format.render(record, members), record.manifest)
        manifest_format.believe(self._store, manifest, record.manifest)
        if manifest.record.members != record.members:
            wrong = f"the catalogue has {manifest.record.members} of its {record.members} members"
            raise Permanent(f"archive {record.ref}", wrong, "Take another catalogue: --catalogue")
        if self._dry_run:
            return Fate.MISSING
        store_manifest(self._store, record, manifest.members())
        return Fate.WRITTEN
