"""What of a status needs a person: what will not get better by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from s3batch.operate.status import Status
from s3batch.pack.lifecycle import State
from s3sync.dropzone.reasons import MEANINGS, Reason
from s3sync.dropzone.remedies import remedy


def needs_a_person(status: Status, *, searched_here: bool = True) -> list[str]:
    """Return a sentence for each thing somebody has to look at; none where all is well.

    `searched_here` tells whether people look things up in this host's catalogue: where they ask the fleet's, it may have gaps.
    """
    degraded = (each.detail for each in status.degraded)
    return [
        *_unreleased(status),
        *_redelivered(status),
        *_buckets(status),
        *_held(status),
        *_set_aside(status),
        *_amiss(status),
        *(_uncatalogued(status) if searched_here else ()),
        *degraded,
    ]


def _unreleased(status: Status) -> Iterator[str]:
    for reason, files in status.unreleased.items():
        yield f"{_files(files)} archived and could not be removed: {reason}. {remedy(reason).sentence}"


def _redelivered(status: Status) -> Iterator[str]:
    for bucket, files in status.redelivered.items():
        yield (
            f"bucket {bucket}: {_files(files)} paid for again, uploaded unchanged within 30 days of being archived."
            " Find the client that mirrors its folder, and let it upload only what is new"
        )


def _buckets(status: Status) -> Iterator[str]:
    for name, bucket in status.buckets.items():
        if bucket.parked and bucket.last_error is not None:
            yield f"bucket {name}: {bucket.last_error.error}"


def _held(status: Status) -> Iterator[str]:
    if status.backlog is None:
        return
    for reason, files in status.backlog.held.items():
        known = remedy(reason)
        if known.lasting and reason != Reason.UNRELEASABLE:  # those are told of above, with why
            yield f"{_files(files)} left alone as {reason}: {MEANINGS[Reason(reason)]}. {known.sentence}"


def _set_aside(status: Status) -> Iterator[str]:
    if status.index is not None and status.index.set_aside:
        refused = f"the fleet's index refused {status.index.set_aside:,} documents"
        yield f"{refused}; the archives themselves are complete: s3batch index status"


def _amiss(status: Status) -> Iterator[str]:
    if status.verified.amiss:
        archives = "1 archive is" if status.verified.amiss == 1 else f"{status.verified.amiss:,} archives are"
        yield f"{archives} not in S3 as recorded: s3batch verify --all names them and says what differs"


def _uncatalogued(status: Status) -> Iterator[str]:
    """Compare numbers only: rows never leave the catalogue, and those of other hosts only hide what is lacking."""
    made = status.phases.get(State.CATALOGUED, 0) + status.phases.get(State.RELEASED, 0)
    lacking = 0 if status.catalogue is None else made - status.catalogue["archives"]
    if lacking > 0:
        archives = "1 archive" if lacking == 1 else f"{lacking:,} archives"
        yield f"the catalogue lacks at least {archives} that this host has made, and finds nothing in them: s3batch rebuild"


def _files(count: int) -> str:
    return "1 file is" if count == 1 else f"{count:,} files are"
