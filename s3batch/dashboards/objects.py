"""The saved objects for OpenSearch Dashboards: index patterns, searches, visualisations and the one page of them all.

Made from the layout of the indices, so a field is not forgotten and none is asked for that is not there. Ids never change:
importing again replaces. Stamps of migration (`STAMPS`) are those of the first OpenSearch Dashboards; later ones migrate what
is older and refuse what is newer. Attributes hold JSON inside JSON, as that format wants it.

Two index patterns lead to the members: one without a time field, so that a search also shows what the original program wrote,
which has no time; and one by `archived_at` for what is counted by day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from s3batch.catalogue import board, template
from s3batch.dashboards import drawn

Json = dict[str, object]

STAMPS = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3"}

MEMBERS = "s3batch-members"
ARCHIVED = "s3batch-archived"
BOARD = "s3batch-board"
PAGE = "s3batch"

_SEARCH_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"
_TYPES = {
    "keyword": "string",
    "text": "string",
    "wildcard": "string",
    "long": "number",
    "integer": "number",
    "short": "number",
    "date": "date",
    "date_nanos": "date",
    "boolean": "boolean",
}
_FORMATS: Mapping[str, Json] = {
    "url": {"id": "url", "params": {"labelTemplate": "open"}},
    "size": {"id": "bytes"},
    "archive_size": {"id": "bytes"},
    "bytes": {"id": "bytes"},
    "lag_seconds": {"id": "duration", "params": {"inputFormat": "seconds", "outputFormat": "humanize"}},
}
_PANELS = (
    ("search", "s3batch-attention", 48, 8),
    ("visualization", "s3batch-outbox-lag", 24, 10),
    ("visualization", "s3batch-restores-by-state", 24, 10),
    ("search", "s3batch-restore-requests", 48, 12),
    ("visualization", "s3batch-bytes-a-day", 24, 12),
    ("visualization", "s3batch-files-per-archive", 24, 12),
    ("search", "s3batch-members-search", 48, 16),
)
"""Type, id, width of 48, height; laid out from the top, left to right."""


def ndjson() -> str:
    """Return every object, one a line, what is referred to before what refers."""
    return "".join(f"{json.dumps(one, sort_keys=True, separators=(',', ':'))}\n" for one in objects())


def objects() -> list[Json]:
    """Return every object."""
    return [*_patterns(), *_searches(), *_visualisations(), _page()]


def _object(kind: str, name: str, attributes: Json, references: Sequence[Json] = ()) -> Json:
    stamp = {kind: STAMPS[kind]}
    return {"type": kind, "id": name, "attributes": attributes, "references": list(references), "migrationVersion": stamp}


def _inner(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _patterns() -> Iterator[Json]:
    members = template.properties(wildcard=True)
    yield _object("index-pattern", MEMBERS, _pattern(template.ALIAS, members))
    yield _object("index-pattern", ARCHIVED, {**_pattern(template.ALIAS, members), "timeFieldName": "archived_at"})
    yield _object("index-pattern", BOARD, _pattern(template.REQUESTS_INDEX, board.properties()))


def _pattern(title: str, properties: Mapping[str, Mapping[str, object]]) -> Json:
    fields = list(_fields(properties))
    formats = {name: shown for name, shown in _FORMATS.items() if name in properties}
    return {"title": title, "fields": _inner(fields), "fieldFormatMap": _inner(formats)}


def _fields(properties: Mapping[str, Mapping[str, object]]) -> Iterator[Json]:
    for name, said in properties.items():
        yield _field(name, said, {})
        beside = said.get("fields", {})
        for inner, inner_said in beside.items() if isinstance(beside, Mapping) else ():
            yield _field(f"{name}.{inner}", inner_said, {"subType": {"multi": {"parent": name}}})


def _field(name: str, said: Mapping[str, object], more: Json) -> Json:
    kind = str(said["type"])
    has_values = kind not in {"text", "wildcard"} and said.get("doc_values", True) is True
    return {
        "name": name,
        "type": _TYPES[kind],
        "esTypes": [kind],
        "searchable": said.get("index", True) is True,
        "aggregatable": has_values,
        "readFromDocValues": has_values,
        "scripted": False,
        "count": 0,
        **more,
    }


def _source(query: str) -> Json:
    source = {"query": {"language": "lucene", "query": query}, "filter": [], "indexRefName": _SEARCH_INDEX}
    return {"searchSourceJSON": _inner(source)}


def _to(pattern: str) -> list[Json]:
    return [{"name": _SEARCH_INDEX, "type": "index-pattern", "id": pattern}]


def _searches() -> Iterator[Json]:
    for found in drawn.SEARCHES:
        attributes: Json = {
            "title": found.title,
            "description": found.description,
            "columns": list(found.columns),
            "sort": [[found.newest_first_by, "desc"]],
            "hits": 0,
            "version": 1,
            "kibanaSavedObjectMeta": _source(found.query),
        }
        yield _object("search", found.id, attributes, _to(found.pattern))


def _visualisations() -> Iterator[Json]:
    for chart in drawn.CHARTS:
        state = {"title": chart.title, "type": chart.type, "params": chart.params(), "aggs": chart.aggs()}
        attributes: Json = {
            "title": chart.title,
            "description": chart.description,
            "visState": _inner(state),
            "uiStateJSON": "{}",
            "version": 1,
            "kibanaSavedObjectMeta": _source(chart.query),
        }
        yield _object("visualization", chart.id, attributes, _to(chart.pattern))


def _page() -> Json:
    references: list[Json] = [
        {"name": f"panel_{number}", "type": kind, "id": name} for number, (kind, name, _, _) in enumerate(_PANELS)
    ]
    meta = {"searchSourceJSON": _inner({"query": {"language": "lucene", "query": ""}, "filter": []})}
    attributes: Json = {
        "title": "s3batch",
        "description": "What needs a person, restores, how archiving goes, and every member.",
        "panelsJSON": _inner(list(_panels())),
        "optionsJSON": _inner({"hidePanelTitles": False, "useMargins": True}),
        "timeRestore": True,
        "timeFrom": "now-30d",
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 60_000},
        "version": 1,
        "kibanaSavedObjectMeta": meta,
    }
    return _object("dashboard", PAGE, attributes, references)


def _panels() -> Iterator[Json]:
    x = y = 0
    for number, (_, _, width, height) in enumerate(_PANELS):
        place = {"x": x, "y": y, "w": width, "h": height, "i": str(number)}
        yield {
            "version": STAMPS["dashboard"],
            "gridData": place,
            "panelIndex": str(number),
            "embeddableConfig": {},
            "panelRefName": f"panel_{number}",
        }
        x = (x + width) % 48
        y += height if x == 0 else 0
