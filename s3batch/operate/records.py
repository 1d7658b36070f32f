"""What the state folder holds, opened only where it is there already: a question must not make what it asks about.

Somebody who looks as root at a host where no agent has run yet would otherwise leave files that the agent's own user cannot
open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from s3batch.catalogue.contract import Catalogue
from s3batch.catalogue.outbox import Behind, Outbox
from s3batch.pack.journal import PackJournal
from s3batch.pack.lifecycle import Recorded, State
from s3batch.pack.members import read_member_list
from s3batch.pack.unreleased import Unreleased, UnreleasedFiles
from s3sync.dropzone.candidate import Identity
from s3sync.errors import Permanent
from s3sync.statedb import StateDb


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Journal and catalogue of one state folder, each None where there is none yet."""

    spool: Path
    db: StateDb | None = None
    """journal.db"""
    journal: PackJournal | None = None
    unreleased: UnreleasedFiles | None = None
    catalogue: Catalogue | None = None
    outbox: Outbox | None = None
    """What the fleet's index has yet to be told; None where no index is configured."""

    def unfinished(self) -> list[Recorded]:
        """Return the batches on their way, oldest first."""
        return [] if self.journal is None else self.journal.unfinished()

    def in_flight(self) -> set[bytes]:
        """Return the paths of all files that belong to batches on their way."""
        return {path for recorded in self.unfinished() for path in self._members(recorded)}

    def batches_of(self, paths: Collection[bytes]) -> dict[bytes, Recorded]:
        """Return the batch on its way that each of `paths` belongs to, for those that do."""
        wanted = frozenset(paths)
        return {path: recorded for recorded in self.unfinished() for path in self._members(recorded) if path in wanted}

    def behind(self) -> Behind | None:
        """Return how far the fleet's index is behind; None where there is none."""
        return None if self.outbox is None else self.outbox.behind()

    def left_over(self) -> list[Unreleased]:
        """Return the archived originals that could not be removed."""
        return [] if self.unreleased is None else self.unreleased.all()

    def unreleasable(self) -> dict[bytes, Identity]:
        """Return their identities by path."""
        return {one.path: one.identity for one in self.left_over()}

    def _members(self, recorded: Recorded) -> Iterator[bytes]:
        if recorded.state is State.RESERVED:
            return  # it is just being built: its list is not whole yet
        try:
            yield from (entry.path for entry in read_member_list(self.spool / recorded.reservation.id / "members"))
        except Permanent:
            return  # released a moment ago, or lost; the agent decides what becomes of it
