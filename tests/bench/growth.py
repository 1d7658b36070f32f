"""Time a file, from small backlogs to large ones: a table, and a curve for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

CURVE = Path(__file__).parents[2] / "docs" / "images" / "growth.svg"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 300, 70, 50
_STYLE = "font-family:sans-serif;font-size:13px;fill:#333"


def rows(seconds: Mapping[int, float]) -> list[tuple[str, ...]]:
    """Return files, seconds, microseconds a file and their ratio to the smallest backlog's."""
    first = next(iter(seconds.items()))
    least = first[1] / first[0]
    return [
        (f"{files:,}", f"{spent:.1f}", f"{1e6 * spent / files:.0f}", f"{spent / files / least:.2f}")
        for files, spent in seconds.items()
    ]


def draw(seconds: Mapping[int, float]) -> None:
    """Write the curve: files on a logarithmic axis, microseconds a file on the other, which begins at 0."""
    points = [(files, 1e6 * spent / files) for files, spent in seconds.items()]
    most = max(each for _, each in points) * 1.25
    CURVE.write_text("\n".join(_svg(points, most)) + "\n")


def _svg(points: Sequence[tuple[int, float]], most: float) -> list[str]:
    low, high = math.log10(points[0][0]), math.log10(points[-1][0])

    def place(files: int, microseconds: float) -> tuple[float, float]:
        along = (math.log10(files) - low) / ((high - low) or 1)
        return _LEFT + along * (_WIDTH - _LEFT - 40), (_HEIGHT - _BOTTOM) * (1 - microseconds / most)

    floor = _HEIGHT - _BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<path d="M{_LEFT} 10V{floor}H{_WIDTH - 20}" fill="none" stroke="#999"/>',
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" style="{_STYLE}">files in the drop zone; microseconds a file, whole job</text>',
    ]
    placed = [place(*point) for point in points]
    lines.append(f'<polyline points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in placed)}" fill="none" stroke="#06c"/>')
    for (files, microseconds), (x, y) in zip(points, placed, strict=True):
        lines.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#06c"/>')
        lines.append(f'<text x="{x:.0f}" y="{y - 10:.0f}" text-anchor="middle" style="{_STYLE}">{microseconds:.0f}</text>')
        lines.append(f'<text x="{x:.0f}" y="{floor + 18}" text-anchor="middle" style="{_STYLE}">{files:,}</text>')
    return [*lines, "</svg>"]
