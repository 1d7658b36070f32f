"""How things stand: the backlog in the drop zone, batches, requests, what cannot be removed, and what needs a person.

Everything is read from where it is (drop zone, journal, catalogue, spool, the kernel's locks), so it is true whether the agent
runs or not, and on a host where none ever ran. Walking the drop zone is most of the work and may be left out.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from s3batch.catalogue.outbox import Behind
from s3batch.operate.agents import Agent, running_agent
from s3batch.operate.degraded import Degradation, LeaseSample, degradations
from s3batch.operate.fill import Fill, share
from s3batch.operate.records import Records
from s3batch.operate.verified import Verifications, Verified
from s3batch.pack.history import History, LastError
from s3batch.pack.planner import Limits
from s3batch.pack.steps import REDELIVERY_WINDOW
from s3batch.restore.summary import requests_by_state
from s3sync.dropzone.candidate import Candidate
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import foresee_quarantine
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.scan import Held, scan
from s3sync.dropzone.zone import DropZone
from s3sync.mounts import nearest_existing
from s3sync.times import to_ns

RECENT_ARCHIVES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketStatus:
    """One bucket."""

    files: int = 0
    """Finished files that wait in the drop zone."""
    bytes: int = 0
    held: int = 0
    last_archive: datetime | None = None
    last_error: LastError | None = None

    @property
    def parked(self) -> bool:
        """Tell whether it is left alone for a while: its last attempt failed, and there is something to try again."""
        return self.last_error is not None and (not self.last_error.given_up or self.files > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What the walk through the drop zone found."""

    files: int
    bytes: int
    oldest_ns: int | None
    """When the oldest of them was finished; wall-clock time."""
    held: Mapping[str, int]
    """By reason; a folder that is not entered counts once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStatus:
    """The disk archives are built on."""

    bytes: int
    limit_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything, at one moment."""

    now: datetime
    state_exists: bool
    """False where no agent has run yet."""
    agent: Agent | None
    backlog: Backlog | None
    """None where nobody wanted the drop zone to be walked."""
    buckets: Mapping[str, BucketStatus]
    phases: Mapping[str, int]
    requests: Mapping[str, int]
    unreleased: Mapping[str, int]
    """Files that are archived and could not be removed, by reason."""
    redelivered: Mapping[str, int]
    """Files by bucket that came again unchanged within `REDELIVERY_WINDOW`, and were archived and paid for again."""
    degraded: tuple[Degradation, ...]
    last_success: datetime | None
    fill: Fill
    catalogue: Mapping[str, int] | None
    spool: SpoolStatus
    index: Behind | None
    """How far the fleet's index is behind; None where none is configured."""
    verified: Verified
    """What comparing archives with S3 has found."""

    @property
    def oldest_eligible(self) -> timedelta | None:
        """How long the oldest finished file has waited."""
        if self.backlog is None or self.backlog.oldest_ns is None:
            return None
        return timedelta(microseconds=max(0, to_ns(self.now) - self.backlog.oldest_ns) // 1000)


class Question(NamedTuple):
    """What the answer depends on."""

    standards: Standards
    limits: Limits
    state: Path
    spool_limit: int
    scan_interval: timedelta
    now: datetime
    walk: bool
    """Whether to walk the drop zone."""


def status(zone: DropZone, records: Records, question: Question) -> Status:
    """Look everywhere and return what there is. The quiet clock has begun its pass.

    Raises `OSError` where the drop zone cannot be listed, and what reading the records raises.
    """
    agent = running_agent(question.state, zone.path)
    seen = _walk(zone, records, question) if question.walk else _Seen()
    history = None if records.db is None else History(records.db)
    last_archives = {} if history is None else history.last_archives()
    backlog = seen.backlog(question.limits) if question.walk else None
    found = Status(
        now=question.now,
        state_exists=records.db is not None,
        agent=agent,
        backlog=backlog,
        buckets=_buckets(seen, last_archives, {} if history is None else history.last_errors()),
        phases={} if history is None else {state.value: count for state, count in history.phases().items()},
        requests={} if records.db is None else {state.value: count for state, count in requests_by_state(records.db).items()},
        unreleased=dict(Counter(one.reason for one in records.left_over())),
        redelivered={} if history is None else history.redelivered(question.now - REDELIVERY_WINDOW),
        degraded=(),
        last_success=max(last_archives.values(), default=None),
        fill=Fill(0, 0.0) if history is None else _fill(history, question.limits),
        catalogue=None if records.catalogue is None else records.catalogue.statistics(),
        spool=_spool(records.spool, question.spool_limit),
        index=records.behind(),
        verified=Verified(None, 0) if records.db is None else Verifications(records.db).known(),
    )
    rights = zone.rights if agent is None or agent.rights is None else agent.rights
    overdue_after = timedelta(microseconds=question.limits.max_age_ns / 1000) + 3 * question.scan_interval
    return replace(
        found,
        degraded=degradations(
            zone=zone,
            rights=rights,
            leases=seen.leases,
            oldest=found.oldest_eligible,
            overdue_after=overdue_after,
            spool_free=found.spool.free_bytes,
            max_batch_bytes=question.limits.max_bytes,
            index_waits=_index_waits(found),
        ),
    )


def _index_waits(found: Status) -> timedelta | None:
    """Return how long the oldest archive has waited for the index."""
    since = None if found.index is None else found.index.since
    return None if since is None else found.now - since


@dataclass(slots=True)
class _Seen:
    """What a walk adds up."""

    oldest_ns: int | None = None
    held: Counter[str] = field(default_factory=Counter)
    """By reason."""
    files: Counter[str] = field(default_factory=Counter)
    """By bucket, as the next two."""
    bytes: Counter[str] = field(default_factory=Counter)
    held_in: Counter[str] = field(default_factory=Counter)
    leases: LeaseSample = field(default_factory=LeaseSample)

    def take(self, candidate: Candidate) -> None:
        identity = candidate.identity
        self.files[candidate.bucket] += 1
        self.bytes[candidate.bucket] += identity.size
        self.oldest_ns = identity.ctime_ns if self.oldest_ns is None else min(self.oldest_ns, identity.ctime_ns)

    def hold(self, held: Held) -> None:
        self.held[held.reason.value] += held.files
        if held.bucket:
            self.held_in[held.bucket] += held.files

    def backlog(self, limits: Limits) -> Backlog:
        finished_ns = None if self.oldest_ns is None else self.oldest_ns + limits.quiet_ns
        held = MappingProxyType(dict(self.held.most_common()))
        return Backlog(files=self.files.total(), bytes=self.bytes.total(), oldest_ns=finished_ns, held=held)


def _walk(zone: DropZone, records: Records, question: Question) -> _Seen:
    standards = replace(question.standards, in_flight=records.in_flight(), unreleasable=records.unreleasable())
    seen = _Seen()
    with zone.folders() as folders:
        for found in scan(zone, Ladder(standards), foresee_quarantine):
            if isinstance(found, Held):
                seen.hold(found)
            else:
                seen.take(found)
                seen.leases.look(found, folders)
    return seen


def _buckets(seen: _Seen, last_archives: Mapping[str, datetime], errors: Mapping[str, LastError]) -> dict[str, BucketStatus]:
    return {
        name: BucketStatus(
            files=seen.files[name],
            bytes=seen.bytes[name],
            held=seen.held_in[name],
            last_archive=last_archives.get(name),
            last_error=errors.get(name),
        )
        for name in sorted({*seen.files, *seen.held_in, *last_archives, *errors})
    }


def _fill(history: History, limits: Limits) -> Fill:
    sizes = history.recent_sizes(RECENT_ARCHIVES)
    shares = [share(each.bytes, each.members, max_bytes=limits.max_bytes, max_members=limits.max_members) for each in sizes]
    return Fill(len(shares), sum(shares) / len(shares) if shares else 0.0)


def _spool(root: Path, limit_bytes: int) -> SpoolStatus:
    return SpoolStatus(
        bytes=_content_bytes(root), limit_bytes=limit_bytes, free_bytes=shutil.disk_usage(nearest_existing(root)).free
    )


def _content_bytes(root: Path) -> int:
    """Return what the spool's files take; one that goes while we look counts nothing."""
    taken = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                taken += os.lstat(os.path.join(folder, name)).st_size
    return taken
