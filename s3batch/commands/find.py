"""`find`: members by any part of their keys."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Protocol

from s3batch.catalogue.contract import Entry, Lookup, Page, Query
from s3batch.catalogue.targets import uri
from s3batch.catalogue.view import entry_object
from s3batch.commands import _catalogues
from s3batch.commands._catalogues import chosen, setup_catalogue
from s3batch.commands._counts import read_count
from s3batch.commands._moments import first_moment, last_moment
from s3batch.legacy.former import Former, FormerFile
from s3sync import keys
from s3sync.errors import Exit
from s3sync.output import Output, human_size, human_time
from s3sync.quantities import read_size
from s3sync.times import from_ns

HELP = "Find files by any part of their keys."
EPILOG = """Every TEXT must be somewhere in the key; case does not matter. The newest archives come first, and a file that was
archived twice with the same bytes and time is shown once. In the fleet's index (--catalogue opensearch) files are found too
that only the original program's indices know; s3batch import-legacy makes them restorable. Exit code 4: nothing found.

examples:
  s3batch find invoice 2024-03
  s3batch find --bucket media --since 30d --larger 1GiB .mov
"""

PAGE = 500


class Needs(_catalogues.Needs, Protocol):
    """What the command takes from the application."""

    def now(self) -> datetime:
        """Return the time `--since 7d` counts from."""

    @property
    def former(self) -> Former | None:
        """What the original program's index knows; None where no OpenSearch is configured."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("text", nargs="*", metavar="TEXT", help="part of the key; several: all of them")
    parser.add_argument("--bucket", help="only this bucket")
    parser.add_argument("--prefix", default="", help="only keys that begin with this (case matters)")
    parser.add_argument("--since", metavar="TIME", help="archived at or after: 2026-11-21, 2026-11-21T10:48:55Z, 7d")
    parser.add_argument("--until", metavar="TIME", help="archived at or before; a date includes its day")
    parser.add_argument("--larger", metavar="SIZE", type=read_size, help="files of this size or larger, such as 10MiB")
    parser.add_argument("--smaller", metavar="SIZE", type=read_size, help="files of this size or smaller")
    parser.add_argument("--limit", metavar="N", type=read_count, default=100, help="stop after so many (default 100; 0: never)")
    parser.add_argument("--after", metavar="CURSOR", help="go on where an earlier search stopped")
    setup_catalogue(parser)


def run(args: argparse.Namespace, app: Needs) -> Exit:
    """Search, a page at a time, and show each page as it comes."""
    query = _query(args, app.now())
    found, after = 0, None
    catalogue = chosen(args, app)
    for page in _pages(catalogue, query, args.limit):
        _show(page.entries, app.output)
        found, after = found + len(page.entries), page.next
    if after is not None:
        app.output.text(f"There may be more: --after {after}")
    elif app.former is not None and catalogue is app.fleet:
        found += _show_former(app.former.find(query), args.limit - found if args.limit else None, app.output)
    if not found:
        app.output.text("Nothing found.")
    return Exit.DONE if found else Exit.NOT_FOUND


def _query(args: argparse.Namespace, now: datetime) -> Query:
    return Query(
        words=tuple(args.text),
        bucket=args.bucket,
        prefix=keys.parse(args.prefix),
        since=None if args.since is None else first_moment(args.since, now),
        until=None if args.until is None else last_moment(args.until, now),
        larger=args.larger,
        smaller=args.smaller,
        after=args.after,
    )


def _pages(catalogue: Lookup, query: Query, limit: int) -> Iterator[Page]:
    """Yield pages until there are `limit` entries or no more; 0 means no limit."""
    missing = limit
    while True:
        page = catalogue.find(replace(query, limit=min(missing, PAGE) if limit else PAGE))
        yield page
        missing -= len(page.entries)
        if page.next is None or (limit and missing <= 0):
            return
        query = replace(query, after=page.next)


def _show(entries: tuple[Entry, ...], output: Output) -> None:
    for entry in entries:
        output.record(entry_object(entry))
        if not output.as_json:
            output.text(_line(entry))


def _show_former(files: Iterator[FormerFile], most: int | None, output: Output) -> int:
    """Show what only the original program's indices know, `most` at most; return how many there were."""
    count = 0
    for file in islice(files, most):
        count += 1
        output.record({"bucket": file.archive.bucket, "key": file.key, "archive": file.archive.key, "former": True})
        if not output.as_json:
            where = uri(file.archive.bucket, file.key.encode())
            output.text(f"{'in ' + file.archive.key.rpartition('/')[2]:>43}  archived {file.day:%Y-%m-%d}  {where}")
    if next(files, None) is not None:
        output.text("There may be more of the original program's: raise --limit")
    if count:
        output.progress("Those of the original program are known by name alone; s3batch import-legacy makes them restorable")
    return count


def _line(entry: Entry) -> str:
    member, archived = entry.member, entry.archive.created
    modified = human_time(from_ns(member.mtime_ns))
    return f"{modified}  {human_size(member.size):>10}  archived {archived:%Y-%m-%d}  {uri(entry.bucket, member.key)}"
