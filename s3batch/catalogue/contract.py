"""What a catalogue answers, whichever one it is: the SQLite file of this host, or the fleet's index.

A catalogue is a projection of the manifests: it can be lost and rebuilt, and it never names an archive that was not proved.
`add` is idempotent by batch id. Twins (the same key with the same bytes and mtime in two archives, as a lost journal leaves
them) are shown as one: the one reserved last. Versions of a key are ordered by their archive's creation time, newest first.
All calls may be made from several threads. Reads raise `Transient` where the catalogue cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from s3batch.model import ArchiveRecord, Member
from s3sync.store.contract import ObjectRef


@dataclass(frozen=True, slots=True)
class Entry:
    """One member in one archive: everything known of it."""

    member: Member
    archive: ArchiveRecord

    @property
    def bucket(self) -> str:
        """The bucket it was dropped for."""
        return self.archive.ref.bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What `find` looks for: all `words` anywhere in the key, case ignored; the rest narrows. Bounds are inclusive."""

    words: tuple[str, ...] = ()
    bucket: str | None = None
    prefix: bytes = b""
    since: datetime | None = None
    until: datetime | None = None
    larger: int | None = None
    smaller: int | None = None
    limit: int = 100
    after: str | None = None
    """The `next` of the page before; opaque."""


@dataclass(frozen=True, slots=True)
class Page:
    """Hits, newest archive first, and the cursor of the next page where there is one."""

    entries: tuple[Entry, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `ls`: a folder (key ends in `/`, `entry` None) or a key's newest version and how many versions there are."""

    key: bytes
    entry: Entry | None
    versions: int


class Lookup(Protocol):
    """The lookup from member to archive: all that finding and restoring ask."""

    def find(self, query: Query) -> Page:
        """Return members whose keys hold every word."""

    def ls(self, bucket: str, prefix: bytes) -> Iterator[Listed]:
        """Yield what a listing with delimiter `/` would show if the members were still objects, in key order."""

    def buckets(self) -> list[str]:
        """Return every bucket that has an archive, sorted."""

    def archives(self, bucket: str) -> Iterator[ArchiveRecord]:
        """Yield every archive of `bucket`, newest first."""

    def versions(self, key: bytes, bucket: str | None = None, as_of: datetime | None = None) -> list[Entry]:
        """Return every version (archived no later than `as_of`) of exactly this key, newest first; by default of any bucket."""

    def below(
        self, bucket: str, prefix: bytes, as_of: datetime | None = None, *, every_version: bool = False
    ) -> Iterator[Entry]:
        """Yield the newest version (archived no later than `as_of`) of each key that begins with `prefix`, in key order.

        With `every_version`, all of them, each key's newest first.
        """

    def archive(self, bucket: str, key: str) -> ArchiveRecord | None:
        """Return what is known of the archive object `s3://bucket/key`."""

    def members(self, bucket: str, key: str) -> Iterator[Entry]:
        """Yield the members of that archive in the order they lie in it.

        Raises `Transient` at the end where the catalogue has not got all of them: the fleet's index may still be filling.
        """


class Catalogue(Lookup, Protocol):
    """A catalogue that is written to as well."""

    def add(self, record: ArchiveRecord, members: Iterable[Member]) -> None:
        """Insert an archive with all its members in one transaction; one that is there already is left as it is."""

    def statistics(self) -> dict[str, int]:
        """Return `archives`, `members`, `bytes` (of members) and `disk_bytes` (of the catalogue itself)."""


def manifest_ref(bucket: str, batch: str, created: datetime, manifest_bucket: str) -> ObjectRef:
    """Return where the manifest of a batch lies: dated by its reserved creation time, so it never moves."""
    return ObjectRef(manifest_bucket, f"s3-batch/manifests/{bucket}/{created:%Y/%m/%d}/{batch}.json.gz")
