"""Read the fleet's index far: page after page, by `search_after` in a point in time, each hit parsed or left out.

The order is total (archive's creation time, batch, bucket, place in the archive), so that reading goes on by value where a
point in time was lost: it ends with its keep-alive, and with its index when a rebuild puts another in its place. Documents are
only ever added, so nothing is read twice or passed over by that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from s3batch.catalogue.cluster import Hit, Json, Refused, Searches
from s3batch.catalogue.contract import Entry
from s3batch.catalogue.sources import entry_from
from s3batch.catalogue.template import ALIAS
from s3sync.events import Event, Level, Listener

PAGE = 2_000
"""Documents asked for at once; a server gives no more than 10,000."""
_LOST = 404

NEWEST_FIRST: tuple[Json, ...] = (
    {"archived_at": {"order": "desc", "unmapped_type": "date_nanos"}},
    {"batch": {"order": "desc", "unmapped_type": "keyword"}},
    {"bucket.keyword": {"order": "desc", "unmapped_type": "keyword"}},
    {"ordinal": {"order": "desc", "unmapped_type": "integer"}},
)
BY_KEY: tuple[Json, ...] = ({"key": {"order": "asc", "unmapped_type": "keyword"}}, *NEWEST_FIRST)
BY_PLACE: tuple[Json, ...] = ({"ordinal": {"order": "asc", "unmapped_type": "integer"}}, *NEWEST_FIRST[:3])


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLeftOut(Event):
    """A document of the fleet's index was not believed."""

    name: ClassVar[str] = "document_left_out"
    level: ClassVar[Level] = Level.WARNING
    index: str
    document: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Read:
    """One member as it was read, and which of its archive's it is."""

    entry: Entry
    ordinal: int


class Reader:
    """Reads documents of the alias."""

    def __init__(self, searches: Searches, listener: Listener) -> None:
        """Tell `listener` of documents that are left out."""
        self._searches = searches
        self._listener = listener

    def read(
        self, filters: Sequence[Json], sort: Sequence[Json], *, after: Sequence[object] = (), rows: int = PAGE
    ) -> Iterator[Read]:
        """Yield the members that all `filters` fit, behind the values `after`; about `rows` are asked for first, then more."""
        for hit in self.hits({"bool": {"filter": list(filters)}}, sort, after=after, rows=rows):
            read = self.parsed(hit)
            if read is not None:
                yield read

    def hits(self, query: Json, sort: Sequence[Json], *, after: Sequence[object] = (), rows: int = PAGE) -> Iterator[Hit]:
        """Yield the documents as they are."""
        place = tuple(after)
        while True:
            with self._searches.held(ALIAS) as pit:
                try:
                    while True:
                        body = {"query": query, "sort": list(sort), "size": rows, "track_total_hits": False}
                        page = self._searches.search(ALIAS, body | ({"search_after": list(place)} if place else {}), pit=pit)
                        for hit in page.hits:
                            place = hit.sort[: len(sort)]
                            yield hit
                        if len(page.hits) < rows:
                            return
                        rows = min(rows * 4, PAGE)
                except Refused as refused:
                    if pit is None or refused.status != _LOST:
                        raise

    def parsed(self, hit: Hit) -> Read | None:
        """Return what a document says; None where it is not believed, which is told."""
        try:
            return Read(*entry_from(dict(hit.source), hit.id))
        except ValueError as error:
            self._listener(DocumentLeftOut(index=hit.index, document=hit.id, wrong=str(error)))
            return None

    def buckets(self) -> Iterator[str]:
        """Yield the buckets that documents of ours name, in order."""
        place: Mapping[str, object] | None = None
        while True:
            source = {"bucket": {"terms": {"field": "bucket.keyword"}}}
            composite: dict[str, object] = {"size": 1_000, "sources": [source]}
            body = {
                "size": 0,
                "query": {"exists": {"field": "ordinal"}},
                "aggs": {"buckets": {"composite": composite | ({} if place is None else {"after": place})}},
            }
            found = self._searches.search(ALIAS, body).aggregations.get("buckets")
            listed = found.get("buckets") if isinstance(found, Mapping) else None
            if not isinstance(found, Mapping) or not isinstance(listed, list) or not listed:
                return
            yield from (str(one["key"]["bucket"]) for one in listed)
            place = found.get("after_key")
            if place is None:
                return
