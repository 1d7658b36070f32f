"""Payloads from bytes: a file on disk, opened, with its checksum."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from s3sync.store.checksum import crc64nvme_base64
from s3sync.store.contract import Payload, StorageClass


@contextmanager
def payload_of(
    data: bytes,
    *,
    storage_class: StorageClass = StorageClass.STANDARD,
    metadata: Mapping[str, str] | None = None,
    crc64nvme: str | None = None,
    size: int | None = None,
) -> Iterator[Payload]:
    """Open `data` as a payload as long as the block; checksum and size are the true ones unless given."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield Payload(
            fd=file.fileno(),
            size=len(data) if size is None else size,
            crc64nvme=crc64nvme_base64(data) if crc64nvme is None else crc64nvme,
            storage_class=storage_class,
            metadata=metadata or {},
        )
