"""What commands say: text for people, or one JSON object a line for programs.

With `--json` standard output carries records and nothing else, and what people read goes to standard error. Names come from
other people's files, so every line is escaped before it reaches a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TextIO

from s3sync.errors import Unheard
from s3sync.keys import printable

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP = 1024
_NOT_SET = "-"


class Output:
    """Where a command's answers go. All methods but `progress` raise `Unheard`, or `BrokenPipeError` where nobody reads."""

    def __init__(self, *, as_json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        """Speak to the given streams, the process's own where none are given."""
        self.as_json = as_json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    def record(self, record: Mapping[str, object]) -> None:
        """Write one JSON object on a line of its own; without `--json` there are no records."""
        if self.as_json:
            self._answer(json.dumps(record), flush=True)

    def text(self, line: str = "") -> None:
        """Write a line for people."""
        if self.as_json:
            print(printable(line), file=self._stderr)
        else:
            self._answer(printable(line))

    def document(self, about: Mapping[str, object], content: str, *, called: str) -> None:
        """Write a text of our own making that another program reads: as it is, or as the field `called` of one record."""
        self.record({**about, called: content})
        if not self.as_json:
            self._answer(content)

    def progress(self, line: str) -> None:
        """Write a line that says how far something is, never mixed with answers."""
        print(printable(line), file=self._stderr, flush=True)

    def table(self, rows: Iterable[Sequence[object]], headers: Sequence[str]) -> None:
        """Write rows for people, in columns."""
        for line in table(rows, headers):
            self.text(line)

    def _answer(self, line: str, *, flush: bool = False) -> None:
        try:
            print(line, file=self._stdout, flush=flush)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unheard(error) from error


def table(rows: Iterable[Sequence[object]], headers: Sequence[str]) -> list[str]:
    """Return lines with the columns aligned: numbers to the right, all else to the left; None shows as a dash."""
    body = list(rows)
    cells = [[_cell(value) for value in row] for row in body]
    right = [
        all(isinstance(row[column], int | float | Decimal) for row in body) and bool(body) for column in range(len(headers))
    ]
    widths = [max(len(row[column]) for row in [list(headers), *cells]) for column in range(len(headers))]
    return [
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width) for cell, width, numeric in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [list(headers), *cells]
    ]


def _cell(value: object) -> str:
    if value is None:
        return _NOT_SET
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def counted(count: int, what: str) -> str:
    """Return `1 member`, `2 members`, `1 batch`, `2 batches`."""
    plural = f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"


def human_size(size_bytes: int) -> str:
    """Return a size as people say it: `0 B`, `1.2 GiB`."""
    size, unit = float(size_bytes), 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    return f"{size_bytes} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def human_duration(duration: timedelta) -> str:
    """Return a duration as people say it, its two largest units: `2 d 3 h`, `15 min`, `3.2 s`."""
    seconds = duration.total_seconds()
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    parts: list[tuple[int, str]] = []
    rest = int(seconds)
    for name, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if parts or count:
            parts.append((count, name))
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count)


def human_time(moment: datetime) -> str:
    """Return an aware time as people read it: `2026-11-21 10:48:55 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def human_money(usd: Decimal | float) -> str:
    """Return an amount in dollars: `$12.50`, and small ones with the digits that matter: `$0.0042`."""
    amount = Decimal(str(usd))
    if amount and amount < Decimal("0.1"):
        return f"${amount.quantize(Decimal('0.0001')):f}"
    return f"${amount:,.2f}"
