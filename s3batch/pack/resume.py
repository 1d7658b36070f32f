"""Resume what an earlier run or pass left unfinished: the journal says where each batch is, the spool what is left of it.

Nothing depends on guessing. A reserved batch was never whole: given up. A spooled one goes on if its tar still has the
journalled checksum, or if S3 already holds exactly that archive (our upload's reply was lost); otherwise it is given up. A
stored one needs its member list; where that is lost before the manifest was written, the archive cannot be described and
its originals, which are all still there, are archived again. Once the manifest is proved the catalogue can be filled from
it; only which originals may go is then no longer known, so they stay and are archived again: twice stored, never lost.

A proof of an earlier pass is asked for again: an archive that somebody has removed from S3 meanwhile lets no original go, and
a manifest that has gone is stored again first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from s3batch.model import Archive, CataloguedArchive, Reservation
from s3batch.pack.journal import PackJournal
from s3batch.pack.lifecycle import Recorded, State
from s3batch.pack.members import read_member_list
from s3batch.pack.spool import Spool
from s3batch.pack.steps import Steps
from s3sync.errors import Permanent
from s3sync.store.contract import Stopped

GONE = "its archive has gone from S3; its originals stay and are archived again"


def gone(reservation: Reservation) -> Permanent:
    """Return what is told of an archive that was proved and is not there any more."""
    hint = "Find out who removed it; what the catalogue says of it leads nowhere"
    return Permanent(str(reservation.archive), "it was stored and proved, and has gone from S3: its originals stay", hint)


def undescribed(reservation: Reservation) -> Permanent:
    """Return what is told of an archive whose manifest is not there any more, and whose member list has gone as well."""
    wrong = "the manifest was stored and proved, and has gone from S3 or became another: the originals stay"
    return Permanent(str(reservation.manifest), wrong, "Store it anew with `s3batch manifests`, and find out who removed it")


def paths_in_flight(journal: PackJournal, spool: Spool) -> set[bytes]:
    """Return the paths of unfinished batches' originals: known already, and skipped by the scan before anything else."""
    known: set[bytes] = set()
    for recorded in journal.unfinished():
        if recorded.state is not State.RESERVED:
            known.update(_listed(recorded, spool))
    return known


def _listed(recorded: Recorded, spool: Spool) -> Iterator[bytes]:
    try:
        yield from (entry.path for entry in read_member_list(_list_of(recorded, spool)))
    except Permanent:
        return  # `next_phase` decides what becomes of a batch without its list


def next_phase(recorded: Recorded, steps: Steps, stopping: Callable[[], bool]) -> Archive | None:
    """Return the phase from which the batch goes on, or None where it was ended here.

    Raises `Stopped` where it is to stop while it reads a large archive, what the store raises, and `Permanent` where the
    archive has gone: the batch is ended then, too.
    """
    folder = steps.spool.folder(recorded.reservation.id)
    if recorded.state is State.RESERVED:
        steps.give_up(recorded.reservation, "interrupted before it was built")
        return None
    if recorded.state is State.SPOOLED:
        # Before anything is decided: whether the batch goes on or is given up, its row will not lead to these again.
        steps.abort_unnoted(recorded)
    if not _list_is_whole(recorded, steps.spool):
        _end_without_list(recorded, steps)
        return None
    if recorded.state is State.SPOOLED:
        return _spooled(recorded, steps, stopping)
    stored = recorded.stored(folder)
    if not steps.still_there(stored):
        steps.give_up(recorded.reservation, GONE)
        raise gone(recorded.reservation)
    match recorded.state:
        case State.STORED:
            return stored
        case State.MANIFESTED:
            return steps.described(stored)
        case _:
            return CataloguedArchive(manifested=steps.described(stored))


def _spooled(recorded: Recorded, steps: Steps, stopping: Callable[[], bool]) -> Archive | None:
    spooled = recorded.spooled(steps.spool.folder(recorded.reservation.id))
    stored = steps.stored_earlier(spooled)
    if stored is not None:
        return stored

    def stop_if_asked() -> None:
        if stopping():
            raise Stopped(str(spooled.tar), "reading it again was interrupted", "Start again")

    if steps.spool.holds_whole(spooled, stop_if_asked):
        return spooled
    steps.give_up(recorded.reservation, "its archive file is gone or damaged")
    return None


def _end_without_list(recorded: Recorded, steps: Steps) -> None:
    """End a batch whose member list is gone; what lies in its quarantine folder is given back at the end of the pass."""
    batch = recorded.reservation.id
    why = "its member list is gone or damaged; its originals stay and are archived again"
    if recorded.state in {State.SPOOLED, State.STORED}:
        steps.give_up(recorded.reservation, why)
        return
    if recorded.state is State.MANIFESTED:
        steps.catalogue_from_manifest(recorded.reservation)
    steps.journal.released(batch, released=0, vanished=0, kept=recorded.members or 0)
    steps.journal.failed(batch, why)
    steps.spool.discard(batch)


def _list_is_whole(recorded: Recorded, spool: Spool) -> bool:
    try:
        next(read_member_list(_list_of(recorded, spool)), None)
    except Permanent:
        return False
    return True


def _list_of(recorded: Recorded, spool: Spool) -> Path:
    return spool.folder(recorded.reservation.id) / "members"
