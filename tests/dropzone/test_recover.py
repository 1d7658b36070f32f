from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from s3sync.dropzone.quarantine import quarantine
from s3sync.dropzone.recover import RecoverReport, recover
from s3sync.dropzone.release import release
from s3sync.dropzone.slots import Slots
from s3sync.dropzone.zone import DropZone
from tests.dropzone.zones import PROOF, no_sleep, originals
from tests.support import Tree, assert_tree, tree

QUARANTINE = ".s3batch-quarantine"


def died_after_moving_in(root: Path, batch: str, *paths: bytes, first: int = 0) -> None:
    """Leave `paths` in the slots of a batch from `first` on, as a killed agent does."""
    members = [member._replace(ordinal=first + member.ordinal) for member in originals(root, *paths)]
    (root / QUARANTINE).mkdir(0o700, exist_ok=True)
    with DropZone.open(root) as zone:
        quarantine_fd = os.open(root / QUARANTINE, os.O_RDONLY)
        slots = Slots.begin(zone, QUARANTINE.encode(), quarantine_fd, batch)
        slots.note(members)
        for member in members:
            parent = os.open(os.path.join(os.fsencode(root), os.path.dirname(member.path)), os.O_RDONLY)
            slots.move_in(parent, os.path.basename(member.path), member.ordinal)
            os.close(parent)
        os.close(slots.fd)
        os.close(quarantine_fd)


def _recover(root: Path, *known: str) -> RecoverReport:
    with DropZone.open(root) as zone:
        return recover(zone, set(known))


def test_slots_of_a_batch_nobody_knows_are_given_back(tmp_path: Path) -> None:
    """With the journal lost, the note beside the slots says where they belong."""
    content: Tree = {b"bucket/a/1": "one", b"bucket/\n\xff": "two"}
    tree(tmp_path, content)
    died_after_moving_in(tmp_path, "lost", b"bucket/a/1", b"bucket/\n\xff")

    report = _recover(tmp_path)

    assert [b"bucket/a/1", b"bucket/\n\xff"] == [kept.path for kept in report.given_back]
    assert () == report.strays
    assert_tree(tmp_path, content)
    assert ["spare"] == os.listdir(tmp_path / QUARANTINE)


def test_a_name_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Both versions are kept, the older one displaced."""
    tree(tmp_path, {"bucket/1": "old"})
    died_after_moving_in(tmp_path, "lost", b"bucket/1")
    tree(tmp_path, {"bucket/1": "new"})

    [kept] = _recover(tmp_path).given_back

    displaced = f"{QUARANTINE}/displaced/lost.0/bucket/1"
    assert displaced.encode() == kept.path
    assert_tree(tmp_path, {"bucket/1": "new", displaced: "old"})


def test_slots_of_a_known_batch_wait_for_its_release(tmp_path: Path) -> None:
    """The release that is repeated knows more: it may remove them."""
    tree(tmp_path, {"bucket/1": "one"})
    members = originals(tmp_path, b"bucket/1")
    died_after_moving_in(tmp_path, "known", b"bucket/1")

    report = _recover(tmp_path, "known")
    with DropZone.open(tmp_path) as zone:
        released = release(zone, "known", members, PROOF, sleep=no_sleep)

    assert RecoverReport((), ()) == report
    assert 1 == released.released
    assert ["spare"] == os.listdir(tmp_path / QUARANTINE)


def test_a_slot_without_a_note_stays_and_is_reported(tmp_path: Path) -> None:
    """Nobody knows where it came from; it is neither guessed nor removed."""
    tree(tmp_path, {f"{QUARANTINE}/lost/0": "x", f"{QUARANTINE}/lost/origins": b"1\0bucket/one\x002\0buck"})
    (tmp_path / QUARANTINE).chmod(0o700)

    reports = [_recover(tmp_path) for _ in range(2)]

    assert [RecoverReport((), (f"{QUARANTINE}/lost/0".encode(),))] * 2 == reports
    assert (tmp_path / QUARANTINE / "lost/0").exists()


@pytest.mark.parametrize("torn", [b"1", b"1\0", b"1\0buck"])
def test_a_note_that_was_torn_is_not_read_into_the_next(tmp_path: Path, torn: bytes) -> None:
    """Killed while noting, repeated, killed again, and the journal lost: each file still goes back where it belongs."""
    content: Tree = {"bucket/1": "one", "bucket/2": "two", "bucket/3": "three"}
    tree(tmp_path, content)
    died_after_moving_in(tmp_path, "lost", b"bucket/1")
    with (tmp_path / QUARANTINE / "lost/origins").open("ab") as note:
        note.write(torn)
    died_after_moving_in(tmp_path, "lost", b"bucket/2", b"bucket/3", first=1)

    report = _recover(tmp_path)

    assert (3, ()) == (len(report.given_back), report.strays)
    assert_tree(tmp_path, content)


def test_a_note_that_finds_no_room_leaves_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it, with the next after it, would send files where they never were."""
    tree(tmp_path, {"bucket/1": "one", "bucket/2": "two"})
    one, two = originals(tmp_path, b"bucket/1", b"bucket/2")
    with DropZone.open(tmp_path) as zone, quarantine(zone, QUARANTINE.encode()) as fd:
        slots = Slots.begin(zone, QUARANTINE.encode(), fd, "batch")
        slots.note([one])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))  # in the middle of the second line
        try:
            with pytest.raises(OSError, match="File too large"):
                slots.note([two])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        slots.note([two])
        noted = slots.origins()
        slots.close()

    assert {0: b"bucket/1", 1: b"bucket/2"} == noted


def test_what_is_empty_goes(tmp_path: Path) -> None:
    """Folders of finished batches but for a spare one, empty little drop zones, and probes; not what holds a file."""
    full = f"{QUARANTINE}/displaced/old.1/bucket/file"
    tree(
        tmp_path,
        {
            QUARANTINE: {"done/origins": b"0\0bucket/x\0", "displaced/old.0/bucket/a": None, ".s3batch-probe-1": ""},
            full: "x",
            "bucket": None,
        },
    )
    (tmp_path / QUARANTINE).chmod(0o700)

    report = _recover(tmp_path)

    assert RecoverReport((), ()) == report
    assert_tree(tmp_path, {full: "x"})
    assert ["displaced", "spare"] == sorted(os.listdir(tmp_path / QUARANTINE))
    assert ["old.1"] == os.listdir(tmp_path / QUARANTINE / "displaced")


def test_probe_that_never_went_its_way_goes(tmp_path: Path) -> None:
    """Killed between making a probe and renaming it, the agent removes it at its next start; what only looks like one stays."""
    tree(tmp_path, {"bucket": {".s3batch-probe-0123456789abcdef": "", ".s3batch-probe-theirs": "bytes", "sub": {"a": "a"}}})
    (tmp_path / "bucket" / ".s3batch-probe-folder").mkdir()

    with DropZone.open(tmp_path) as zone:
        recover(zone, set())

    assert_tree(tmp_path, {"bucket": {".s3batch-probe-theirs": "bytes", ".s3batch-probe-folder": {}, "sub": {"a": "a"}}})


def test_without_a_quarantine_there_is_nothing_to_recover(tmp_path: Path) -> None:
    """And none is made."""
    tree(tmp_path, {"bucket": None})

    assert RecoverReport((), ()) == _recover(tmp_path)
    assert ["bucket"] == os.listdir(tmp_path)
