"""`status`: how things stand, and what needs a person. Changes nothing."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from datetime import timedelta

from s3batch.app import App
from s3batch.catalogue.outbox import Behind
from s3batch.commands._records import open_records
from s3batch.operate.attention import needs_a_person
from s3batch.operate.status import BucketStatus, Question, Status, status
from s3batch.operate.verified import Verification, Verified
from s3batch.settings import Where
from s3sync.dropzone.reasons import MEANINGS, Reason
from s3sync.errors import Exit
from s3sync.keys import printable
from s3sync.output import Output, human_duration, human_size, human_time, table
from s3sync.times import rfc3339, to_ns

HELP = "Show how things stand: what waits, what is held and why, batches, requests, and what needs a person."
EPILOG = """It may be asked at any time, whether the agent runs or not, and changes nothing. The backlog is found by walking the
drop zone, which takes its time where there are millions of files: --no-walk leaves that out.

With --exit-code it ends with 0 where all is well, and with 3 where something needs a person: archived files that cannot be
removed, a bucket that refuses, files held for something that does not pass by itself, or a degraded state. Without, it ends
with 0 whenever it could look.

examples:
  s3batch status
  s3batch status --json --exit-code | jq '{backlog_files, oldest_eligible_seconds, attention}'
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--exit-code", action="store_true", help="end with 3 where something needs a person")
    parser.add_argument("--no-walk", action="store_true", help="do not walk the drop zone: no backlog, nothing held")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Look and say it."""
    settings, now = app.settings, app.now()
    app.quiet.begin_pass(wall_ns=to_ns(now), monotonic_ns=time.monotonic_ns())
    question = Question(
        standards=app.standards,
        limits=app.limits,
        state=settings.state,
        spool_limit=settings.spool_limit,
        scan_interval=settings.scan_interval,
        now=now,
        walk=not args.no_walk,
    )
    found = status(app.zone, open_records(app), question)
    attention = needs_a_person(found, searched_here=settings.catalogue is not Where.OPENSEARCH)
    app.output.record(_record(found, attention))
    if not app.output.as_json:
        _show(found, attention, app)
    return Exit.PARTIAL if attention and args.exit_code else Exit.DONE


def _record(found: Status, attention: list[str]) -> dict[str, object]:
    backlog, oldest = found.backlog, found.oldest_eligible
    return {
        "time": rfc3339(found.now),
        "agent": None if found.agent is None else found.agent.pid,
        "backlog_files": None if backlog is None else backlog.files,
        "backlog_bytes": None if backlog is None else backlog.bytes,
        "oldest_eligible_seconds": None if backlog is None else 0 if oldest is None else int(oldest.total_seconds()),
        "held": None if backlog is None else dict(backlog.held),
        "buckets": {name: _bucket_record(bucket) for name, bucket in found.buckets.items()},
        "phases": dict(found.phases),
        "requests": dict(found.requests),
        "unreleased": sum(found.unreleased.values()),
        "unreleased_reasons": dict(found.unreleased),
        "redelivered": dict(found.redelivered),
        "degraded": [each.cause.value for each in found.degraded],
        "last_success": None if found.last_success is None else rfc3339(found.last_success),
        "archive_fill": None if not found.fill.archives else round(found.fill.share, 4),
        "catalogue": None if found.catalogue is None else dict(found.catalogue),
        "spool": {
            "bytes": found.spool.bytes,
            "limit_bytes": found.spool.limit_bytes,
            "free_bytes": found.spool.free_bytes,
        },
        "index": None
        if found.index is None
        else {
            "archives_behind": found.index.archives,
            "since": None if found.index.since is None else rfc3339(found.index.since),
            "set_aside": found.index.set_aside,
            "why": found.index.why,
        },
        "verified": _verified_record(found.verified),
        "attention": attention,
    }


def _verified_record(verified: Verified) -> dict[str, object] | None:
    last = verified.last
    if last is None:
        return None
    return {
        "ended": rfc3339(last.ended),
        "sample": last.sample,
        "archives": last.archives,
        "of": last.of,
        "amiss": last.amiss,
        "unseen": last.unseen,
        "amiss_known": verified.amiss,
    }


def _bucket_record(bucket: BucketStatus) -> dict[str, object]:
    return {
        "files": bucket.files,
        "bytes": bucket.bytes,
        "held": bucket.held,
        "last_archive": None if bucket.last_archive is None else rfc3339(bucket.last_archive),
        "last_error": None if bucket.last_error is None else bucket.last_error.error,
        "parked": bucket.parked,
    }


def _show(found: Status, attention: list[str], app: App) -> None:
    output = app.output
    for name, said in _facts(found, app):
        output.text(f"{name:<12} {said}")
    output.text()
    _show_buckets(found, output)
    _show_held(found, output)
    if attention:
        output.text("Needs a person:")
        for sentence in attention:
            output.text(f"  - {sentence}")
    else:
        output.text("Nothing needs a person.")


def _facts(found: Status, app: App) -> list[tuple[str, str]]:
    facts = [("drop zone", str(app.zone.path)), ("agent", _agent(found))]
    if not found.state_exists:
        facts.append(("state", f"none yet in {app.settings.state}: no agent has run with these settings"))
    facts.append(("backlog", _backlog(found)))
    if found.state_exists:
        facts += [
            ("last success", _ago(found)),
            ("batches", _counts(found.phases, "none yet")),
            ("archives", _archives(found)),
            ("requests", _counts(found.requests, "none")),
            ("not removed", _counts(found.unreleased, "none: every archived file is out of the drop zone")),
        ]
    if found.index is not None:
        facts.append(("index", _index(found.index)))
    if found.verified.last is not None:
        facts.append(("verified", _verified(found.verified.last)))
    spool = found.spool
    taken = f"{human_size(spool.bytes)} of {human_size(spool.limit_bytes)}"
    facts.append(("spool", f"{taken}, and {human_size(spool.free_bytes)} free on its disk"))
    return facts


def _agent(found: Status) -> str:
    if found.agent is None:
        return "none is seen running on this host"
    rights = found.agent.rights
    return f"running, pid {found.agent.pid}" + ("" if rights is None else f", uid {rights.uid}")


def _backlog(found: Status) -> str:
    if found.backlog is None:
        return "not looked at (--no-walk)"
    if not found.backlog.files:
        return "no finished file waits"
    oldest = found.oldest_eligible
    since = "" if oldest is None else f", the oldest for {human_duration(oldest)}"
    files = "1 finished file waits" if found.backlog.files == 1 else f"{found.backlog.files:,} finished files wait"
    return f"{files}, {human_size(found.backlog.bytes)}{since}"


def _ago(found: Status) -> str:
    if found.last_success is None:
        return "never"
    return f"{human_time(found.last_success)}, {human_duration(max(found.now - found.last_success, timedelta()))} ago"


def _archives(found: Status) -> str:
    fill = found.fill
    last = f"; the last {fill.archives} were {fill.share:.0%} full on average" if fill.archives else ""
    if found.catalogue is None:
        return f"no catalogue yet{last}"
    known = found.catalogue
    return f"{known['archives']:,} in the catalogue, {known['members']:,} members, {human_size(known['bytes'])}{last}"


def _verified(last: Verification) -> str:
    unseen = f", {last.unseen:,} could not be looked at" if last.unseen else ""
    amiss = f"{last.amiss:,} amiss" if last.amiss else "nothing amiss"
    return f"{last.archives:,} of {last.of:,} archives on {human_time(last.ended)} ({last.sample}): {amiss}{unseen}"


def _index(behind: Behind) -> str:
    if behind.since is None:
        return "up to date"
    why = "" if behind.why is None else f": {printable(behind.why)}"
    number = "1 archive" if behind.archives == 1 else f"{behind.archives:,} archives"
    return f"behind by {number} since {human_time(behind.since)}{why}"


def _counts(counts: Mapping[str, int], none: str) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or none


def _show_buckets(found: Status, output: Output) -> None:
    if not found.buckets:
        return
    rows = [
        (
            name,
            bucket.files,
            human_size(bucket.bytes),
            bucket.held,
            None if bucket.last_archive is None else human_time(bucket.last_archive),
            "refuses" if bucket.parked else "ok",
        )
        for name, bucket in found.buckets.items()
    ]
    output.table(rows, ("BUCKET", "WAITING", "SIZE", "HELD", "LAST ARCHIVE", "STATE"))
    output.text()


def _show_held(found: Status, output: Output) -> None:
    if found.backlog is None or not found.backlog.held:
        return
    output.text("Held (`s3batch why PATH` tells of one path; a folder that is not entered counts once):")
    rows = [(files, reason, MEANINGS[Reason(reason)]) for reason, files in found.backlog.held.items()]
    for line in table(rows, ("", "", ""))[1:]:
        output.text(f"  {line}")
    output.text()
