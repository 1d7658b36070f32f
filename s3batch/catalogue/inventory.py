"""What S3 holds, by the CSV files of an S3 Inventory instead of a listing: for buckets of many million objects.

The files have no headings: which columns there are is said in the inventory's `manifest.json` (`fileSchema`), and given here as
it stands there. Bucket and key come first in all of them, keys encoded as in a form: a space is a plus, a plus is `%2B`. A row
that is none is told and passed over. (Amazon S3 User Guide, "Amazon S3 Inventory list"; of the space it says nothing, those who
read inventories found it: github.com/cloud-custodian/cloud-custodian/issues/1997.)
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from s3sync.errors import Usage
from s3sync.events import Event, Level, Listener

COLUMNS = "Bucket, Key"
_KEY_BYTES = 1024
_MOST_LINE = 1 << 16
"""Characters. A key in percent takes three bytes a byte; what is longer comes as rows that are none, and never as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRowLeftOut(Event):
    """A row of an inventory says nothing that can be understood."""

    name: ClassVar[str] = "inventory_row_left_out"
    level: ClassVar[Level] = Level.WARNING
    file: str
    row: int
    wrong: str


def objects(paths: list[Path], columns: str, listener: Listener) -> Iterator[tuple[str, str]]:
    """Yield bucket and key of each object that is there, delete markers aside. Raises `Usage` where a file is none."""
    names = [name.strip() for name in columns.split(",")]
    if names[:2] != ["Bucket", "Key"]:
        raise Usage(f"--inventory-columns {columns}", "does not begin with Bucket, Key", "Copy fileSchema of its manifest.json")
    for path in paths:
        try:
            yield from _rows(path, names, listener)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
            raise Usage(f"inventory {path}", f"cannot be read: {error}", "Name its .csv or .csv.gz files") from error


def _rows(path: Path, names: list[str], listener: Listener) -> Iterator[tuple[str, str]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(iter(partial(file.readline, _MOST_LINE), "")), 1):
            if len(row) != len(names):
                wrong = f"has {len(row)} columns instead of {len(names)}"
                listener(InventoryRowLeftOut(file=str(path), row=number, wrong=wrong))
                continue
            said = dict(zip(names, row, strict=True))
            key = unquote_to_bytes(said["Key"].replace("+", " "))
            if len(key) > _KEY_BYTES:
                listener(InventoryRowLeftOut(file=str(path), row=number, wrong="has a key longer than any"))
            elif said.get("IsDeleteMarker", "").lower() != "true":
                yield said["Bucket"], key.decode("utf-8", "replace")
