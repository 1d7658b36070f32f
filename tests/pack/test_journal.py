"""The journal lets a batch go only where its table says, and remembers everything a restart needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from s3batch.model import Batch, Closed, Reservation, SpooledArchive, StoredArchive
from s3batch.pack.journal import PackJournal
from s3batch.pack.lifecycle import TRANSITIONS, ManifestMark, OutOfPlace, State
from s3batch.pack.names import Names
from s3sync.dropzone.candidate import Candidate, Candidates, Identity
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.store.proof import Proof
from tests.doubles.clock import FakeClock

BATCH = Batch(
    bucket="bucket",
    folder="a/b",
    candidates=Candidates.of("bucket", [Candidate("bucket", b"a/b/c", b"bucket/a/b/c", Identity(1, 2, 3, 4, 5))]),
    planned_bytes=2048,
    reason=Closed.ONCE,
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[StateDb]:
    """An empty state database."""
    with StateDb.open(tmp_path / "journal.db") as opened:
        yield opened


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when told."""
    return FakeClock()


@pytest.fixture
def journal(db: StateDb, clock: FakeClock) -> PackJournal:
    """An empty journal."""
    return PackJournal(db, now=clock.now)


@pytest.fixture
def names() -> Names:
    """Names with a counter for chance."""
    numbers = itertools.count()
    return Names(
        storage_class=StorageClass.DEEP_ARCHIVE,
        manifest_bucket=None,
        host="host",
        tool="s3batch test",
        new_suffix=lambda: f"{next(numbers):012x}",
    )


def spooled(reservation: Reservation, folder: Path = Path("/spool")) -> SpooledArchive:
    """Return an archive of `reservation` as if it had been built."""
    return SpooledArchive(
        reservation=reservation, folder=folder, size=2048, crc64nvme="AAAAAAAAAAA=", members=1, content_bytes=3
    )


def stored(reservation: Reservation) -> StoredArchive:
    """Return an archive of `reservation` as if S3 had confirmed it."""
    ref = ObjectRef(reservation.archive.bucket, reservation.archive.key, "version")
    return StoredArchive(spooled=spooled(reservation), proof=Proof(ref=ref, size=2048, crc64nvme="AAAAAAAAAAA=", etag='"e"'))


def moves(journal: PackJournal, reservation: Reservation) -> dict[State, Callable[[], None]]:
    """Return the method that moves a batch into each state."""
    return {
        State.SPOOLED: lambda: journal.spooled(spooled(reservation)),
        State.STORED: lambda: journal.stored(stored(reservation)),
        State.MANIFESTED: lambda: journal.manifested(reservation.id),
        State.CATALOGUED: lambda: journal.catalogued(reservation.id, lambda _: None),
        State.RELEASED: lambda: journal.released(reservation.id, released=1, vanished=0, kept=0),
        State.ABANDONED: lambda: journal.abandoned(reservation.id, "why"),
    }


WAYS = {
    State.RESERVED: [],
    State.SPOOLED: [State.SPOOLED],
    State.STORED: [State.SPOOLED, State.STORED],
    State.MANIFESTED: [State.SPOOLED, State.STORED, State.MANIFESTED],
    State.CATALOGUED: [State.SPOOLED, State.STORED, State.MANIFESTED, State.CATALOGUED],
    State.RELEASED: [State.SPOOLED, State.STORED, State.MANIFESTED, State.CATALOGUED, State.RELEASED],
    State.ABANDONED: [State.ABANDONED],
}


@pytest.mark.parametrize(
    ("origin", "target"), [(origin, target) for origin in State for target in State if target is not State.RESERVED]
)
def test_batch_moves_only_as_the_table_says(journal: PackJournal, names: Names, origin: State, target: State) -> None:
    """Every pair of states: a move in the table happens, any other raises and leaves the row as it was."""
    reservation = journal.reserve(BATCH, names)
    for state in WAYS[origin]:
        moves(journal, reservation)[state]()

    if target in TRANSITIONS[origin]:
        moves(journal, reservation)[target]()
        expected = target
    else:
        with pytest.raises(OutOfPlace):
            moves(journal, reservation)[target]()
        expected = origin

    recorded = journal.get(reservation.id)
    assert recorded is not None
    assert expected == recorded.state


