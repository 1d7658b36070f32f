"""What was typed and said, shown in a page between `<!-- begin NAME -->` and `<!-- end NAME -->`, as a `console` block."""

from __future__ import annotations

import os
from pathlib import Path

from tests.goldens import RENEW
from tests.test_readme import plain


def shown(page: Path, name: str, lines: list[str]) -> None:
    """Compare with the page, but for what differs from run to run; or write it there where that was asked for."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, _, rest = page.read_text("utf-8").partition(begin)
    part, _, after = rest.partition(end)
    assert after, f"{page.name} has no `{begin.strip()}`"
    if os.environ.get(RENEW):
        block = "\n".join(["```console", *lines, "```"])
        page.write_text(f"{before}{begin}{block}\n{end}{after}", "utf-8")
        return
    there = part.strip().removeprefix("```console\n").removesuffix("\n```").splitlines()

    assert [plain(line) for line in there] == [plain(line) for line in lines]
