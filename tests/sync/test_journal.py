"""The journal keeps drops across restarts and lets them move only as its table says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.errors import Permanent
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.store.proof import Proof
from s3sync.transfer import drops as room
from s3sync.transfer.drops import TRANSITIONS, Drop, Phase, Turn, next_phase
from s3sync.transfer.journal import ROOM, DropUploadLog, Journal, PassRecord
from s3sync.transfer.schema import SCHEMA

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PROOF = Proof(ref=ObjectRef("b", "k", "v1"), size=5, crc64nvme="AAAAAAAAAAA=", etag='"e"')


def drop_of(drop_id: str = "d1", path: bytes = b"b/k", phase: Phase = Phase.STORING) -> Drop:
    """Return a drop of five bytes in `phase`."""
    candidate = Candidate("b", path.partition(b"/")[2], path, Identity(1, 2, 5, 2**62, 2**62 + 1))
    return Drop(
        id=drop_id,
        candidate=candidate,
        crc64nvme="AAAAAAAAAAA=",
        sha256="ab" * 32,
        storage_class=StorageClass.STANDARD,
        phase=phase,
    )


def journal_at(path: Path) -> tuple[StateDb, Journal]:
    """Open the journal a restarted program would open."""
    db = StateDb.open(path / "journal.db")
    return db, Journal(db, lambda: NOW)


def test_a_drop_survives_a_restart(tmp_path: Path) -> None:
    """Everything that was journalled of a drop is there again, raw bytes and large numbers included."""
    drop = drop_of(path=b"b/\xff\n name")
    db, journal = journal_at(tmp_path)
    journal.begin(drop)
    db.close()

    with journal_at(tmp_path)[0] as again:
        (found,) = Journal(again, lambda: NOW).at(b"b/\xff\n name")

    assert found.candidate == drop.candidate
    assert (found.id, found.crc64nvme, found.sha256) == (drop.id, drop.crc64nvme, drop.sha256)
    assert (found.phase, found.since) == (Phase.STORING, NOW)


def test_an_upload_is_remembered_until_it_is_of_no_use(tmp_path: Path) -> None:
    """The log hands a restarted program the upload id, and nothing once the upload was completed."""
    db, journal = journal_at(tmp_path)
    with db:
        journal.begin(drop_of())
        DropUploadLog(journal, drop_of()).note("upload-1")
        begun = DropUploadLog(journal, journal.at(b"b/k")[0]).upload_id
        DropUploadLog(journal, journal.at(b"b/k")[0]).note(None)
        ended = DropUploadLog(journal, journal.at(b"b/k")[0]).upload_id

    assert (begun, ended) == ("upload-1", None)


def test_drops_proved_together_leave_by_one_folder(tmp_path: Path) -> None:
    """Each by a slot of its own, known after a restart; they go together too."""
    db, journal = journal_at(tmp_path)
    with db:
        journal.begin(drop_of("d1", b"b/1"), drop_of("d2", b"b/2"), drop_of("d3", b"b/3"))
        journal.proved({"d2": PROOF, "d3": PROOF})
        stored = journal.in_hand(Phase.STORED)
        journal.released("d2", "d3")
        left = journal.in_hand(*Phase)

    assert [("d2", "d2", 0), ("d3", "d2", 1)] == [(drop.id, drop.leaves_by, drop.slot) for drop in stored]
    assert ["d1"] == [drop.id for drop in left]


def test_all_are_taken_up_or_none(tmp_path: Path) -> None:
    """What is journalled together is one transaction."""
    db, journal = journal_at(tmp_path)
    with db:
        with pytest.raises(Permanent):
            journal.proved({"unknown": PROOF})
        journal.begin(drop_of())
        with pytest.raises(Permanent):
            journal.proved({"d1": PROOF, "unknown": PROOF})

        assert [Phase.STORING] == [drop.phase for drop in journal.in_hand(*Phase)]


def test_a_drop_stored_by_the_program_before_leaves_by_its_own_folder(tmp_path: Path) -> None:
    """A journal of the first schema, taken over while an original may be on its way out."""
    with StateDb.open(tmp_path / "journal.db") as db:
        db.migrate(ROOM, SCHEMA[:1])
        with db.write() as connection:
            connection.execute(
                "INSERT INTO drops (id, bucket, key, path, device, inode, size, mtime_ns, ctime_ns, crc64nvme, sha256,"
                " storage_class, phase, etag, since, detail)"
                " VALUES ('d1', 'b', x'6b', x'622f6b', 1, 2, 5, 3, 4, 'AAAAAAAAAAA=', 'ab', 'STANDARD', 'stored', 'e', 0, '')"
            )
    db, journal = journal_at(tmp_path)
    with db:
        (drop,) = journal.in_hand(Phase.STORED)

    assert ("d1", 0) == (drop.leaves_by, drop.slot)


def test_a_proved_drop_remembers_what_was_proved(tmp_path: Path) -> None:
    """Version and ETag of the confirmed object are kept with the drop until the original is gone."""
    db, journal = journal_at(tmp_path)
    with db:
        journal.begin(drop_of())
        journal.proved({"d1": PROOF})
        (stored,) = journal.in_hand(Phase.STORED)
        journal.released("d1")

        assert (stored.version_id, stored.etag, stored.upload_id) == ("v1", '"e"', None)
        assert journal.at(b"b/k") == []


def test_a_kept_original_is_known_by_its_state_after_the_attempt(tmp_path: Path) -> None:
    """Moving it into quarantine and back changed its ctime: it must not look like another file for that."""
    db, journal = journal_at(tmp_path)
    with db:
        journal.begin(drop_of())
        journal.proved({"d1": PROOF})
        journal.kept("d1", Identity(1, 2, 5, 2**62, 2**62 + 9), "no rights")
        (kept,) = journal.in_hand(Phase.UNRELEASED)

    assert (kept.candidate.identity.ctime_ns, kept.detail, kept.etag) == (2**62 + 9, "no rights", '"e"')


def test_a_turn_out_of_place_changes_nothing(tmp_path: Path) -> None:
    """A drop that was not proved cannot be kept, and stays where it was."""
    db, journal = journal_at(tmp_path)
    with db:
        journal.begin(drop_of())
        with pytest.raises(Permanent):
            journal.kept("d1", Identity(1, 2, 5, 3, 4), "rights")

        assert journal.at(b"b/k")[0].phase is Phase.STORING


@pytest.mark.parametrize(("phase", "turn"), list(product(Phase, Turn)))
def test_every_turn_is_in_the_table_or_refused(phase: Phase, turn: Turn) -> None:
    """Over all phases and turns: the table's answer, or a refusal."""
    expected = TRANSITIONS[phase].get(turn)
    if expected is None:
        with pytest.raises(Permanent):
            next_phase("d1", phase, turn)
    else:
        assert expected == next_phase("d1", phase, turn)


