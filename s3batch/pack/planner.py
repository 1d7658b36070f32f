"""Plan batches from candidates.

Candidates come in path order, so those of one group (a bucket, its first-level folder, or every folder, by `PackWithin`) stand
together, and one group is held in memory at a time. A batch is closed when the next candidate would make its archive exceed
`max_bytes` or `max_members`, at the end of a folder once it has `enough_members`, when its oldest candidate has waited
`max_age` since it was finished, or when a single pass closes everything. A file larger than the limit travels alone. Greedy in
path order rather than best-fit: neighbours in a folder are restored together, and that is worth more than some percent of fill.

Enough is far less than the most there may be: nothing is saved by more members in an archive, while several archives are built,
sent and released at the same time, and an archive that ends with a folder splits none.

Pure: no clock, no disk. The same candidates and the same `now_ns` give the same plan.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from s3batch.model import Batch, Closed
from s3batch.pack.tar import END_OF_ARCHIVE, footprint
from s3sync.dropzone.candidate import Candidate, Candidates
from s3sync.keys import MAX_KEY_BYTES, is_utf8

ARCHIVE_NAME_BYTES = 64
"""Room kept in an object key for `/<batch id>.tar`."""

ENOUGH_MEMBERS = 10_000
"""With so many members an archive ends where their folder does."""

Group = tuple[str, bytes]


class PackWithin(StrEnum):
    """What a batch never mixes."""

    TOP = "top"
    """Two first-level folders: one customer's, one day's files stay apart."""
    BUCKET = "bucket"
    """Two buckets, which no archive could mix: fills best."""
    FOLDER = "folder"
    """Two folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a batch is closed."""

    max_bytes: int
    max_members: int
    max_age_ns: int
    quiet_ns: int
    """A candidate waits from the moment it has been quiet this long."""
    enough_members: int = ENOUGH_MEMBERS
    within: PackWithin = PackWithin.TOP
    close_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Candidates of one group that do not yet make a batch; they stay where they are."""

    bucket: str
    folder: str
    members: int
    planned_bytes: int
    oldest_ns: int
    """The oldest candidate's ctime."""


@dataclass(slots=True)
class _Open:
    """The group being collected."""

    group: Group
    candidates: Candidates = field(init=False)
    planned_bytes: int = len(END_OF_ARCHIVE)
    oldest_ns: int = sys.maxsize
    last_key: bytes = b""

    def __post_init__(self) -> None:
        self.candidates = Candidates(self.group[0])

    def add(self, candidate: Candidate, size: int) -> None:
        self.candidates.add(candidate)
        self.planned_bytes += size
        self.oldest_ns = min(self.oldest_ns, candidate.identity.ctime_ns)
        self.last_key = candidate.key

    def ends_before(self, candidate: Candidate) -> bool:
        """Tell whether the folder of the last one ends where `candidate` begins."""
        return self.last_key.rpartition(b"/")[0] != candidate.key.rpartition(b"/")[0]


def plan(candidates: Iterable[Candidate], limits: Limits, now_ns: int) -> Iterator[Batch | Waiting]:
    """Yield batches as soon as they close, and what stays waiting at the end of each group. `now_ns` is wall-clock time."""
    current: _Open | None = None
    for candidate in candidates:
        group = _group(candidate, limits.within)
        if current is None or current.group != group:
            if current is not None:
                yield from _leave(current, limits, now_ns)
            current = _Open(group)
        size = footprint(candidate.key, candidate.identity.size)
        if len(END_OF_ARCHIVE) + size > limits.max_bytes:
            yield _close(_alone(group, candidate, size), Closed.OVERSIZE)
            continue
        if current.planned_bytes + size > limits.max_bytes:
            yield _close(current, Closed.FULL_BYTES)
            current = _Open(group)
        elif len(current.candidates) >= limits.enough_members and current.ends_before(candidate):
            yield _close(current, Closed.FOLDER_END)
            current = _Open(group)
        current.add(candidate, size)
        if len(current.candidates) == limits.max_members:
            yield _close(current, Closed.FULL_MEMBERS)
            current = _Open(group)
    if current is not None:
        yield from _leave(current, limits, now_ns)


def _alone(group: Group, candidate: Candidate, size: int) -> _Open:
    single = _Open(group)
    single.add(candidate, size)
    return single


def _leave(current: _Open, limits: Limits, now_ns: int) -> Iterator[Batch | Waiting]:
    if not current.candidates:
        return
    if limits.close_all:
        yield _close(current, Closed.ONCE)
    elif current.oldest_ns + limits.quiet_ns + limits.max_age_ns <= now_ns:
        yield _close(current, Closed.AGE)
    else:
        yield Waiting(
            bucket=current.group[0],
            folder=shared_folder(current.candidates),
            members=len(current.candidates),
            planned_bytes=current.planned_bytes,
            oldest_ns=current.oldest_ns,
        )


def _close(current: _Open, reason: Closed) -> Batch:
    return Batch(
        bucket=current.group[0],
        folder=shared_folder(current.candidates),
        candidates=current.candidates,
        planned_bytes=current.planned_bytes,
        reason=reason,
    )


def _group(candidate: Candidate, within: PackWithin) -> Group:
    key = candidate.key
    if within is PackWithin.BUCKET:
        return candidate.bucket, b""
    slash = key.find(b"/") if within is PackWithin.TOP else key.rfind(b"/")
    return candidate.bucket, key[: slash + 1]


def shared_folder(candidates: Candidates) -> str:
    """Return the deepest folder all keys share that can be part of an object key and leaves room for the archive's name."""
    common = posixpath.commonpath(candidates.folders())
    while common and (len(common) + ARCHIVE_NAME_BYTES > MAX_KEY_BYTES or not is_utf8(common)):
        common = common.rpartition(b"/")[0]
    return common.decode("utf-8")
