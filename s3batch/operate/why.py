"""Why a path is left alone, and what is known of it besides: its batch on the way, its archive, its place in quarantine.

The ladder's verdicts come from `s3sync.dropzone.why`; here the journal and the catalogue have their say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from s3batch.catalogue.contract import Entry
from s3batch.operate.records import Records
from s3batch.pack.lifecycle import Recorded
from s3batch.pack.unreleased import Unreleased
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.why import Explained, Kind, explain
from s3sync.dropzone.writers import Snapshot, snapshot
from s3sync.dropzone.zone import DropZone


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything known of one path."""

    explained: Explained
    batch: Recorded | None
    """The batch on its way that has it, or that took it into quarantine."""
    unreleased: Unreleased | None
    """Set where it is archived and could not be removed."""
    archived: tuple[Entry, ...]
    """What the catalogue holds under its key, newest first."""

    @property
    def found(self) -> bool:
        """Tell whether there is anything at the path, or was and is archived now."""
        return self.explained.kind is not Kind.MISSING or bool(self.archived)


def what_is_known(
    paths: Sequence[bytes],
    zone: DropZone,
    standards: Standards,
    records: Records,
    *,
    look: Callable[[], Snapshot] = snapshot,
) -> Iterator[Known]:
    """Yield what is known of each path (relative to the zone's root), in order.

    `standards` lacks what is in flight and what could not be released; both come from `records`. The quiet clock has begun its
    pass, and lease signals are ignored. Raises `OSError` for a path that cannot be, `Transient` where the records cannot be
    read.
    """
    batches = records.batches_of(paths)
    left_over = {one.path: one for one in records.left_over()}
    identities = {path: one.identity for path, one in left_over.items()}
    ladder = Ladder(replace(standards, in_flight=frozenset(batches), unreleasable=identities))
    for path in paths:
        explained = explain(zone, ladder, path, look=look)
        yield Known(
            explained=explained,
            batch=batches.get(path) or _quarantining(explained, records),
            unreleased=left_over.get(path),
            archived=_archived(explained, records),
        )


def _quarantining(explained: Explained, records: Records) -> Recorded | None:
    """Return the batch in whose folder of a quarantine the path lies."""
    if explained.kind is not Kind.QUARANTINE or records.journal is None:
        return None
    names = explained.path.decode("utf-8", "replace").split("/")
    found = (records.journal.get(name) for name in reversed(names))
    return next((batch for batch in found if batch is not None), None)


def _archived(explained: Explained, records: Records) -> tuple[Entry, ...]:
    if records.catalogue is None or explained.kind in {Kind.FOLDER, Kind.QUARANTINE} or not explained.key:
        return ()
    return tuple(records.catalogue.versions(explained.key, explained.bucket))
