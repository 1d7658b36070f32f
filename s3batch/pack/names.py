"""What a reserved batch is called: its id, its archive's key, its manifest's key. Ids come from time and chance."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from s3batch.catalogue.contract import manifest_ref
from s3batch.model import Batch, Reservation
from s3sync.store.contract import ObjectRef, StorageClass

BATCH_ID = re.compile(r"\d{8}T\d{6}-[0-9a-z]+", re.ASCII)
"""How a batch is called: when it was reserved, and chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a reservation is made of besides the batch itself."""

    storage_class: StorageClass
    manifest_bucket: str | None
    """None: the archive's own bucket."""
    host: str
    tool: str
    new_suffix: Callable[[], str]

    def reservation(self, batch: Batch, created: datetime) -> Reservation:
        """Return the names of `batch`, reserved at `created`."""
        batch_id = f"{created:%Y%m%dT%H%M%S}-{self.new_suffix()}"
        folder = f"{batch.folder}/" if batch.folder else ""
        manifest_bucket = self.manifest_bucket or batch.bucket
        return Reservation(
            id=batch_id,
            archive=ObjectRef(batch.bucket, f"{folder}{batch_id}.tar"),
            manifest=manifest_ref(batch.bucket, batch_id, created, manifest_bucket),
            created=created,
            storage_class=self.storage_class,
            host=self.host,
            tool=self.tool,
        )