def test_the_picture_names_every_turn_and_phase() -> None:
    """The drawing above the table and the table speak of the same things."""
    words = set(re.findall(r"[A-Za-z]+", room.__doc__ or ""))

    assert {phase.name for phase in Phase} <= words
    assert {turn.value for turns in TRANSITIONS.values() for turn in turns} <= words | {"occupied"}


def test_counts_name_every_phase(tmp_path: Path) -> None:
    """A phase nobody is in counts nought."""
    db, journal = journal_at(tmp_path)
    with db:
        journal.begin(drop_of("d1", b"b/1"))
        journal.begin(drop_of("d2", b"b/2"))
        journal.occupied("d2", etag='"x"', detail="another content")

        assert journal.counts() == {Phase.STORING: 1, Phase.STORED: 0, Phase.UNRELEASED: 0, Phase.EXISTS: 1}


def test_a_parked_bucket_counts_its_refusals(tmp_path: Path) -> None:
    """Refused twice in a row, then taken: two failures, then none."""
    db, journal = journal_at(tmp_path)
    with db:
        journal.park("b", "no rights")
        journal.park("b", "no bucket")
        (parked,) = journal.parked()
        journal.unpark("b")

        assert (parked.failures, parked.wrong, parked.since) == (2, "no bucket", NOW)
        assert journal.parked() == []


def test_the_last_success_outlives_a_failed_pass(tmp_path: Path) -> None:
    """A pass with errors is the last one, and the one before stays the last success."""
    db, journal = journal_at(tmp_path)
    with db:
        good = PassRecord(finished=NOW, files=3, bytes=30, released=3, left=0, errors=0)
        bad = PassRecord(finished=NOW, files=1, bytes=10, released=0, left=1, errors=1)
        journal.pass_ended(good, {})
        journal.pass_ended(bad, {})

        assert (bad, good) == (journal.last_pass(), journal.last_pass(successful=True))


def test_what_is_degraded_is_that_of_the_last_pass(tmp_path: Path) -> None:
    """A cause that is gone is not shown any more."""
    done = PassRecord(finished=NOW, files=0, bytes=0, released=0, left=0, errors=0)
    db, journal = journal_at(tmp_path)
    with db:
        journal.pass_ended(done, {"no_watch": "inotify is used up", "no_leases": "NFS"})
        journal.pass_ended(done, {"no_leases": "NFS"})

        assert journal.degraded() == {"no_leases": "NFS"}
