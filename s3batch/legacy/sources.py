"""Where the original program's archives are known from: its fallback manifests, its daily indices, or their names in a bucket.

It wrote documents of six fields, of which the archive's bucket and `url` say where it lies and `archive_content` what is in it.
Its fallback manifests of one day replaced each other, so a bucket's listing may know archives that nothing else does. All of it
is somebody else's JSON; what says no archive is counted and left out.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from s3batch.catalogue.cluster import Searches
from s3sync import keys
from s3sync.errors import Permanent
from s3sync.store.contract import ObjectRef, Reads

MANIFESTS = "s3-batch/manifests/"
DAILY = "s3-batch-*.*.*"
MOST_TEXT_BYTES = 1 << 30
PAGE = 1_000
_DAY = re.compile(r"s3-batch/manifests/\d{4}-\d{2}-\d{2}\.json\.gz", re.ASCII)
_DAILY_INDEX = re.compile(r"s3-batch-\d{4}\.\d{2}\.\d{2}", re.ASCII)
_CONSOLE = "https://s3.console.aws.amazon.com/s3/object/"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_ARCHIVE = re.compile(rf"(?:(?P<folder>.*)/)?(?P<id>{_UUID})\.tar", re.ASCII | re.DOTALL)


@dataclass(slots=True)
class Known:
    """What is known of the archives: each with the names of members that documents tell of."""

    archives: dict[ObjectRef, set[str]] = field(default_factory=dict)
    odd: int = 0
    """Documents that name no archive of the original program."""

    def take(self, documents: Iterable[object]) -> None:
        """Take documents in."""
        for document in documents:
            ref = archive_of(document)
            if ref is None or not isinstance(document, Mapping):
                self.odd += 1
            else:
                self.archives.setdefault(ref, set()).add(str(document.get("archive_content", "")))


def identity(key: str) -> str | None:
    """Return the id in the name of an archive of the original program; None for any other key."""
    found = _ARCHIVE.fullmatch(key)
    return None if found is None else found["id"]


def folder(key: str) -> str:
    """Return the folder of an archive, with a slash at its end where there is one: its members were dropped there."""
    return key[: len(key) - len(key.rpartition("/")[2])]


def archive_of(document: object) -> ObjectRef | None:
    """Return the archive a document is of: its `url` is the console's address and the key, with nothing encoded."""
    if not isinstance(document, Mapping):
        return None
    bucket, url = document.get("bucket"), document.get("url")
    if not isinstance(bucket, str) or not isinstance(url, str) or not _BUCKET.fullmatch(bucket):
        return None
    key = url.removeprefix(f"{_CONSOLE}{bucket}/")
    if key == url or identity(key) is None or not _is_key(key):
        return None
    return ObjectRef(bucket, key)


def is_daily(index: str) -> bool:
    """Tell whether an index is called like one of the original program's."""
    return _DAILY_INDEX.fullmatch(index) is not None


def from_manifests(store: Reads, bucket: str, known: Known) -> None:
    """Take in the fallback manifests in `bucket`. Raises `Permanent` naming one that is none, and what the store raises."""
    for ref in list(store.list(bucket, MANIFESTS)):
        if _DAY.fullmatch(ref.key):
            known.take(_documents(store, ref))


def from_index(cluster: Searches, known: Known) -> None:
    """Take in the documents of the daily indices. Raises what the cluster raises."""
    names = ("name.keyword", "archive_content.keyword")  # an id and a file name: never longer than keywords are, and unique
    query = {"bool": {"filter": [{"exists": {"field": name}} for name in names]}}
    sort = [{name: {"order": "asc", "unmapped_type": "keyword"}} for name in names]
    for index in sorted(_daily(cluster)):
        known.odd += cluster.count(index) - cluster.count(index, query)
        body: dict[str, object] = {"size": PAGE, "query": query, "sort": sort}
        while hits := cluster.search(index, body).hits:
            known.take(hit.source for hit in hits)
            body["search_after"] = list(hits[-1].sort)


def from_listing(store: Reads, bucket: str, known: Known) -> None:
    """Take in what is called like an archive of the original program. Raises what the store raises."""
    for ref in store.list(bucket, ""):
        if identity(ref.key) is not None:
            known.archives.setdefault(ObjectRef(ref.bucket, ref.key), set())


def _daily(cluster: Searches) -> Iterator[str]:
    body = {"size": 0, "aggs": {"names": {"terms": {"field": "_index", "size": 10_000}}}}
    names = cluster.search("s3-batch-*", body).aggregations.get("names")
    buckets = names.get("buckets", []) if isinstance(names, Mapping) else []
    for one in buckets:
        if is_daily(str(one["key"])):
            yield str(one["key"])


def _documents(store: Reads, ref: ObjectRef) -> list[object]:
    subject = f"manifest {keys.printable(str(ref))}"
    info = store.head(ref)
    if info is None or info.size > MOST_TEXT_BYTES:
        raise Permanent(subject, "is gone, or too large", "Leave it out")
    with store.read(info.ref, offset=0, length=info.size, etag=info.etag) as chunks:
        packed = b"".join(chunks)
    try:
        unpacker = zlib.decompressobj(31)
        text = unpacker.decompress(packed, MOST_TEXT_BYTES)
        if not unpacker.eof:
            raise ValueError("it is not whole gzip, or unpacks to too much")
        documents = json.loads(text)
        if not isinstance(documents, list):
            raise ValueError("it is no list")  # noqa: TRY004 - as any other
    except (ValueError, zlib.error, RecursionError) as error:
        raise Permanent(subject, f"is none of the original program: {error}", "Move it away and try again") from error
    return documents


def _is_key(text: str) -> bool:
    try:
        return len(text.encode("utf-8")) <= keys.MAX_KEY_BYTES
    except UnicodeEncodeError:  # JSON may hold half a character
        return False
