"""What the stacks cost a month, computed from the price list and the templates' own defaults, for the pages in docs/deploy/."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from s3batch.restore.cost import US_EAST_1, dollars, upkeep
from s3sync.store.contract import StorageClass
from tests.deploy.templates import DEPLOY, read, resources

HOURS = 730
GIB, TIB = 1024**3, 1024**4
ROOT_GIB = 12
LIST = tomllib.loads((DEPLOY / "prices.toml").read_text("utf-8"))
Row = tuple[str, Decimal]


def host() -> str:
    """Return what a host costs, by the defaults of its template."""
    default = _defaults("host")
    disks = default["DropGiB"] + default["WorkGiB"] + ROOT_GIB
    alarms = sum(one.kind == "AWS::CloudWatch::Alarm" for one in resources("host"))
    metrics = 1 + sum(_metrics())
    return _table(
        (
            (f"machine, {default['InstanceType']}", _price("hourly", default["InstanceType"]) * HOURS),
            (f"disks, {disks} GiB gp3", _price("gib_month", "gp3") * disks),
            ("public address", _price("hourly", "public_ipv4") * HOURS),
            (f"{alarms} alarms, {metrics} metrics", _price("month", "alarm") * alarms + _price("month", "metric") * metrics),
            ("logs, 1 GiB", _price("each", "log_gib")),
        )
    )


def sizes() -> str:
    """Return what the formulas of the page come to for some hosts."""
    rows = []
    for daily, days, members in ((5, 2, 10_000_000), (50, 2, 100_000_000), (500, 3, 300_000_000)):
        drop = math.ceil(daily * (days + 0.25) * 1.2)
        spool = math.ceil(17 / 16 * (2 + 2))
        work = math.ceil((spool + members * 300 / GIB + 2) * 1.17)
        rows.append(f"| {daily} GiB | {days} days | {members // 1_000_000:,} million | {drop} | {spool}GiB | {work} |")
    heads = ("a day", "outage", "members", "`DropGiB`", "`SpoolLimit`", "`WorkGiB`")
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows])


def buckets() -> str:
    """Return what a TiB of archives costs in a bucket of its own."""
    archives = TIB // GIB
    stored = upkeep(TIB, archives, StorageClass.DEEP_ARCHIVE).monthly
    members = 16_000_000
    manifests = upkeep(60 * members, archives, StorageClass.STANDARD).monthly
    listed = _price("each", "inventory_million_objects") * 2 * archives / 1_000_000 * 52 / 12
    return _table(
        (
            (f"1 TiB in {archives:,} archives, DEEP_ARCHIVE ({US_EAST_1.as_of})", stored),
            (f"their manifests, {members:,} members", manifests),
            ("inventory, weekly", listed),
            ("a KMS key of your own, where you name one", _price("month", "kms_key")),
        )
    )


def search() -> str:
    """Return what a domain costs: the template's defaults, and one that answers while a node is away."""
    default = _defaults("search")
    rows = []
    for nodes, kind, disk in (
        (default["Nodes"], default["NodeType"], default["DiskGiB"]),
        (3, "m6g.large.search", 100),
    ):
        cost = nodes * (_price("hourly", kind) * HOURS + _price("gib_month", "search_gp3") * disk)
        holds = nodes * disk * GIB // 2 // (550 * min(nodes, 2)) // 1_000_000
        rows.append(f"| {nodes} x {kind}, {disk} GiB each | {holds:,} million | {dollars(cost)} |")
    return "\n".join(["| domain | members, half full | a month |", "|---|---|---|", *rows, "", _source()])


def notices() -> str:
    """Return what being told costs."""
    return _table((("the topics' key", _price("month", "kms_key")), ("1,000 mails", _price("each", "mail_thousand"))))


def _metrics() -> Iterable[int]:
    collected = json.loads((DEPLOY / "host" / "cloudwatch-agent.json").read_text("utf-8"))["metrics"]["metrics_collected"]
    return (len(one["measurement"]) * len(one.get("resources", [0])) for one in collected.values())


def _defaults(template: str) -> dict[str, Any]:
    found = read(DEPLOY / f"{template}.yaml")["Parameters"]
    return {name: said.get("Default") for name, said in found.items()}


def _price(kind: str, name: str) -> Decimal:
    return Decimal(LIST[kind][name])


def _table(rows: Iterable[Row]) -> str:
    every = list(rows)
    lines = [f"| {name} | {dollars(cost)} |" for name, cost in every]
    total = dollars(sum((cost for _, cost in every), Decimal(0)))
    return "\n".join(["| | a month |", "|---|---|", *lines, f"| **together** | **{total}** |", "", _source()])


def _source() -> str:
    return f"*{LIST['region']}, {LIST['written_down']}: {LIST['source']} (`deploy/prices.toml`).*"
