"""`status`: what waits, what is held and why, what needs a person. Changes nothing."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta

from s3sync.app import App
from s3sync.errors import Exit
from s3sync.keys import display
from s3sync.look import Remembered, Waiting, look, recall
from s3sync.output import Output, human_duration, human_size, human_time
from s3sync.times import rfc3339, to_ns
from s3sync.transfer.drops import Phase

HELP = "show what waits, what is held and why, and what needs somebody"
EPILOG = """examples:
  s3sync status
  s3sync status --json --exit-code
"""

SHOWN_DROPS = 20
"""How many drops that need somebody are shown to people; programs get all of them."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("--exit-code", action="store_true", help="exit with 3 where something needs somebody")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Look, and say what is there."""
    waiting, remembered = look(app.zone, app.ladder()), recall(app.journal_if_any)
    now = app.now()
    app.output.record(record(waiting, remembered, now))
    _show(waiting, remembered, app.output, now)
    return Exit.PARTIAL if args.exit_code and remembered.needs_somebody else Exit.DONE


def record(waiting: Waiting, remembered: Remembered, now: datetime) -> dict[str, object]:
    """Return the status as one JSON object."""
    buckets = {name: {"files": waiting.files[name], "bytes": waiting.bytes[name]} for name in sorted(waiting.files)}
    oldest = None if waiting.oldest_ns is None else max(0, (to_ns(now) - waiting.oldest_ns) // 1_000_000_000)
    parked = [f"bucket_parked: {bucket.bucket}: {bucket.wrong}" for bucket in remembered.parked]
    return {
        "backlog_files": waiting.files.total(),
        "backlog_bytes": waiting.bytes.total(),
        "oldest_eligible_seconds": oldest,
        "held": dict(sorted(waiting.held.items())),
        "buckets": buckets,
        "phases": {phase.value: count for phase, count in remembered.phases.items()},
        "unreleased": remembered.phases[Phase.UNRELEASED],
        "degraded": [*(f"{cause}: {detail}" for cause, detail in remembered.degraded.items()), *parked],
        "needs_somebody": [
            {"path": display(drop.candidate.path), "phase": drop.phase.value, "detail": drop.detail}
            for drop in remembered.needing
        ],
        "last_pass": None if remembered.last is None else rfc3339(remembered.last.finished),
        "last_success": None if remembered.success is None else rfc3339(remembered.success.finished),
    }


def _show(waiting: Waiting, remembered: Remembered, output: Output, now: datetime) -> None:
    output.text(f"waiting: {waiting.files.total()} files, {human_size(waiting.bytes.total())}{_oldest(waiting, now)}")
    rows = [(name, waiting.files[name], human_size(waiting.bytes[name])) for name in sorted(waiting.files)]
    if rows:
        output.table(rows, ("BUCKET", "FILES", "SIZE"))
    for reason, files in sorted(waiting.held.items()):
        output.text(f"held: {files} {reason}")
    for parked in remembered.parked:
        output.text(f"bucket left alone since {human_time(parked.since)}: {parked.wrong}")
    for drop in remembered.needing[:SHOWN_DROPS]:
        output.text(f"{drop.phase}: {display(drop.candidate.path)}: {drop.detail}")
    if len(remembered.needing) > SHOWN_DROPS:
        output.text(f"... and {len(remembered.needing) - SHOWN_DROPS} more; --json shows all")
    for cause, detail in remembered.degraded.items():
        output.text(f"degraded: {cause}: {detail}")
    for name, done in (("last pass", remembered.last), ("last success", remembered.success)):
        output.text(f"{name}: {'never' if done is None else human_time(done.finished)}")


def _oldest(waiting: Waiting, now: datetime) -> str:
    if waiting.oldest_ns is None:
        return ""
    age = timedelta(microseconds=max(0, to_ns(now) - waiting.oldest_ns) // 1000)
    return f", the oldest for {human_duration(age)}"
