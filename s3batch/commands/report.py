"""`report`: what a month's archives hold, how full they are, and what they cost."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from s3batch.model import Filed
from s3batch.operate.report import By, Full, Line, month_of, report
from s3batch.restore.cost import US_EAST_1, dollars
from s3sync.errors import Exit, Usage
from s3sync.keys import printable
from s3sync.output import Output, counted, human_size

HELP = "Report a month: files, bytes, archives, how full they are, requests, dollars; by bucket or first-level folder."
EPILOG = """From this host's catalogue; `s3batch rebuild` brings the archives of other hosts into it as well.
Prices are a dated list of one region, for deciding and comparing: the bill says what was paid.
Exit code 4: nothing was archived.

examples:
  s3batch report --month 2026-11
  s3batch report --month 2026-11 --by top --csv > november.csv
"""
COLUMNS = ("bucket", "top", "files", "bytes", "archives", "archive_bytes", "fill", "requests", "usd_upload", "usd_month")


class Settings(Protocol):
    """The settings the command reads."""

    @property
    def max_batch_size(self) -> int:
        """What a full archive holds, bytes."""

    @property
    def max_batch_members(self) -> int:
        """What a full archive holds, files."""

    @property
    def part_size(self) -> int:
        """Bytes of a part."""


class Lists(Protocol):
    """A catalogue that can tell its archives by time."""

    def filed(self, since: datetime, until: datetime) -> Iterator[Filed]:
        """Yield the archives created from `since` up to but not at `until`, oldest first."""


class Needs(Protocol):
    """What the command takes from the application."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def catalogue(self) -> Lists:
        """This host's."""

    @property
    def output(self) -> Output:
        """Where to answer."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--month", required=True, metavar="YYYY-MM", help="the month in which the archives were made (UTC)")
    parser.add_argument("--by", type=By, choices=list(By), default=By.BUCKET, help="a line for each (default: bucket)")
    parser.add_argument("--csv", action="store_true", help="comma separated, with a line of headings")


def run(args: argparse.Namespace, app: Needs) -> Exit:
    """Count, and show it. Raises `Usage` for a month that is none."""
    if args.csv and args.json:
        raise Usage("--csv", "does not go with --json", "Choose one of the two")
    settings = app.settings
    full = Full(max_bytes=settings.max_batch_size, max_members=settings.max_batch_members, part_size=settings.part_size)
    lines = report(app.catalogue.filed(*_month(args.month)), args.by, full)
    for line in lines:
        app.output.record({"month": args.month, **_fields(line)})
    if args.csv:
        app.output.document({}, _csv(lines), called="csv")
    else:
        _show(lines, args, app.output)
    return Exit.DONE if lines else Exit.NOT_FOUND


def _month(text: str) -> tuple[datetime, datetime]:
    try:
        return month_of(text)
    except ValueError as error:
        raise Usage(printable(text), "is no month", "Write it as 2026-11") from error


def _fields(line: Line) -> dict[str, object]:
    values = (
        line.bucket,
        line.top,
        line.files,
        line.bytes,
        line.archives,
        line.archive_bytes,
        round(line.fill, 4),
        line.requests,
        round(float(line.upload_usd), 6),
        round(float(line.month_usd), 6),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _csv(lines: Iterable[Line]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_fields(line) for line in lines)
    return text.getvalue().removesuffix("\n")


def _show(lines: list[Line], args: argparse.Namespace, output: Output) -> None:
    if not lines:
        output.text(f"Nothing was archived in {args.month}, as far as this host's catalogue knows.")
        return
    headers = ("BUCKET", *(("FOLDER",) if args.by is By.TOP else ()), "FILES", "SIZE", "ARCHIVES", "FILL", "REQUESTS", "UPLOAD")
    output.table((_row(line, args.by) for line in lines), (*headers, "A MONTH"))
    files, archives = sum(line.files for line in lines), sum(line.archives for line in lines)
    size = human_size(sum(line.bytes for line in lines))
    upload, month = (
        sum(amounts, Decimal(0)) for amounts in zip(*((one.upload_usd, one.month_usd) for one in lines), strict=True)
    )
    output.text()
    output.text(
        f"{args.month}: {counted(files, 'file')}, {size}, in {counted(archives, 'archive')};"
        f" {dollars(upload)} to upload, {dollars(month)} a month to keep."
    )
    output.text(f"List prices of {US_EAST_1.region}, {US_EAST_1.as_of}.")


def _row(line: Line, by: By) -> tuple[object, ...]:
    where = (line.bucket, line.top or "/") if by is By.TOP else (line.bucket,)
    size, fill = human_size(line.bytes), f"{line.fill:.0%}"
    return (*where, line.files, size, line.archives, fill, line.requests, dollars(line.upload_usd), dollars(line.month_usd))
