"""Room in the spool for the next batch: there, coming free, made by giving up what is in vain, or not to be had in this pass.

A batch that failed before it was stored may be given up when others need its room; a stored one never is.
"""

from __future__ import annotations

from collections.abc import Callable

from s3batch.model import Batch
from s3batch.pack.events import SpoolFull
from s3batch.pack.lifecycle import State
from s3batch.pack.patience import Patience
from s3batch.pack.tally import Tally
from s3batch.pack.yard import Yard


class Room:
    """The room of one pass. One thread looks for it; what a disk gave out under may be told by others."""

    def __init__(self, yard: Yard, tally: Tally, patience: Patience) -> None:
        """Look in the yard's spool, counting into `tally` what has to be left, and wait with `patience`."""
        self._yard = yard
        self._patience = patience
        self._tally = tally
        self._spool = yard.steps.spool
        self._gave_out_at: int | None = None
        """What the smallest batch needed that the spool's disk failed under in this pass: nothing as large is tried again."""

    def gave_out(self, needed_bytes: int) -> None:
        """Remember that the disk failed under a batch that needed so much."""
        self._gave_out_at = min(needed_bytes, self._gave_out_at or needed_bytes)

    def find(self, batch: Batch, needed_bytes: int, *, idle: Callable[[], bool]) -> bool:
        """Tell whether there is room, having waited while some may come free (until `idle`), and having made some if none did.

        Where there is none, the files of `batch` are left where they are, and that is told once a pass.
        """
        if self._found(needed_bytes, idle):
            return True
        self._leave(batch, needed_bytes)
        return False

    def _found(self, needed: int, idle: Callable[[], bool]) -> bool:
        stopping = self._patience
        if self._gave_out_at is not None and needed >= self._gave_out_at:
            return False
        if self._spool.wait_for_room(needed, or_when=lambda: stopping() or idle()):
            return True
        return not stopping() and self._made(needed)

    def _made(self, needed: int) -> bool:
        """Give up batches whose upload failed, where that makes room for others; nothing is under way meanwhile."""
        unfinished = self._yard.steps.journal.unfinished()
        failed = [each for each in unfinished if each.state is State.SPOOLED and each.error is not None]
        if not self._spool.has_room(needed, without={each.reservation.id for each in failed}):
            return False
        for recorded in failed:
            self._yard.give_up(recorded.reservation, "others needed its room in the spool while its bucket refused")
            if self._spool.has_room(needed):
                return True
        return self._spool.has_room(needed)

    def _leave(self, batch: Batch, needed: int) -> None:
        first = not self._tally.left["spool_full"]
        self._tally.leave("spool_full", len(batch.candidates))
        if first:
            self._yard.listener(
                SpoolFull(
                    bucket=batch.bucket,
                    folder=str(self._spool.root),
                    needed_bytes=needed,
                    limit_bytes=self._spool.limit_bytes,
                    free_bytes=self._spool.free_bytes(),
                )
            )
