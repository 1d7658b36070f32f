"""How an agent stands, as the one sentence that `systemctl status` shows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an operator wants to know first."""

    doing: str
    """A word or a few: `resting`, `at work since ...`."""
    backlog: str
    """What waits and what is held, or empty where nobody knows yet."""
    last: datetime | None
    """When S3 last confirmed something and its originals went (aware UTC); None: never."""
    attention: Sequence[str] | None = None
    """What needs a person, or is degraded, the gravest first; None where nobody has looked yet."""
    restart_for: Sequence[str] = ()
    """Settings that wait for a restart."""


def sentence(standing: Standing) -> str:
    """Return it as people read it."""
    last = "nothing archived yet" if standing.last is None else f"last archive {standing.last:%Y-%m-%d %H:%M} UTC"
    facts = "; ".join(filter(None, (standing.doing, standing.backlog, last)))
    parts = [facts[:1].upper() + facts[1:] + ".", _attention(standing.attention)]
    if standing.restart_for:
        parts.append(f"A restart is needed for {', '.join(standing.restart_for)}.")
    return " ".join(filter(None, parts))


def files(count: int, verb: str, verbs: str) -> str:
    """Return so many files with what they do."""
    return f"1 file {verb}" if count == 1 else f"{count:,} files {verbs}"


def _attention(found: Sequence[str] | None) -> str:
    if not found:
        return "" if found is None else "All is well."
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"Look at: {found[0].rstrip('.')}{more}."
