"""The README's picture of a real run: the demo's own output as a terminal in SVG, text that can be read and searched.

Run as `python -m tests.picture` to make it anew. Lines the demo says twice (the price of the dry run and of the restore) are
shown once, and long ones are wrapped; nothing else is done to them. The terminal brings its own dark ground and a border, so it
looks the same on a light and on a dark page.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "demo.svg"
COLUMNS = 104
WIDTH = 890
LINE_HEIGHT = 18
LEFT, TOP, BOTTOM = 22, 58, 16
INDENT = "      "

STYLE = """
  .ground { fill: #161b22; stroke: #6e7681; }
  .line { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #c9d1d9; }
  .typed { fill: #ffffff; font-weight: bold; }
  .held { fill: #56d364; }
"""


def main() -> None:
    """Run the demo and draw what it says."""
    ended = subprocess.run([sys.executable, "-m", "s3batch.demo"], check=True, text=True, stdout=subprocess.PIPE)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(drawn(ended.stdout.splitlines()), "utf-8")


def drawn(lines: Iterable[str]) -> str:
    """Return the picture of a run that printed `lines`."""
    rows = [(row, _kind(line)) for line in ("$ make demo", *_once(lines)) for row in _wrapped(line)]
    height = TOP + LINE_HEIGHT * len(rows) + BOTTOM
    texts = (_text(row, kind, TOP + LINE_HEIGHT * place) for place, (row, kind) in enumerate(rows))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
            "<title>A run of make demo: files dropped, archived, found, asked back and delivered</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="9"/>',
            *(f'<circle cx="{LEFT + 4 + 20 * place}" cy="20" r="6" fill="#484f58"/>' for place in range(3)),
            *texts,
            "</svg>",
            "",
        ]
    )


def _once(lines: Iterable[str]) -> Iterator[str]:
    """Yield every line the first time it comes, and never two empty ones in a row."""
    shown: set[str] = set()
    last = "begin"
    for line in lines:
        if (line and line not in shown) or (not line and last):
            yield line
            last = line
        shown.add(line)


def _wrapped(line: str) -> list[str]:
    if not line:
        return [""]
    rows = textwrap.wrap(line, COLUMNS, subsequent_indent=INDENT, drop_whitespace=False, break_on_hyphens=False)
    return [row.rstrip() for row in rows]


def _kind(line: str) -> str:
    return "typed" if line.startswith("$ ") else "held" if line.startswith("   ok  ") else ""


def _text(row: str, kind: str, baseline: int) -> str:
    return f'<text class="{f"line {kind}".rstrip()}" x="{LEFT}" y="{baseline}" xml:space="preserve">{escape(row)}</text>'


if __name__ == "__main__":
    main()
