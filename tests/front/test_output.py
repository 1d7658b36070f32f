"""What people and programs are shown."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from s3sync.output import Output, human_duration, human_money, human_size, human_time, table


def test_columns_line_up() -> None:
    """Numbers stand to the right with their thousands apart, text to the left, and what is not there is a dash."""
    assert [
        "NAME    FILES  NOTE",
        "a       1,200  -",
        "longer      7  x",
    ] == table([("a", 1200, None), ("longer", 7, "x")], ("NAME", "FILES", "NOTE"))


def test_an_empty_table_is_its_headers() -> None:
    """Nothing to show still says what would be shown."""
    assert ["A  B"] == table([], ("A", "B"))


def test_names_cannot_act_on_a_terminal() -> None:
    """Control characters are escaped in text, in progress and in cells; JSON is plain ASCII."""
    out, err = io.StringIO(), io.StringIO()
    evil = "a\x1b[2J\nb\u202e"
    for as_json in (False, True):
        output = Output(as_json=as_json, stdout=out, stderr=err)
        output.text(evil)
        output.progress(evil)
        output.record({"key": evil})
        output.table([(evil,)], ("KEY",))

    for line in [*out.getvalue().splitlines(), *err.getvalue().splitlines()]:
        assert line.isprintable()
    assert [{"key": evil}] == [json.loads(line) for line in out.getvalue().splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1288490189, "1.2 GiB"), (2**70, "1024.0 EiB")]
)
def test_sizes(size: int, text: str) -> None:
    """Sizes are said in the largest unit that fits."""
    assert text == human_size(size)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=3.25), "3.2 s"),
        (timedelta(minutes=15), "15 min"),
        (timedelta(hours=6, minutes=5, seconds=4), "6 h 5 min"),
        (timedelta(days=2, minutes=3), "2 d"),
    ],
)
def test_durations(duration: timedelta, text: str) -> None:
    """Durations are said in their two largest units."""
    assert text == human_duration(duration)


@pytest.mark.parametrize(("usd", "text"), [("0", "$0.00"), ("0.0042", "$0.0042"), ("12.5", "$12.50"), ("1234", "$1,234.00")])
def test_money(usd: str, text: str) -> None:
    """Small amounts keep the digits that matter."""
    assert text == human_money(Decimal(usd))


def test_times_are_utc() -> None:
    """A time is shown in UTC, wherever it was made."""
    moment = datetime(2026, 3, 10, 11, 30, tzinfo=timezone(timedelta(hours=2)))

    assert "2026-03-10 09:30:00 UTC" == human_time(moment) == human_time(moment.astimezone(UTC))
