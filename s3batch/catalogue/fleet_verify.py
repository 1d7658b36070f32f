"""Compare the fleet's index with the manifests in S3 and with what S3 lists, and mend it where that is wanted.

Each archive that a manifest describes is compared document by document. What is named:

    missing   a member of a manifest without its document
    differs   a document that says something else than the manifest
    phantom   a document that no manifest calls for: of another id, or of a batch without a manifest
    gone      an archive that a manifest describes and S3 does not list any more
    orphan    an archive that S3 lists and no manifest describes
    unread    a manifest that cannot be read, or is not believed; its archive's documents are left out of the judgement

Mending makes what is missing and corrects what differs. Phantoms are deleted only where that is asked for by itself: they may
be the last trace of an archive. What S3 lacks, or holds unnamed, no index can mend.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from s3batch.catalogue.bulks import BulkIndex
from s3batch.catalogue.cluster import Hit, Json
from s3batch.catalogue.contract import manifest_ref
from s3batch.catalogue.documents import Document
from s3batch.catalogue.fleet_read import BY_PLACE, Reader
from s3batch.catalogue.fleet_rebuild import Cluster, batches_in, documents_of_manifest
from s3batch.catalogue.index import Outcome
from s3batch.catalogue.manifest import Manifest
from s3batch.catalogue.manifest_source import fetch
from s3sync.errors import Failure, Permanent, Transient
from s3sync.events import Event, Level, Listener, silent
from s3sync.keys import printable
from s3sync.store.contract import ObjectRef, Reads

_NAME = re.compile(r"s3-batch/manifests/([^/]+)/\d{4}/\d{2}/\d{2}/([^/]+)\.json\.gz")
_ARCHIVE = re.compile(r"(?:.*/)?\d{8}T\d{6}-[0-9a-f]{8,}\.tar", re.DOTALL)
"""What archives of ours are called."""
_GROUP = 500


class Kind(StrEnum):
    """What is not as it should be."""

    MISSING = "missing"
    DIFFERS = "differs"
    PHANTOM = "phantom"
    GONE = "gone"
    ORPHAN = "orphan"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: Kind
    subject: str
    """`s3://bucket/archive`, with `#member` where it is about one, or the manifest."""
    detail: str = ""
    mended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyProgress(Event):
    """So many of the manifests found were compared."""

    name: ClassVar[str] = "verify_progress"
    level: ClassVar[Level] = Level.DEBUG
    done: int
    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """What may be changed."""

    repair: bool = False
    remove: bool = False
    """Delete phantoms too."""


class Verify:
    """Compares; one thread at a time."""

    def __init__(self, store: Reads, cluster: Cluster, mending: Mending, listener: Listener = silent) -> None:
        """Change nothing yet."""
        self._store = store
        self._cluster = cluster
        self._mending = mending
        self._listener = listener
        self._reader = Reader(cluster, listener)
        self._bulks = BulkIndex(cluster)
        self._described: set[tuple[str, str]] = set()
        self._unread: set[tuple[str, str]] = set()
        self.archives = 0
        """Archives that were compared."""
        self.documents = 0
        """Documents that are as they should be."""

    def manifests(self, refs: Sequence[ObjectRef]) -> Iterator[Finding]:
        """Compare the archives that the manifests `refs` describe. Raises what the cluster raises."""
        for done, ref in enumerate(refs, 1):
            try:
                manifest = _fetched(self._store, ref)
            except Transient:
                raise
            except Failure as failure:
                self._unread.update(_named(ref))
                yield Finding(Kind.UNREAD, str(ref), failure.wrong)
            else:
                archive = manifest.record.ref
                self._described.add((archive.bucket, archive.key))
                self.archives += 1
                yield from self._archive(manifest)
            self._listener(VerifyProgress(done=done, found=len(refs)))

    def strangers(self, refs: Sequence[ObjectRef], indices: Iterable[str], buckets: frozenset[str] | None) -> Iterator[Finding]:
        """Name the documents of batches that none of `refs` describes, in these indices and, where named, buckets."""
        known = {place for ref in refs for place in _named(ref)}
        for index in indices:
            for (bucket, batch), count in sorted(batches_in(self._cluster, index).items()):
                if (bucket, batch) in known or (buckets is not None and bucket not in buckets):
                    continue
                query: Json = {"bool": {"filter": [{"term": {"bucket.keyword": bucket}}, {"term": {"batch": batch}}]}}
                mended = self._mending.remove and self._delete(list(self._reader.hits(query, BY_PLACE)))
                yield Finding(Kind.PHANTOM, f"batch {bucket}/{batch}", f"{count} documents, and no manifest", mended)

    def listed(self, objects: Iterable[tuple[str, str]], buckets: frozenset[str]) -> Iterator[Finding]:
        """Compare the archives described by what was compared before with the objects, bucket and key, that S3 lists."""
        left = {place for place in self._described if place[0] in buckets}
        for place in objects:
            if place in self._described:
                left.discard(place)
            elif place[0] in buckets and _ARCHIVE.fullmatch(place[1]) and _batch_of(place) not in self._unread:
                yield Finding(Kind.ORPHAN, f"s3://{place[0]}/{place[1]}", "no manifest that was looked at describes it")
        for bucket, key in sorted(left):
            yield Finding(Kind.GONE, f"s3://{bucket}/{key}", "S3 does not list it")

    def _archive(self, manifest: Manifest) -> Iterator[Finding]:
        """Compare one archive's documents with its manifest."""
        record = manifest.record
        name = f"s3://{record.ref.bucket}/{record.ref.key}"
        filters: list[Json] = [{"term": {"bucket.keyword": record.ref.bucket}}, {"term": {"archive": record.ref.key}}]
        hits = list(self._reader.hits({"bool": {"filter": filters}}, BY_PLACE))
        there = {hit.id: hit for hit in hits}
        again = [hit for hit in hits if there[hit.id] is not hit]  # once more, in another index
        lacking: list[tuple[Finding, Document]] = []
        for document in documents_of_manifest(manifest):
            hit = there.pop(document.id) if document.id in there else None
            subject = f"{name}#{json.loads(document.source)['key']}"
            wrong = None if hit is None else _difference(hit.source, json.loads(document.source))
            if hit is None:
                lacking.append((Finding(Kind.MISSING, subject), document))
            elif wrong:
                if self._mending.repair:
                    self._delete([hit])
                lacking.append((Finding(Kind.DIFFERS, subject, wrong), document))
            else:
                self.documents += 1
            if len(lacking) >= _GROUP:
                yield from self._made(lacking)
                lacking = []
        yield from self._made(lacking)
        for hit in [*there.values(), *again]:
            mended = self._mending.remove and self._delete([hit])
            yield Finding(Kind.PHANTOM, name, f"document {hit.id} in {hit.index} is called for by no member", mended)

    def _made(self, lacking: Sequence[tuple[Finding, Document]]) -> Iterator[Finding]:
        """Make the documents, where that is wanted, and yield the findings with what became of them."""
        answers = self._bulks.create([document for _, document in lacking]) if self._mending.repair else []
        for at, (finding, _) in enumerate(lacking):
            refused = answers[at].reason if answers else ""
            mended = bool(answers) and answers[at].outcome is Outcome.DONE
            detail = "; ".join(part for part in (finding.detail, refused) if part)
            yield Finding(finding.kind, finding.subject, detail, mended)

    def _delete(self, hits: Sequence[Hit]) -> bool:
        """Delete documents where they lie. Raises `Transient` where one cannot be."""
        for start in range(0, len(hits), _GROUP):
            some = hits[start : start + _GROUP]
            lines = [json.dumps({"delete": {"_index": hit.index, "_id": hit.id}}) for hit in some]
            for reply in self._cluster.bulk("\n".join(lines) + "\n"):
                if reply.kind:
                    raise Transient("the index", f"does not delete a document: {reply.reason}", "Run it again")
        return True


