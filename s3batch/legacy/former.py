"""Find files that only an index of the original program knows: of six texts, without a place in their archive, time or digest.

They can be named, not restored: `import-legacy` makes full members of them, and from then on they are found as such and not
here. Their time is the day in the index's name, their size is unknown, so a search that asks for sizes does not find them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from s3batch.catalogue.cluster import Hit, Json, Searches
from s3batch.catalogue.contract import Query
from s3batch.catalogue.fleet_read import Reader
from s3batch.catalogue.words import folded, shown
from s3batch.legacy.sources import archive_of, folder, is_daily
from s3sync.events import Listener, silent
from s3sync.store.contract import ObjectRef

_GROUP = 500
_MOST_ASKED = 64
"""Characters of a word that the index is asked for."""
_BY_NAME: tuple[Json, ...] = tuple(
    {field: {"order": "asc", "unmapped_type": "keyword"}}
    for field in ("name.keyword", "archive_content.keyword", "bucket.keyword", "_index")
)


@dataclass(frozen=True, slots=True)
class FormerFile:
    """A file in an archive of the original program, as its index says."""

    archive: ObjectRef
    key: str
    day: datetime
    """When it was archived: the day (UTC)."""


class Former:
    """Looks them up in the alias; `s3batch index init` lets the daily indices be read through it."""

    def __init__(self, searches: Searches, listener: Listener = silent) -> None:
        """Ask nothing yet."""
        self._reader = Reader(searches, listener)

    def find(self, query: Query) -> Iterator[FormerFile]:
        """Yield the files that `query` fits and no member of ours stands for, each once. Raises what the cluster raises."""
        if query.larger is not None or query.smaller is not None:
            return
        words = [folded(shown(word)) for word in query.words if word]
        seen: FormerFile | None = None
        files = (file for hit in self._reader.hits(_asked(query, words), _BY_NAME, rows=_GROUP) if (file := _file(hit)))
        fitting = (file for file in files if _fits(file, query, words))
        while group := list(islice(fitting, _GROUP)):
            known = self._known(group)
            for file in group:
                is_again = seen is not None and (seen.archive, seen.key) == (file.archive, file.key)
                if file.archive not in known and not is_again:
                    yield file
                seen = file

    def _known(self, files: Sequence[FormerFile]) -> set[ObjectRef]:
        """Return which of their archives have members of ours."""
        keys = sorted({file.archive.key for file in files})
        filters: list[Json] = [{"terms": {"archive": keys}}, {"term": {"ordinal": 0}}]
        hits = self._reader.hits({"bool": {"filter": filters}}, ({"archive": {"unmapped_type": "keyword"}}, *_BY_NAME))
        return {ObjectRef(str(hit.source.get("bucket")), str(hit.source.get("archive"))) for hit in hits}


def _asked(query: Query, words: Sequence[str]) -> Json:
    filters: list[Json] = [{"exists": {"field": f"{name}.keyword"}} for name in ("name", "archive_content")]
    filters += [_holds(word) for word in words]
    if query.bucket is not None:
        filters.append({"term": {"bucket.keyword": query.bucket}})
    return {"bool": {"filter": filters, "must_not": [{"exists": {"field": "schema"}}]}}


def _holds(word: str) -> Json:
    """Return the question for names and folders that hold a word: a long address has no `.keyword`, and is looked at."""
    pattern = {"value": ".*" + "".join(_letter(letter) for letter in word[:_MOST_ASKED]) + ".*"}
    either: list[Json] = [{"regexp": {f"{name}.keyword": pattern}} for name in ("archive_content", "url")]
    return {"bool": {"should": [*either, {"bool": {"must_not": [{"exists": {"field": "url.keyword"}}]}}]}}


def _letter(letter: str) -> str:
    """Return what stands for a letter in either case; what another alphabet makes of its cases, and of `K` and `I`, is any."""
    if letter in "ik" or not letter.isascii():
        return ".*"
    if letter.isalpha():
        return f"[{letter}{letter.upper()}]"
    return letter if letter.isdigit() else "."


def _file(hit: Hit) -> FormerFile | None:
    archive = archive_of(hit.source) if is_daily(hit.index) else None
    name = hit.source.get("archive_content")
    if archive is None or not isinstance(name, str) or not name:
        return None
    try:
        day = datetime.strptime(hit.index, "s3-batch-%Y.%m.%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return FormerFile(archive, folder(archive.key) + name, day)


def _fits(file: FormerFile, query: Query, words: Sequence[str]) -> bool:
    text = folded(file.key)
    within = (query.since is None or query.since < file.day + timedelta(days=1)) and (
        query.until is None or file.day <= query.until
    )
    return within and file.key.encode("utf-8", "replace").startswith(query.prefix) and all(word in text for word in words)
