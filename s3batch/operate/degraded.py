"""What the agent has to do without: where it still works, but with less than the full protection or reach.

Each cause has a stable name, for `--json` and alarms, and says what is lost and what to do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from s3sync.dropzone.candidate import Candidate
from s3sync.dropzone.folders import FolderCache
from s3sync.dropzone.zone import DropZone, Rights
from s3sync.mounts import filesystem_of
from s3sync.output import human_duration, human_size

SAMPLED_A_BUCKET = 50
INDEX_PATIENCE = timedelta(hours=1)


class Cause(StrEnum):
    """What is missing."""

    NO_LEASES = "no_leases"
    """A filesystem without leases."""
    LEASES_FORBIDDEN = "leases_forbidden"
    """Files of other users, and no CAP_LEASE."""
    OVERDUE = "overdue"
    """Finished files wait longer than the settings allow."""
    INDEX_BEHIND = "index_behind"
    """The fleet's index has not been told of archives for longer than `INDEX_PATIENCE`."""
    SPOOL_DISK_LOW = "spool_disk_low"
    """Not even one archive fits on the spool's disk."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """One thing that is missing."""

    cause: Cause
    detail: str


@dataclass(slots=True)
class LeaseSample:
    """Whose files the candidates are: the owners of the first few of each bucket."""

    owners: set[int] = field(default_factory=set)
    _looked: Counter[str] = field(default_factory=Counter)

    def look(self, candidate: Candidate, folders: FolderCache) -> None:
        """Note the owner of a candidate, unless enough of its bucket are known."""
        if self._looked[candidate.bucket] >= SAMPLED_A_BUCKET:
            return
        self._looked[candidate.bucket] += 1
        with suppress(OSError):  # gone meanwhile: the next one will do
            parent_fd, name = folders.parent(candidate.path)
            self.owners.add(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_uid)


def degradations(
    *,
    zone: DropZone,
    rights: Rights,
    leases: LeaseSample,
    oldest: timedelta | None,
    overdue_after: timedelta,
    spool_free: int,
    max_batch_bytes: int,
    index_waits: timedelta | None = None,
) -> tuple[Degradation, ...]:
    """Return what is missing, with the agent's `rights`; sizes are bytes."""
    return (
        *_without_leases(zone),
        *_forbidden(rights, leases),
        *_overdue(oldest, overdue_after),
        *_spool_disk(spool_free, max_batch_bytes),
        *_index(index_waits),
    )


def _without_leases(zone: DropZone) -> Iterator[Degradation]:
    for place in zone_filesystems(zone):
        detail = f"{place} is without file leases: writers are looked for among processes, the quiet period counts four times"
        yield Degradation(Cause.NO_LEASES, detail)


def zone_filesystems(zone: DropZone) -> list[str]:
    """Return a phrase for each place of the drop zone whose filesystem is not known to have leases, such as NFS and FUSE."""
    with os.scandir(zone.fd) as entries:
        buckets = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    found = {}
    for folder in (zone.path, *(zone.path / bucket for bucket in buckets)):
        with suppress(OSError):  # a folder we may not pass through is held, and counted there
            filesystem = filesystem_of(folder)
            if filesystem.shared:
                found[filesystem.mounted_at] = f"{filesystem.mounted_at} ({filesystem.kind})"
    return list(found.values())


def _forbidden(rights: Rights, leases: LeaseSample) -> Iterator[Degradation]:
    others = sorted(leases.owners - {rights.uid})
    if others and not rights.leases_all:
        whose = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")  # noqa: PLR2004 - enough to see whose
        detail = (
            f"uid {rights.uid} may not take leases on files of uid {whose}: writers are looked for among processes, and the"
            " quiet period counts four times. Give the agent CAP_LEASE"
        )
        yield Degradation(Cause.LEASES_FORBIDDEN, detail)


def _overdue(oldest: timedelta | None, overdue_after: timedelta) -> Iterator[Degradation]:
    if oldest is not None and oldest > overdue_after:
        detail = (
            f"the oldest finished file waits {human_duration(oldest)}; by the settings it is archived before it waits longer"
        )
        yield Degradation(Cause.OVERDUE, f"{detail} than {human_duration(overdue_after)}")


def _spool_disk(free: int, max_batch_bytes: int) -> Iterator[Degradation]:
    if free < max_batch_bytes:
        detail = f"the spool's disk has {human_size(free)} free, and an archive takes up to {human_size(max_batch_bytes)}"
        yield Degradation(Cause.SPOOL_DISK_LOW, detail)


def _index(waits: timedelta | None) -> Iterator[Degradation]:
    if waits is not None and waits > INDEX_PATIENCE:
        detail = f"the fleet's index is {human_duration(waits)} behind: archives are safe and found on this host, not yet there"
        yield Degradation(Cause.INDEX_BEHIND, detail)