def _fetched(store: Reads, ref: ObjectRef) -> Manifest:
    """Return the manifest `ref`, which must lie where it belongs. Raises `Permanent`, and what the store raises."""
    manifest = fetch(store, ref)
    record = manifest.record
    place = manifest_ref(record.ref.bucket, record.batch, record.created, ref.bucket)
    if place != ref:
        raise Permanent(str(ref), f"it belongs at {printable(place.key)}", "See who put it there")
    return manifest


def _named(ref: ObjectRef) -> list[tuple[str, str]]:
    """Return the bucket and batch that a manifest's key names."""
    match = _NAME.fullmatch(ref.key)
    return [] if match is None else [(match[1], match[2])]


def _batch_of(place: tuple[str, str]) -> tuple[str, str]:
    return place[0], place[1].rpartition("/")[2].removesuffix(".tar")


def buckets_listed(store: Reads, buckets: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield bucket and key of every object. Raises what the store raises."""
    for bucket in buckets:
        yield from ((ref.bucket, ref.key) for ref in store.list(bucket, ""))


def _difference(there: Json, ours: Mapping[str, object]) -> str:
    """Return the names of the fields in which two documents differ; empty where they are the same."""
    return ", ".join(sorted(name for name in {*there, *ours} if there.get(name) != ours.get(name)))
