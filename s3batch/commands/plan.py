"""`plan`: what a pass would do now. Changes nothing."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from s3batch.app import App
from s3batch.commands._records import open_records
from s3batch.operate.plan import Outlook, PlannedArchive, Shipping, WaitingGroup, rehearse
from s3batch.operate.records import Records
from s3batch.pack.lifecycle import State
from s3batch.pack.planner import PackWithin
from s3batch.restore.cost import dollars
from s3sync.dropzone.reasons import MEANINGS, Reason
from s3sync.errors import Exit
from s3sync.output import Output, counted, human_duration, human_size, table
from s3sync.times import to_ns

HELP = "Show what a pass would do now: which archives, what stays waiting and why, and what it costs."
EPILOG = """Nothing is changed. Without --once it is a pass of the running agent: groups that do not fill an archive wait until
S3BATCH_MAX_BATCH_AGE is over. Whether somebody writes a file is asked only when its archive is built, so a file that is open
for writing may be listed here and be left out then. With --json: one object an archive, all the rest on standard error.

examples:
  s3batch plan
  s3batch plan --once --json | jq -s 'map(.bytes) | add'
"""

SHOWN = 40
"""Lines of a list for people; `--json` has them all."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--once", "--all", action="store_true", help="as `run --once`: archives that are not full are made too")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Rehearse a pass."""
    now_ns = to_ns(app.now())
    app.quiet.begin_pass(wall_ns=now_ns, monotonic_ns=time.monotonic_ns())
    settings = app.settings
    limits = replace(app.limits, close_all=args.once)
    shipping = Shipping(settings.storage_class, settings.part_size)
    shown = _Shown(app.output, now_ns)
    records = open_records(app)
    for item in rehearse(app.zone, app.standards, records, limits, shipping, now_ns=now_ns):
        shown.take(item)
    if not app.output.as_json:
        shown.finish(settings.pack_within, settings.storage_class.value)
        _show_being_built(records, app.output)
    return Exit.DONE


class _Shown:
    """Shows archives as they come, and keeps for the end the few lines that people get to see."""

    def __init__(self, output: Output, now_ns: int) -> None:
        self._output = output
        self._now_ns = now_ns
        self._archives: list[PlannedArchive] = []
        self._waiting: list[WaitingGroup] = []
        self._outlook: Outlook | None = None

    def take(self, item: PlannedArchive | WaitingGroup | Outlook) -> None:
        match item:
            case PlannedArchive():
                self._output.record(_record(item))
                _keep(self._archives, item)
            case WaitingGroup():
                _keep(self._waiting, item)
            case Outlook():
                self._outlook = item

    def finish(self, within: PackWithin, storage_class: str) -> None:
        """Write everything for people."""
        outlook, output = self._outlook, self._output
        if outlook is None:
            return
        self._show_archives(outlook)
        self._show_waiting(outlook)
        _show_held(outlook, output)
        if outlook.archives:
            _show_costs(outlook, storage_class, output)
        _show_advice(outlook, within, output)

    def _show_archives(self, outlook: Outlook) -> None:
        if not outlook.archives:
            self._output.text("A pass would make no archive now.")
            return
        archives, files = counted(outlook.archives, "archive"), counted(outlook.members, "file")
        self._output.text(f"A pass would make {archives} of {files}, {human_size(outlook.bytes)}:")
        rows = [
            (each.bucket, f"{each.folder}/", each.members, human_size(each.archive_bytes), each.reason)
            for each in self._archives
        ]
        self._show(rows, ("BUCKET", "IN FOLDER", "FILES", "ARCHIVE", "CLOSED BY"), outlook.archives)

    def _show_waiting(self, outlook: Outlook) -> None:
        if not outlook.waiting_groups:
            return
        files, size = counted(outlook.waiting_members, "file"), human_size(outlook.waiting_bytes)
        self._output.text(f"Finished, and waiting until they fill an archive or are old enough: {files}, {size}:")
        rows = [
            (each.bucket, f"{each.folder}/", each.members, human_size(each.archive_bytes), self._in(each.closes_ns))
            for each in self._waiting
        ]
        self._show(rows, ("BUCKET", "IN FOLDER", "FILES", "SO FAR", "AT THE LATEST IN"), outlook.waiting_groups)

    def _in(self, moment_ns: int) -> str:
        return human_duration(timedelta(seconds=max(0, (moment_ns - self._now_ns) // 10**9)))

    def _show(self, rows: Sequence[Sequence[object]], headers: Sequence[str], count: int) -> None:
        for line in table(rows, headers):
            self._output.text(f"  {line}")
        if count > len(rows):
            self._output.text(f"  and {count - len(rows):,} more")
        self._output.text()


def _keep(kept: list[PlannedArchive] | list[WaitingGroup], item: object) -> None:
    if len(kept) < SHOWN:
        kept.append(item)  # type: ignore[arg-type]  # each list gets its own kind


def _record(archive: PlannedArchive) -> dict[str, object]:
    return {
        "bucket": archive.bucket,
        "archive_prefix": f"{archive.folder}/" if archive.folder else "",
        "members": archive.members,
        "bytes": archive.bytes,
        "archive_bytes": archive.archive_bytes,
        "reason": archive.reason.value,
    }


def _show_held(outlook: Outlook, output: Output) -> None:
    if not outlook.held:
        return
    output.text("Left alone (`s3batch why PATH` tells of one path; a folder that is not entered counts once):")
    for line in table([(files, reason, MEANINGS[Reason(reason)]) for reason, files in outlook.held.items()], ("", "", ""))[1:]:
        output.text(f"  {line}")
    output.text()


def _show_costs(outlook: Outlook, storage_class: str, output: Output) -> None:
    prices = outlook.prices
    output.text(f"What that costs in {storage_class}, by the list prices of {prices.region} of {prices.as_of}:")
    rows = [
        (name, f"{cost.objects:,}", dollars(cost.upload), dollars(cost.monthly))
        for name, cost in (("these archives", outlook.as_archives), ("one object a file", outlook.as_objects))
    ]
    for line in table(rows, ("", "OBJECTS", "TO UPLOAD", "A MONTH")):
        output.text(f"  {line}")
    output.text()


def _show_advice(outlook: Outlook, within: PackWithin, output: Output) -> None:
    if not outlook.fill.poor:
        return
    output.text(f"Poorly filled: the {outlook.fill.archives:,} archives would be {outlook.fill.share:.0%} full on average.")
    better = outlook.better
    if better is not None:
        archives = counted(better.archives, "archive")
        output.text(f"S3BATCH_PACK_WITHIN={better.within} (now {within}) would make about {archives} of the same files.")
    else:
        output.text("A longer S3BATCH_MAX_BATCH_AGE would fill them better; another S3BATCH_PACK_WITHIN would not help much.")


def _show_being_built(records: Records, output: Output) -> None:
    building = sum(recorded.state is State.RESERVED for recorded in records.unfinished())
    if building:
        verb = "is" if building == 1 else "are"
        output.text(f"At this moment {counted(building, 'batch')} {verb} being built; its files may be listed above as well.")
