"""What is shown: each saved search and each visualisation in a few words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

Json = dict[str, object]

MOST_BUCKETS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A table of documents."""

    id: str
    title: str
    description: str
    pattern: str
    """Id of its index pattern."""
    query: str
    """In Lucene's query language; empty for everything."""
    columns: tuple[str, ...]
    newest_first_by: str


SEARCHES = (
    Search(
        id="s3batch-members-search",
        title="Members",
        description="Every archived file. Type words of its name; copy restore_command to get it back.",
        pattern="s3batch-members",
        query="",
        columns=("bucket", "archive_content", "size", "archived_at", "storage_class", "url", "restore_command"),
        newest_first_by="archived_at",
    ),
    Search(
        id="s3batch-restore-requests",
        title="Restore requests",
        description="What was asked back, by whom, and how far it is.",
        pattern="s3batch-board",
        query="kind:request",
        columns=("state", "user", "members", "delivered", "failed", "bytes", "tier", "host", "destination", "note"),
        newest_first_by="created",
    ),
    Search(
        id="s3batch-attention",
        title="Needs attention",
        description="What will not get better by itself, on any host.",
        pattern="s3batch-board",
        query="kind:attention AND open:true",
        columns=("host", "sentence", "at"),
        newest_first_by="at",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A visualisation: one number (`measure` of `field`) by up to two things."""

    id: str
    title: str
    description: str
    pattern: str
    query: str
    type: str
    """`histogram` (bars), `horizontal_bar`, `line` or `pie`."""
    measure: str
    """`sum`, `avg`, `max` or `count`."""
    field: str = ""
    """What is measured; empty for a count."""
    by_day: str = ""
    """The date field along the bottom, a day a bar; empty for none."""
    by: str = ""
    """A keyword: a colour each where there are days, else a bar or slice each."""

    def aggs(self) -> list[Json]:
        """Return its aggregations as a visualisation's state has them."""
        field: Json = {"field": self.field} if self.field else {}
        found: list[Json] = [_agg("1", self.measure, "metric", field)]
        if self.by_day:
            params: Json = {"field": self.by_day, "interval": "d", "min_doc_count": 1, "drop_partials": False}
            found.append(_agg("2", "date_histogram", "segment", params))
        if self.by:
            params = {"field": self.by, "orderBy": "1", "order": "desc", "size": MOST_BUCKETS}
            more: Json = {"otherBucket": False, "missingBucket": False}
            found.append(_agg("3", "terms", "group" if self.by_day else "segment", {**params, **more}))
        return found

    def params(self) -> Json:
        """Return how it is drawn."""
        shared: Json = {"type": self.type, "addTooltip": True, "addLegend": True, "legendPosition": "right"}
        if self.type == "pie":
            return {**shared, "isDonut": True, "labels": {"show": True, "values": True, "last_level": True, "truncate": 100}}
        lying = self.type == "horizontal_bar"
        return {
            **shared,
            "categoryAxes": [_axis("CategoryAxis-1", "category", "left" if lying else "bottom")],
            "valueAxes": [{**_axis("ValueAxis-1", "value", "bottom" if lying else "left"), "name": "ValueAxis-1"}],
            "seriesParams": [
                {
                    "show": True,
                    "type": "line" if self.type == "line" else "histogram",
                    "mode": "normal" if self.type == "line" else "stacked",
                    "data": {"id": "1", "label": self.title},
                    "valueAxis": "ValueAxis-1",
                    "drawLinesBetweenPoints": True,
                    "showCircles": True,
                }
            ],
            "grid": {"categoryLines": False},
            "times": [],
            "addTimeMarker": False,
        }


def _agg(name: str, kind: str, schema: str, params: Json) -> Json:
    return {"id": name, "enabled": True, "type": kind, "schema": schema, "params": params}


def _axis(name: str, kind: str, position: str) -> Json:
    scale = {"type": "linear", "mode": "normal"} if kind == "value" else {"type": "linear"}
    labels = {"show": True, "filter": True, "truncate": 100}
    shown: Json = {"show": True, "style": {}, "labels": labels, "title": {}}
    return {"id": name, "type": kind, "position": position, "scale": scale, **shown}


CHARTS = (
    Chart(
        id="s3batch-bytes-a-day",
        title="Bytes a day per bucket",
        description="Sizes of the archived files by the day they were archived.",
        pattern="s3batch-archived",
        query="",
        type="histogram",
        measure="sum",
        field="size",
        by_day="archived_at",
        by="bucket.keyword",
    ),
    Chart(
        id="s3batch-files-per-archive",
        title="Files per archive",
        description="On average, by day: few files an archive cost requests and overhead.",
        pattern="s3batch-archived",
        query="ordinal:0",
        type="line",
        measure="avg",
        field="members",
        by_day="archived_at",
    ),
    Chart(
        id="s3batch-restores-by-state",
        title="Restores by state",
        description="Restore requests, each by its least advanced member.",
        pattern="s3batch-board",
        query="kind:request",
        type="pie",
        measure="count",
        by="state",
    ),
    Chart(
        id="s3batch-outbox-lag",
        title="Outbox lag",
        description="For how long the oldest archive of each host has waited to be searchable.",
        pattern="s3batch-board",
        query="kind:host",
        type="horizontal_bar",
        measure="max",
        field="lag_seconds",
        by="host",
    ),
)
