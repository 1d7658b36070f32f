"""The fleet's index as a catalogue to look things up in: all hosts' archives, with nothing on this one.

It answers what catalogue.db would after a `rebuild` from all manifests, to the letter (tests/conformance/test_catalogue.py),
with two differences that follow from what it is: an archive whose documents are just being sent is seen in part, and of an
archive it has only a part of, `members` says so instead of ending early.

Keys that are not UTF-8 are shown escaped there, which sorts them elsewhere than their bytes do. They are few: those below a
prefix are read whole and merged in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from heapq import merge
from itertools import groupby

from s3batch.catalogue import fleet_find
from s3batch.catalogue.cluster import Json, Searches
from s3batch.catalogue.contract import Entry, Listed, Page, Query
from s3batch.catalogue.fleet_read import BY_KEY, BY_PLACE, NEWEST_FIRST, PAGE, DocumentLeftOut, Reader
from s3batch.catalogue.listing import first_text, up_to_folder, without_twins
from s3batch.catalogue.template import ALIAS
from s3batch.model import ArchiveRecord
from s3sync import keys
from s3sync.errors import Transient
from s3sync.events import Listener, silent

_FIRST_LS_ROWS = 16
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_NOT_UTF8: Json = {"exists": {"field": "key_base64"}}
_UTF8: Json = {"bool": {"must_not": [_NOT_UTF8]}}


class FleetCatalogue:
    """A `Lookup` in OpenSearch."""

    def __init__(self, searches: Searches, listener: Listener = silent) -> None:
        """Ask nothing yet. `listener` is told of documents that are not believed, and left out."""
        self._reader = Reader(searches, listener)
        self._listener = listener

    def find(self, query: Query) -> Page:
        """See the contract. A page may be short, or empty, and still name a next one."""
        return fleet_find.find(self._reader, query)

    def ls(self, bucket: str, prefix: bytes) -> Iterator[Listed]:
        """See the contract. A folder costs one request, however many members lie below it."""
        odd = self._odd(bucket, prefix, None)
        low: bytes | None = prefix
        while low is not None:
            plain = self._plain(bucket, prefix, low, None, _FIRST_LS_ROWS)
            left = [group for group in odd if _key_of(group[0]) >= low]
            low = yield from up_to_folder(_merged(plain, left), prefix)

    def buckets(self) -> list[str]:
        """See the contract."""
        found = []
        for name in self._reader.buckets():
            if _BUCKET.fullmatch(name):
                found.append(name)
            else:
                self._listener(DocumentLeftOut(index=ALIAS, document="", wrong=f"{keys.printable(name)} is no bucket's name"))
        return sorted(found)

    def archives(self, bucket: str) -> Iterator[ArchiveRecord]:
        """See the contract."""
        for read in self._reader.read([*_in(bucket), {"term": {"ordinal": 0}}], NEWEST_FIRST):
            yield read.entry.archive

    def versions(self, key: bytes, bucket: str | None = None, as_of: datetime | None = None) -> list[Entry]:
        """See the contract."""
        filters: list[Json] = [{"term": {"key": keys.display(key)}}, *_in(bucket), *fleet_find.bounds(until=as_of)]
        reads = self._reader.read(filters, NEWEST_FIRST)
        return without_twins(read.entry for read in reads if read.entry.member.key == key)

    def below(
        self, bucket: str, prefix: bytes, as_of: datetime | None = None, *, every_version: bool = False
    ) -> Iterator[Entry]:
        """See the contract."""
        plain = self._plain(bucket, prefix, prefix, as_of, PAGE)
        for versions in _merged(plain, self._odd(bucket, prefix, as_of)):
            yield from versions if every_version else versions[:1]

    def archive(self, bucket: str, key: str) -> ArchiveRecord | None:
        """See the contract."""
        reads = self._reader.read(_of_archive(bucket, key), BY_PLACE, rows=1)
        return next((read.entry.archive for read in reads), None)

    def members(self, bucket: str, key: str) -> Iterator[Entry]:
        """See the contract."""
        count, archive = 0, None
        for read in self._reader.read(_of_archive(bucket, key), BY_PLACE):
            archive = archive or read.entry.archive
            if read.entry.archive == archive:
                count += 1
                yield read.entry
        if archive is not None and count != archive.members:
            hint = "Wait until its host has sent them, or see what is missing: s3batch index verify --repair"
            raise Transient(f"archive {archive.ref}", f"the index has {count} of its {archive.members} members", hint)

    def _plain(self, bucket: str, prefix: bytes, low: bytes, as_of: datetime | None, rows: int) -> Iterator[list[Entry]]:
        """Yield the versions of each UTF-8 key below `prefix` and not below `low`, newest first, in key order."""
        start = first_text(low[: fleet_find.MOST_BEGINNING])
        if start is None:
            return
        filters = [*_below(bucket, prefix, as_of), {"range": {"key": {"gte": start}}}, _UTF8]
        entries = (read.entry for read in self._reader.read(filters, BY_KEY, rows=rows))
        wanted = (entry for entry in entries if entry.member.key.startswith(prefix) and entry.member.key >= low)
        for _, versions in groupby(wanted, key=_key_of):
            yield without_twins(versions)

    def _odd(self, bucket: str, prefix: bytes, as_of: datetime | None) -> list[list[Entry]]:
        """Return the same of the keys that are not UTF-8."""
        reads = self._reader.read([*_below(bucket, prefix, as_of), _NOT_UTF8], BY_KEY)
        entries = sorted((read.entry for read in reads if read.entry.member.key.startswith(prefix)), key=_key_of)
        return [without_twins(versions) for _, versions in groupby(entries, key=_key_of)]


def _key_of(entry: Entry) -> bytes:
    return entry.member.key


def _merged(plain: Iterator[list[Entry]], odd: Iterator[list[Entry]] | list[list[Entry]]) -> Iterator[list[Entry]]:
    return merge(plain, odd, key=lambda versions: _key_of(versions[0]))


def _in(bucket: str | None) -> list[Json]:
    ours: Json = {"exists": {"field": "ordinal"}}
    return [ours] if bucket is None else [ours, {"term": {"bucket.keyword": bucket}}]


def _below(bucket: str, prefix: bytes, as_of: datetime | None) -> list[Json]:
    return [*_in(bucket), *fleet_find.beginning(prefix), *fleet_find.bounds(until=as_of)]


def _of_archive(bucket: str, key: str) -> list[Json]:
    return [*_in(bucket), {"term": {"archive": key}}]
