"""What a month's report says."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.commands import report as command
from s3batch.model import Filed
from s3batch.operate.report import By, Full, month_of, report
from s3batch.restore.cost import US_EAST_1
from s3sync.errors import Exit, Usage
from s3sync.output import Output
from s3sync.store.contract import ObjectRef, StorageClass
from tests.catalogue.examples import members, opened, record

MIB = 1 << 20
FULL = Full(max_bytes=1024 * MIB, max_members=1000, part_size=64 * MIB)
PUT = US_EAST_1.put


def filed(key: str, size: int, count: int = 1, bucket: str = "bucket") -> Filed:
    """Return an archive of `count` members under `key`."""
    return Filed(replace(record(key, count, size=size), ref=ObjectRef(bucket, key)), size - 512 * count)


def test_an_archive_in_one_request() -> None:
    """A small archive is one request and its manifest another, at the prices of their classes."""
    (line,) = report([filed("a/x.tar", 512 * MIB // 16)], By.BUCKET, FULL)

    assert (2, PUT[StorageClass.DEEP_ARCHIVE] + PUT[StorageClass.STANDARD]) == (line.requests, line.upload_usd)


def test_an_archive_in_parts() -> None:
    """An upload in parts is billed for its beginning and its parts at STANDARD, and for its completion at its class."""
    (line,) = report([filed("a/x.tar", 1024 * MIB)], By.BUCKET, FULL)

    assert 1 + 16 + 1 + 1 == line.requests
    assert PUT[StorageClass.DEEP_ARCHIVE] + (1 + 16 + 1) * PUT[StorageClass.STANDARD] == line.upload_usd
    assert Decimal("0.00099") < line.month_usd < Decimal("0.0012")


def test_lines_add_up() -> None:
    """By bucket or by first-level folder, every archive is counted once; fill is the average, by bytes or by files."""
    archives = [
        filed("a/x.tar", 1024 * MIB, 10),
        filed("a/b/y.tar", 512 * MIB, 10),
        filed("z.tar", 1 * MIB, 1000),
        filed("a/x.tar", 256 * MIB, 10, bucket="another"),
    ]
    by_top = report(archives, By.TOP, FULL)
    by_bucket = report(archives, By.BUCKET, FULL)

    assert [("another", "a/", 1, 0.25), ("bucket", "", 1, 1.0), ("bucket", "a/", 2, 0.75)] == [
        (line.bucket, line.top, line.archives, line.fill) for line in by_top
    ]
    for name in ("files", "bytes", "archives", "archive_bytes", "requests", "upload_usd", "month_usd"):
        assert sum(getattr(line, name) for line in by_top) == sum(getattr(line, name) for line in by_bucket)


@pytest.mark.parametrize(("text", "until"), [("2026-11", (2026, 12)), ("2026-12", (2027, 1))])
def test_a_month_ends_where_the_next_begins(text: str, until: tuple[int, int]) -> None:
    """Months are UTC's, and December is followed by January."""
    assert (datetime(2026, int(text[5:]), 1, tzinfo=UTC), datetime(*until, 1, tzinfo=UTC)) == month_of(text)


@dataclass
class Settings:
    """The settings the command reads."""

    max_batch_size: int = 1024 * MIB
    max_batch_members: int = 1000
    part_size: int = 64 * MIB


@dataclass
class App:
    """What the command takes from the application."""

    catalogue: SqliteCatalogue
    output: Output
    settings: Settings = field(default_factory=Settings)


def answer(catalogue: SqliteCatalogue, *words: str, as_json: bool = False) -> tuple[Exit, str]:
    """Run the command; return its exit code and standard output."""
    parser = argparse.ArgumentParser()
    command.setup(parser)
    out = io.StringIO()
    args = parser.parse_args(words, argparse.Namespace(json=as_json))
    return command.run(args, App(catalogue, Output(as_json=as_json, stdout=out, stderr=io.StringIO()))), out.getvalue()


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[SqliteCatalogue]:
    """A catalogue with an archive in March and one in April 2026."""
    with opened(tmp_path) as made:
        made.add(record("march", 2, size=4 * MIB), members("in/a", "in/b"))
        made.add(record("april", 1, day=31, size=4 * MIB), members("in/a", content="new"))
        yield made


def test_the_command_counts_the_month_alone(catalogue: SqliteCatalogue) -> None:
    """The table, JSON and CSV say the same of March, and nothing of April."""
    code, table = answer(catalogue, "--month", "2026-03")
    _, records = answer(catalogue, "--month", "2026-03", as_json=True)
    _, comma = answer(catalogue, "--month", "2026-03", "--csv", "--by", "top")
    (said,) = [json.loads(one) for one in records.splitlines()]
    (row,) = csv.DictReader(io.StringIO(comma))

    assert Exit.DONE == code
    assert "2026-03: 2 files, 200 B, in 1 archive;" in table
    assert ("2026-03", "bucket", "", 2, 200, 1, 4 * MIB, 2) == tuple(
        said[name] for name in ("month", "bucket", "top", "files", "bytes", "archives", "archive_bytes", "requests")
    )
    assert ("bucket", "in/", "2", "200", "1") == tuple(row[name] for name in ("bucket", "top", "files", "bytes", "archives"))


def test_a_month_of_nothing_and_a_month_that_is_none(catalogue: SqliteCatalogue) -> None:
    """Where nothing was archived the exit code says so; what is no month is refused, and two forms at once."""
    assert Exit.NOT_FOUND == answer(catalogue, "--month", "2025-01")[0]
    for words in (["--month", "2026-13"], ["--month", "march"], ["--month", "0000-01"]):
        with pytest.raises(Usage, match="is no month"):
            answer(catalogue, *words)
    with pytest.raises(Usage, match="does not go with --json"):
        answer(catalogue, "--month", "2026-03", "--csv", as_json=True)
