"""Where a manifest is read from: the copy beside the archive's lists in the spool while that is there, and S3 ever after."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Protocol

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue.manifest import Manifest
from s3sync.errors import Permanent
from s3sync.store.contract import ObjectRef, Reads

COPY = "manifest.json.gz"
"""The manifest's name in a batch's folder of the spool."""


class Manifests(Protocol):
    """Finds manifests."""

    def manifest(self, ref: ObjectRef, batch: str) -> Manifest:
        """Return the manifest `ref` of the batch. Raises `Permanent` where it is none or not its, and what the store raises."""


class ManifestSource:
    """Reads the spool's copy first: it costs nothing, and an outage of S3 does not stop the search from filling."""

    def __init__(self, store: Reads, spool: Path) -> None:
        """Read from `store` what is not in `spool` any more."""
        self._store = store
        self._spool = spool

    def manifest(self, ref: ObjectRef, batch: str) -> Manifest:
        """See the contract."""
        found = self._copy(ref, batch) or fetch(self._store, ref)
        if found.record.batch != batch:
            hint = "See who replaced it; nothing is indexed on its word"
            raise Permanent(f"manifest {ref}", f"is of batch {found.record.batch} instead of {batch}", hint)
        return found

    def _copy(self, ref: ObjectRef, batch: str) -> Manifest | None:
        with suppress(OSError, Permanent):  # gone with its batch, or damaged: S3 has it
            return manifest_format.read((self._spool / batch / COPY).read_bytes(), ref)
        return None


def fetch(store: Reads, ref: ObjectRef) -> Manifest:
    """Return the manifest that S3 holds under `ref`. Raises `Permanent` where it is none, and what the store raises."""
    info = store.head(ref)
    if info is None:
        raise Permanent(str(ref), "it is not there", "See who removed it; rebuild again")
    if info.size > manifest_format.MOST_COMPRESSED_BYTES:
        raise Permanent(str(ref), "it is too large for a manifest", "Leave it out; nothing is catalogued on its word")
    with store.read(info.ref, offset=0, length=info.size, etag=info.etag) as chunks:
        return manifest_format.read(b"".join(chunks), ref)
