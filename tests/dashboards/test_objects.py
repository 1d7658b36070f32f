"""The saved objects are whole: every line, every reference, every field."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3batch.catalogue import board, template
from s3batch.dashboards.objects import ARCHIVED, BOARD, MEMBERS, ndjson
from tests.goldens import RENEW

SHIPPED = Path(__file__).parents[2] / "deploy" / "dashboards" / "s3batch.ndjson"
NEWEST = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3"}
"""The newest stamps every OpenSearch Dashboards takes."""
NESTED = ("fields", "fieldFormatMap", "visState", "uiStateJSON", "panelsJSON", "optionsJSON", "searchSourceJSON")
IDS = {
    ("index-pattern", "s3batch-members"),
    ("index-pattern", "s3batch-archived"),
    ("index-pattern", "s3batch-board"),
    ("search", "s3batch-members-search"),
    ("search", "s3batch-restore-requests"),
    ("search", "s3batch-attention"),
    ("visualization", "s3batch-bytes-a-day"),
    ("visualization", "s3batch-files-per-archive"),
    ("visualization", "s3batch-restores-by-state"),
    ("visualization", "s3batch-outbox-lag"),
    ("dashboard", "s3batch"),
}
"""Written out: an id that changed would leave its former object behind in every installation."""


def shipped() -> list[dict[str, Any]]:
    """Return the objects of the file that ships, with what is JSON inside JSON parsed."""
    return [_parsed(json.loads(line)) for line in SHIPPED.read_text("utf-8").splitlines()]


def pattern_of(one: dict[str, Any]) -> str:
    """Return the id of the index pattern an object asks."""
    (found,) = [reference["id"] for reference in one["references"] if reference["type"] == "index-pattern"]
    return str(found)


def properties(pattern: str) -> dict[str, str]:
    """Return every field, and field beside a field, that the indices of a pattern have, with its type."""
    layouts: dict[str, Any] = {
        MEMBERS: template.properties(wildcard=True),
        ARCHIVED: template.properties(wildcard=True),
        BOARD: board.properties(),
    }
    found: dict[str, str] = {}
    for name, said in layouts[pattern].items():
        found[name] = str(said["type"])
        found |= {f"{name}.{inner}": str(more["type"]) for inner, more in said.get("fields", {}).items()}
    return found


def _parsed(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: json.loads(inner) if key in NESTED else _parsed(inner) for key, inner in value.items()}
    return [_parsed(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.golden
def test_what_ships_is_what_is_exported() -> None:
    """The file in deploy/ is made by the program."""
    if os.environ.get(RENEW):
        SHIPPED.write_text(ndjson(), "utf-8")

    assert ndjson() == SHIPPED.read_text("utf-8")


def test_ids_are_stable_and_unique() -> None:
    """Importing again replaces what is there, and nothing else."""
    found = [(one["type"], one["id"]) for one in shipped()]

    assert len(found) == len(set(found))
    assert set(found) == IDS


def test_stamps_are_none_that_a_dashboards_refuses() -> None:
    """Of each object its own type's, and no newer."""
    assert [{one["type"]: NEWEST[one["type"]]} for one in shipped()] == [one["migrationVersion"] for one in shipped()]


def test_every_reference_resolves() -> None:
    """To an object of the file; and each name that is used is a reference, and each reference is used."""
    objects = shipped()
    there = {(one["type"], one["id"]) for one in objects}
    for one in objects:
        assert {(reference["type"], reference["id"]) for reference in one["references"]} <= there
        assert {reference["name"] for reference in one["references"]} == set(_names_used(one))


def _names_used(one: dict[str, Any]) -> Iterator[str]:
    attributes = one["attributes"]
    source = attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", {})
    if "indexRefName" in source:
        yield source["indexRefName"]
    for panel in attributes.get("panelsJSON", []):
        yield panel["panelRefName"]


def test_panels_fill_the_page_without_overlap() -> None:
    """Each square of the grid belongs to at most one, and none lies outside of 48 columns."""
    (page,) = [one for one in shipped() if one["type"] == "dashboard"]
    squares = [
        (x, y)
        for panel in page["attributes"]["panelsJSON"]
        for x in range(panel["gridData"]["x"], panel["gridData"]["x"] + panel["gridData"]["w"])
        for y in range(panel["gridData"]["y"], panel["gridData"]["y"] + panel["gridData"]["h"])
    ]

    assert len(squares) == len(set(squares))
    assert max(x for x, _ in squares) < 48


def test_patterns_have_exactly_the_fields_of_the_layout() -> None:
    """With the server's types; a text is never said to be something to aggregate by."""
    for one in shipped():
        if one["type"] == "index-pattern":
            fields = one["attributes"]["fields"]
            assert properties(one["id"]) == {field["name"]: field["esTypes"][0] for field in fields}
            assert set() == {field["name"] for field in fields if field["aggregatable"] and field["esTypes"] == ["text"]}
            assert set(one["attributes"]["fieldFormatMap"]) <= set(properties(one["id"]))


def test_every_field_that_is_shown_or_counted_exists() -> None:
    """Columns, sorting, and what visualisations aggregate."""
    for one in shipped():
        attributes = one["attributes"]
        if one["type"] == "search":
            assert {*attributes["columns"], *(name for name, _ in attributes["sort"])} <= set(properties(pattern_of(one)))
        if one["type"] == "visualization":
            asked = {agg["params"]["field"] for agg in attributes["visState"]["aggs"] if "field" in agg["params"]}
            assert asked <= set(properties(pattern_of(one)))
            assert not any(properties(pattern_of(one))[name] == "text" for name in asked)