def test_reservation_names_everything(journal: PackJournal, names: Names, clock: FakeClock) -> None:
    """Archive and manifest keys follow from the batch and the moment."""
    reservation = journal.reserve(BATCH, names)

    now = clock.now()
    assert f"a/b/{now:%Y%m%dT%H%M%S}-000000000000.tar" == reservation.archive.key
    assert f"s3-batch/manifests/bucket/{now:%Y/%m/%d}/{reservation.id}.json.gz" == reservation.manifest.key
    assert "bucket" == reservation.manifest.bucket


def test_file_directly_in_the_bucket_folder_has_no_leading_slash(journal: PackJournal, names: Names) -> None:
    """The archive of loose files lies at the top of the bucket."""
    loose = Batch(bucket="bucket", folder="", candidates=BATCH.candidates, planned_bytes=1, reason=Closed.ONCE)

    reservation = journal.reserve(loose, names)

    assert f"{reservation.id}.tar" == reservation.archive.key


def test_creation_times_increase_even_when_the_clock_does_not(db: StateDb, names: Names) -> None:
    """The newest version of a key is the one reserved last, so a clock that steps back must not reorder reservations."""
    times = iter([datetime(2026, 1, 2, tzinfo=UTC), *[datetime(2026, 1, 1, tzinfo=UTC)] * 8])
    journal = PackJournal(db, now=lambda: next(times))
    journal_times = [journal.reserve(BATCH, names).created for _ in range(1)]
    later = PackJournal(db, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    journal_times += [later.reserve(BATCH, names).created for _ in range(2)]

    assert journal_times == sorted(set(journal_times))
    assert timedelta(microseconds=1) == journal_times[2] - journal_times[1]


def test_unfinished_batches_come_back_as_they_were(journal: PackJournal, names: Names) -> None:
    """A restart finds every phase with what it needs, oldest first; ended ones are not among them."""
    first, second, ended = (journal.reserve(BATCH, names) for _ in range(3))
    journal.spooled(spooled(first))
    journal.stored(stored(first))
    journal.manifest_rendered(first.id, ManifestMark(10, "crc"))
    journal.abandoned(ended.id, "why")

    unfinished = journal.unfinished()

    assert [first, second] == [recorded.reservation for recorded in unfinished]
    assert stored(first) == unfinished[0].stored(Path("/spool"))
    assert ManifestMark(10, "crc") == unfinished[0].manifest
    with pytest.raises(OutOfPlace):
        unfinished[1].spooled(Path("/spool"))


def test_upload_of_an_abandoned_batch_stays_noted_until_aborted(journal: PackJournal, names: Names) -> None:
    """Its parts are billed until somebody aborts them."""
    reservation = journal.reserve(BATCH, names)
    journal.spooled(spooled(reservation))
    journal.upload_log(reservation.id).note("upload")
    journal.abandoned(reservation.id, "why")

    assert ["upload"] == [recorded.upload_id for recorded in journal.orphaned_uploads()]
    journal.upload_log(reservation.id).note(None)
    assert [] == journal.orphaned_uploads()


def test_outbox_is_filled_in_the_transaction_that_marks_a_batch_catalogued(journal: PackJournal, names: Names) -> None:
    """What fails there takes the mark back with it."""
    reservation = journal.reserve(BATCH, names)
    for state in WAYS[State.MANIFESTED]:
        moves(journal, reservation)[state]()

    def refuse(_: object) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        journal.catalogued(reservation.id, refuse)

    recorded = journal.get(reservation.id)
    assert recorded is not None
    assert State.MANIFESTED == recorded.state
