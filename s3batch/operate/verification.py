"""Compare archives with what S3 holds: by HEAD of the archive, and by reading its manifest. Nothing is thawed, nothing changed.

The bytes of an archive are not read again: S3 confirmed their checksum when they were stored, keeps it, and shows it by HEAD.
What can happen afterwards is that somebody removes or replaces an object, or moves it into another class; all of that shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Protocol

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue.manifest import Manifest
from s3batch.model import ArchiveRecord, Member, mark_of
from s3sync.errors import Failure, Permanent, Transient
from s3sync.store.contract import Denied, ObjectInfo, Reads
from s3sync.store.proof import BATCH_MARK

AT_ONCE = 8
"""Archives looked at side by side: each waits for three replies of the store."""


class Kind(StrEnum):
    """What is not as it should be."""

    MISSING_ARCHIVE = "missing_archive"
    ARCHIVE_DIFFERS = "archive_differs"
    MISSING_MANIFEST = "missing_manifest"
    MANIFEST_DAMAGED = "manifest_damaged"
    MANIFEST_DIFFERS = "manifest_differs"
    UNSEEN = "unseen"
    """It could not be looked at now: nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one archive."""

    kind: Kind
    detail: str


@dataclass(frozen=True, slots=True)
class Looked:
    """One archive, and what was found about it: nothing where all is well."""

    record: ArchiveRecord
    findings: tuple[Finding, ...]


class Holds(Protocol):
    """A catalogue that can be compared with a manifest."""

    def holds(self, record: ArchiveRecord, members: Iterable[Member]) -> bool:
        """Tell whether exactly this archive with exactly these members is there."""


def verify(store: Reads, catalogue: Holds, records: Iterable[ArchiveRecord]) -> Iterator[Looked]:
    """Yield each archive with what was found about it, in the order given.

    Raises `Transient` where as many in a row as are looked at side by side cannot be looked at.
    """
    waiting = iter(records)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="verify") as pool:
        while some := list(islice(waiting, AT_ONCE)):
            looked = list(pool.map(lambda record: _look(store, catalogue, record), some))
            failures = [failure for _, failure in looked if failure is not None]
            if len(failures) == AT_ONCE and all(isinstance(failure, Transient) for failure in failures):
                raise failures[0]
            yield from (each for each, _ in looked)


def _look(store: Reads, catalogue: Holds, record: ArchiveRecord) -> tuple[Looked, Failure | None]:
    try:
        findings = (*_archive(store, record), *_manifest(store, catalogue, record))
    except (Transient, Denied) as failure:
        return Looked(record, (Finding(Kind.UNSEEN, f"{failure.subject}: {failure.wrong}"),)), failure
    return Looked(record, findings), None


def _archive(store: Reads, record: ArchiveRecord) -> Iterator[Finding]:
    info = store.head(record.ref)
    if info is None:
        yield Finding(Kind.MISSING_ARCHIVE, "it is not there" + _version(record))
        return
    differences = "; ".join(_differences(info, record))
    if differences:
        yield Finding(Kind.ARCHIVE_DIFFERS, differences)


def _differences(info: ObjectInfo, record: ArchiveRecord) -> Iterator[str]:
    mark = mark_of(record.batch)
    pairs: list[tuple[str, object, object]] = [
        ("size", info.size, record.size),
        ("storage class", info.storage_class, record.storage_class),
        (BATCH_MARK, info.metadata.get(BATCH_MARK), mark),
    ]
    if mark is not None or (info.crc64nvme is not None and info.checksum_type == "FULL_OBJECT"):
        pairs.append(("CRC64NVME", info.crc64nvme, record.crc64nvme))  # an imported one may be older than that checksum
    if record.ref.version_id is not None:
        pairs.append(("version", info.ref.version_id, record.ref.version_id))
    return (f"{what} is {seen} instead of {wanted}" for what, seen, wanted in pairs if seen != wanted)


def _manifest(store: Reads, catalogue: Holds, record: ArchiveRecord) -> Iterator[Finding]:
    info = store.head(record.manifest)
    if info is None:
        yield Finding(Kind.MISSING_MANIFEST, f"{record.manifest} is not there")
        return
    try:
        manifest = _read(store, info, record)
    except Denied:
        raise
    except Permanent as failure:
        yield Finding(Kind.MANIFEST_DAMAGED, f"{failure.subject}: {failure.wrong}")
        return
    if not catalogue.holds(manifest.record, manifest.members()):
        yield Finding(Kind.MANIFEST_DIFFERS, f"{record.manifest} says something else than the catalogue")


def _read(store: Reads, info: ObjectInfo, record: ArchiveRecord) -> Manifest:
    if info.size > manifest_format.MOST_COMPRESSED_BYTES:
        raise Permanent(str(record.manifest), "it is too large for a manifest")
    with store.read(info.ref, offset=0, length=info.size, etag=info.etag) as chunks:
        return manifest_format.read(b"".join(chunks), record.manifest)


def _version(record: ArchiveRecord) -> str:
    return "" if record.ref.version_id is None else f" in version {record.ref.version_id}"
