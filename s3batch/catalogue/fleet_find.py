"""Search the fleet's index as `sqlite_find` searches catalogue.db: same hits, same order, same cursors.

The index is asked for a superset (it folds letters as Java does, and knows keys as they are shown), and each hit is then asked
whether it holds the words and is within the bounds. Twins of the hits are looked for by key and bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from s3batch.catalogue.cluster import Json
from s3batch.catalogue.contract import Entry, Page, Query
from s3batch.catalogue.cursor import Cursor
from s3batch.catalogue.fleet_read import NEWEST_FIRST, Read, Reader
from s3batch.catalogue.listing import text_start
from s3batch.catalogue.words import folded, folded_key, shown
from s3sync import keys
from s3sync.times import from_ns, rfc3339, to_ns

MOST_READ = 100_000
"""Members read for one page before it ends short."""
_MOST_ASKED = 64
"""Characters of a word that the index is asked for: more would make its automaton too large."""
MOST_BEGINNING = 900
"""Bytes of a prefix or bound that it is asked for: Lucene makes no automaton of keys longer than 1,000."""
_FIRST_ROWS = 100
_GROUP = 500
_CERTAIN = 0x0590
"""Below it (Latin, Greek, Cyrillic, Armenian) letters and their cases have long been what they are."""

_MOST_LONG = 2**63 - 1
_MOST_INTEGER = 2**31 - 1

_Place = tuple[int, str, int]


def bounds(*, since: datetime | None = None, until: datetime | None = None) -> list[Json]:
    """Return the filter for archives of that time, both ends included."""
    said = {"gte": since, "lte": until}
    limits = {name: _sayable(to_ns(moment)) for name, moment in said.items() if moment is not None}
    return [{"range": {"archived_at": {**limits, "format": "strict_date_optional_time_nanos"}}}] if limits else []


def beginning(prefix: bytes) -> list[Json]:
    """Return the filter for keys that may begin with `prefix`."""
    start = text_start(prefix[:MOST_BEGINNING])
    return [{"prefix": {"key": start}}] if start else []


def find(reader: Reader, query: Query) -> Page:
    """Return the page of `query`. Raises `Usage` where its cursor is none of ours."""
    words = [shown(word) for word in query.words if word]
    after = () if query.after is None else _sort_values(Cursor.read(query.after))
    rows = min(max(query.limit + 1, _FIRST_ROWS), _GROUP)
    reads = reader.read(_filters(query, words), NEWEST_FIRST, after=after, rows=rows)
    found: list[Entry] = []
    last: Read | None = None
    for count, (read, is_hit) in enumerate(_judged(reader, query, words, reads)):
        if last is not None and count >= MOST_READ:
            return Page(tuple(found), _cursor(last))
        if is_hit:
            if last is not None and len(found) >= max(1, query.limit):
                return Page(tuple(found), _cursor(last))
            found.append(read.entry)
        last = read
    return Page(tuple(found), None)


def pattern(word: str) -> str:
    """Return what `key.folded` is asked so that no key holding `word` is missed.

    Java makes one letter of `İ`, Python two, and Python tells a final sigma; letters one of them may not know yet are any, and
    so is what a pattern would have to escape: fields of the type wildcard do not find it then (OpenSearch 2.19).
    """
    asked = folded(word)[:_MOST_ASKED].removeprefix("\u0307")
    return "*" + "".join(_letter(asked, at) for at in range(len(asked))) + "*"


def _letter(asked: str, at: int) -> str:
    letter = asked[at]
    if letter == "\u0307" and asked[at - 1] == "i":
        return "*"
    if letter in "*?\\σς" or unicodedata.category(letter) == "Cn":
        return "?"
    return letter if ord(letter) < _CERTAIN or letter.upper() == letter else "?"


def _filters(query: Query, words: Sequence[str]) -> list[Json]:
    filters: list[Json] = [{"exists": {"field": "ordinal"}}, *bounds(since=query.since, until=query.until)]
    filters += [{"wildcard": {"key.folded": {"value": pattern(word)}}} for word in words]
    filters += beginning(query.prefix)
    if query.bucket is not None:
        filters.append({"term": {"bucket.keyword": query.bucket}})
    said = (("gte", query.larger), ("lte", query.smaller))
    sizes = {name: min(size, _MOST_LONG) for name, size in said if size is not None}
    return [*filters, {"range": {"size": sizes}}] if sizes else filters


def _judged(reader: Reader, query: Query, words: Sequence[str], reads: Iterator[Read]) -> Iterator[tuple[Read, bool]]:
    """Yield each member that was read, and whether it is a hit, looking for twins of many at a time."""
    wanted = [folded(word) for word in words]
    rows = min(max(query.limit + 1, _FIRST_ROWS), _GROUP)
    while group := list(islice(reads, rows)):
        fitting = [read for read in group if _fits(read.entry, query, wanted)]
        newest = _newest_twins(reader, query, fitting)
        for read in group:
            yield read, newest.get(_twin(read.entry)) == _place(read)


def _fits(entry: Entry, query: Query, wanted: Sequence[str]) -> bool:
    text = folded_key(entry.member.key)
    return entry.member.key.startswith(query.prefix) and all(word in text for word in wanted)


def _newest_twins(reader: Reader, query: Query, fitting: Sequence[Read]) -> dict[tuple[object, ...], _Place]:
    """Return the place of the newest of each one's twins, itself among them."""
    newest = {_twin(read.entry): _place(read) for read in reversed(fitting)}
    if newest:
        same: list[Json] = [
            {"terms": {"key": sorted({keys.display(read.entry.member.key) for read in fitting})}},
            {"terms": {"sha256": sorted({read.entry.member.sha256 for read in fitting})}},
            *bounds(until=query.until),
        ]
        for read in reader.read(same, NEWEST_FIRST):
            twin = _twin(read.entry)
            if twin in newest:
                newest[twin] = max(newest[twin], _place(read))
    return newest


def _twin(entry: Entry) -> tuple[object, ...]:
    member = entry.member
    return entry.bucket, member.key, member.sha256, member.mtime_ns


def _place(read: Read) -> _Place:
    return to_ns(read.entry.archive.created), read.entry.archive.batch, read.ordinal


def _sort_values(cursor: Cursor) -> tuple[object, ...]:
    ordinal = min(max(cursor.ordinal, 0), _MOST_INTEGER)
    return _within(cursor.created * 1000), cursor.batch, cursor.bucket, ordinal


def _sayable(nanoseconds: int) -> str:
    return rfc3339(from_ns(_within(nanoseconds)))


def _within(nanoseconds: int) -> int:
    """Return the nearest time that the field can hold: nanoseconds from 1970 to 2262."""
    return min(max(nanoseconds, 0), _MOST_LONG)


def _cursor(last: Read) -> str:
    archive = last.entry.archive
    return Cursor(to_ns(archive.created) // 1000, archive.batch, archive.ref.bucket, last.ordinal).written()
