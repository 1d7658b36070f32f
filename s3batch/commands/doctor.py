"""`doctor`: is this host fit for the agent? Leaves nothing behind."""

from __future__ import annotations

import argparse
from collections import Counter

from s3batch.app import App
from s3batch.commands._records import open_records
from s3batch.operate.doctor import Patient, examination
from s3batch.operate.findings import Finding, Level
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.errors import Exit
from s3sync.output import Output
from s3sync.store.check import S3Probe

HELP = "Examine this host: settings, folders, rights, disks, quarantine, credentials, buckets; and say what to do."
EPILOG = """Everything is tried as far as that is harmless: a probe file is renamed through each quarantine, leases are asked
for on a few real files, an upload is begun and aborted, a thaw is asked for an object that does not exist. Nothing stays
behind. Run it as the agent's user, since it is that user's rights that count. An agent may run meanwhile.

Exit codes: 0 all is well, 3 the agent works with less than it should have, 7 it would not start or could archive nothing.

examples:
  s3batch doctor
  s3batch doctor --bucket customer-uploads --json | jq 'select(.ok | not)'
"""

_MARK = {Level.OK: "ok", Level.NOTE: "note", Level.WARNING: "WARNING", Level.ERROR: "ERROR"}


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--bucket", action="append", metavar="B", default=[], help="only this bucket; may be repeated")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Examine, and say each finding as it comes."""
    ignore_lease_signals()
    patient = Patient(
        settings=app.settings,
        zone=lambda: app.zone,
        records=lambda: open_records(app),
        probe=lambda: S3Probe(app.store.client, app.now),
        standards=app.standards,
        search=lambda: app.cluster,
        only_buckets=args.bucket,
    )
    levels: Counter[Level] = Counter()
    group = ""
    for finding in examination(patient):
        levels[finding.level] += 1
        app.output.record(_record(finding))
        if finding.group != group and not app.output.as_json:
            group = finding.group
            app.output.text(group)
        if not app.output.as_json:
            _show(finding, app.output)
    if not app.output.as_json:
        app.output.text()
        app.output.text(_conclusion(levels))
    return Exit.PREFLIGHT if levels[Level.ERROR] else Exit.PARTIAL if levels[Level.WARNING] else Exit.DONE


def _record(finding: Finding) -> dict[str, object]:
    return {
        "group": finding.group,
        "subject": finding.subject,
        "ok": finding.ok,
        "level": finding.level.value,
        "detail": finding.detail,
        "hint": finding.hint,
    }


def _show(finding: Finding, output: Output) -> None:
    output.text(f"  {_MARK[finding.level]:<7}  {finding.subject}: {finding.detail}")
    if finding.hint:
        output.text(f"           {finding.hint}.")


def _conclusion(levels: Counter[Level]) -> str:
    errors, warnings = levels[Level.ERROR], levels[Level.WARNING]
    if errors:
        return f"{_count(errors, 'error')}, {_count(warnings, 'warning')}: the agent would not start, or could archive nothing."
    if warnings:
        return f"{_count(warnings, 'warning')}: the agent works, with less than it should have."
    return "All is well."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
