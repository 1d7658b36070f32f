"""Fill a catalogue from the manifests in S3, on the host that lost it or on one that never had it.

Every manifest is read, checked and believed only on its archive's word, then compared with the catalogue: what is missing is
added, what differs is replaced, what agrees is left. Each archive is a transaction of its own, so the catalogue is whole at
every instant, an agent may go on adding to it, and an interrupted rebuild is simply run again. Building a new file beside and
renaming it was set aside: an agent that has the old one open would go on filling a file without a name.

What the catalogue knows and no manifest says is kept: it may be the last trace of an archive whose manifest somebody deleted.
To begin from nothing, move the catalogue away first.

A manifest that is wrong is reported and left out, and never stops the others; a bucket that cannot be listed likewise. Memory
holds the manifests' keys (they are sorted, so that archives are added oldest first) and a handful of manifests at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Protocol

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue.contract import Catalogue
from s3batch.catalogue.manifest import Manifest
from s3batch.catalogue.manifest_source import fetch
from s3batch.model import ArchiveRecord, Member
from s3sync.errors import Exit, Failure, Permanent, Transient, gravest
from s3sync.events import Event, Level, Listener, silent
from s3sync.store.contract import ObjectRef, Reads

MANIFESTS = "s3-batch/manifests/"
AT_ONCE = 16
"""Manifests fetched side by side: each waits for three replies of the store."""


class Replaceable(Catalogue, Protocol):
    """A catalogue that can be corrected."""

    def replace(self, record: ArchiveRecord, members: Iterable[Member]) -> None:
        """Insert an archive in place of what is known under its batch id, in one transaction."""

    def holds(self, record: ArchiveRecord, members: Iterable[Member]) -> bool:
        """Tell whether exactly this archive with exactly these members is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRefused(Event):
    """A manifest, or a whole bucket of them, was left out of a rebuild."""

    name: ClassVar[str] = "manifest_refused"
    level: ClassVar[Level] = Level.WARNING
    bucket: str
    key: str
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildProgress(Event):
    """So many of the manifests found have been dealt with."""

    name: ClassVar[str] = "rebuild_progress"
    level: ClassVar[Level] = Level.DEBUG
    done: int
    found: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was left out, and why."""

    ref: ObjectRef
    """The manifest; where a bucket could not be listed, the prefix."""
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """What a rebuild did, counted in archives."""

    found: int
    added: int
    replaced: int
    unchanged: int
    refused: tuple[Refusal, ...]

    @property
    def exit(self) -> Exit:
        """`PARTIAL` where something was left out, `FAILED` where everything was."""
        done = self.added + self.replaced + self.unchanged
        return gravest([Exit.DONE] if not self.refused else [Exit.PARTIAL if done else Exit.FAILED])


def rebuild(
    store: Reads,
    catalogue: Replaceable,
    buckets: Sequence[str],
    manifest_bucket: str | None,
    listener: Listener = silent,
) -> RebuildReport:
    """Read the manifests of `buckets`, each from its own bucket or all from `manifest_bucket`; there, none named means all.

    Raises `Transient` where the store cannot be reached at all; what was added until then stays.
    """
    return _Rebuild(store, catalogue, listener).run(places_of(buckets, manifest_bucket))


def places_of(buckets: Sequence[str], manifest_bucket: str | None) -> list[ObjectRef]:
    """Return the prefixes to list: of `buckets`, each in its own or all in `manifest_bucket`; there, none named means all."""
    if manifest_bucket is not None and not buckets:
        return [ObjectRef(manifest_bucket, MANIFESTS)]
    return [ObjectRef(manifest_bucket or bucket, f"{MANIFESTS}{bucket}/") for bucket in dict.fromkeys(buckets)]


class _Rebuild:
    """One rebuild on its way."""

    def __init__(self, store: Reads, catalogue: Replaceable, listener: Listener) -> None:
        self._store = store
        self._catalogue = catalogue
        self._listener = listener
        self._counts = {"added": 0, "replaced": 0, "unchanged": 0}
        self._refused: list[Refusal] = []

    def run(self, places: list[ObjectRef]) -> RebuildReport:
        refs = sorted((ref for place in places for ref in self._listed(place)), key=_dated)
        done = 0
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="manifest") as pool:
            for some in batched(refs, AT_ONCE):
                self._take(list(pool.map(self._fetched, some)))
                done += len(some)
                self._listener(RebuildProgress(done=done, found=len(refs)))
        return RebuildReport(found=len(refs), refused=tuple(self._refused), **self._counts)

    def _listed(self, place: ObjectRef) -> list[ObjectRef]:
        try:
            return [ObjectRef(ref.bucket, ref.key) for ref in self._store.list(place.bucket, place.key)]
        except Failure as failure:
            self._refuse(place, failure)
            return []

    def _fetched(self, ref: ObjectRef) -> Manifest | Refusal:
        try:
            manifest = fetch(self._store, ref)
            manifest_format.believe(self._store, manifest, ref)
        except Failure as failure:
            return Refusal(ref, failure)
        return manifest

    def _take(self, fetched: list[Manifest | Refusal]) -> None:
        refusals = [one for one in fetched if isinstance(one, Refusal)]
        if len(refusals) == AT_ONCE and all(isinstance(refusal.failure, Transient) for refusal in refusals):
            raise refusals[0].failure
        for refusal in refusals:
            self._refuse(refusal.ref, refusal.failure)
        believed = [one for one in fetched if isinstance(one, Manifest)]
        for manifest in sorted(believed, key=lambda one: (one.record.created, one.record.batch)):
            self._enter(manifest)

    def _enter(self, manifest: Manifest) -> None:
        record = manifest.record
        try:
            if self._catalogue.archive(record.ref.bucket, record.ref.key) is None:
                self._catalogue.add(record, manifest.members())
                self._counts["added"] += 1
            elif self._catalogue.holds(record, manifest.members()):
                self._counts["unchanged"] += 1
            else:
                self._catalogue.replace(record, manifest.members())
                self._counts["replaced"] += 1
        except Permanent as failure:
            self._refuse(record.manifest, failure)

    def _refuse(self, ref: ObjectRef, failure: Failure) -> None:
        self._refused.append(Refusal(ref, failure))
        self._listener(ManifestRefused(bucket=ref.bucket, key=ref.key, wrong=failure.wrong))


def _dated(ref: ObjectRef) -> str:
    """Return the part of a manifest's key that begins with its date, whichever bucket it is for."""
    return ref.key.removeprefix(MANIFESTS).partition("/")[2]


def batched(refs: Iterable[ObjectRef], size: int) -> Iterator[list[ObjectRef]]:
    """Yield `refs` in lists of at most `size`."""
    remaining = iter(refs)
    while some := list(islice(remaining, size)):
        yield some
