"""`docs/performance.md`: what each subject printed when it was last measured for the page, between marks of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def write(subject: str, lines: Sequence[str]) -> None:
    """Put `lines` between the marks of `subject`. Raises `ValueError` where the page has none."""
    begin, end = f"<!-- bench: {subject} -->\n", f"<!-- end {subject} -->\n"
    before, mark, rest = PAGE.read_text().partition(begin)
    _, other, after = rest.partition(end)
    if not (mark and other):
        raise ValueError(f"{PAGE} has no place for {subject}; make one: {begin.strip()} ... {end.strip()}")
    body = "\n".join(["```", *lines, "```"])
    PAGE.write_text(f"{before}{begin}{body}\n{end}{after}")
