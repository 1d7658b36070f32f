from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from s3batch.pack.workers import Workers
from s3sync.dropzone import removal, syscalls
from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.chunks import Removers
from s3sync.dropzone.closing import LOT
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.release import ReleaseReport, release, release_each
from s3sync.dropzone.slots import Kept, Original
from s3sync.dropzone.writers import Snapshot, Writing, ignore_lease_signals, lease_broken
from s3sync.dropzone.zone import DropZone
from tests.dropzone.zones import PROOF, candidates, no_sleep, open_place, original, originals, root_only, run_as_nobody
from tests.support import assert_tree, files, tree

QUARANTINE = ".s3batch-quarantine"


@pytest.fixture(autouse=True)
def _nobody_dies_of_a_lease() -> None:
    ignore_lease_signals()


def _release(
    root: Path,
    members: Iterable[Original],
    *,
    meanwhile: Callable[[], object] = lambda: None,
    batch: str = "batch",
    removers: Removers | None = None,
    chunk: int = 1000,
    prune: bool = False,
    quarantine: Path | None = None,
) -> ReleaseReport:
    """Release `members`; `meanwhile` happens in the moment between the rename and the question."""
    with DropZone.open(root, quarantine=quarantine) as zone:
        sleep = lambda _: meanwhile()  # noqa: E731 - a name for what happens instead of sleeping
        return release(zone, batch, members, PROOF, sleep=sleep, removers=removers, chunk=chunk, prune=prune)


def _reasons(report: ReleaseReport) -> dict[bytes, str]:
    return {kept.path: kept.reason.value for kept in report.kept}


class LateWriter:
    """A client whose `open` had found the name before the rename and arrives at the file in the moment."""

    def __init__(self, root: Path, ordinal: int = 0, batch: str = "batch", quarantine: Path | None = None) -> None:
        self._slot = (quarantine or root / QUARANTINE) / batch / str(ordinal)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def arrive(self) -> None:
        """Open the file for appending."""
        self.file = self._stack.enter_context(self._slot.open("ab"))


def _now(root: Path, path: str | bytes) -> Identity:
    return Identity.of(os.lstat(os.path.join(os.fsencode(root), os.fsencode(path))))


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_originals_that_are_still_what_was_archived_are_removed(
    tmp_path: Path, workers: Workers, elsewhere: bool, chunk: int
) -> None:
    """All of them, nothing else, and no trace of the batch is left in quarantine."""
    paths = [f"bucket/{folder}/{number}".encode() for folder in "abc" for number in range(7)] + [b"bucket/\xff\n"]
    tree(tmp_path, {path: b"content of " + path for path in [*paths, b"bucket/a/new"]})

    report = _release(tmp_path, originals(tmp_path, *paths), removers=workers if elsewhere else None, chunk=chunk)

    assert ReleaseReport(len(paths), 0, (), 0) == report
    assert_tree(tmp_path, {"bucket/a/new": "content of bucket/a/new"})
    assert ["spare"] == os.listdir(tmp_path / QUARANTINE)


def test_so_many_originals_that_threads_close_them(tmp_path: Path) -> None:
    """More than one lot in one chunk: all are gone, and their descriptors with them."""
    paths = [f"bucket/{number:03}".encode() for number in range(LOT * 3 + 1)]
    tree(tmp_path, {path: b"content of " + path for path in paths})
    before = len(os.listdir("/proc/self/fd"))

    report = _release(tmp_path, originals(tmp_path, *paths))

    assert ReleaseReport(len(paths), 0, (), 0) == report
    assert_tree(tmp_path, {})
    assert before == len(os.listdir("/proc/self/fd"))


def test_nothing_is_released_without_a_proof(tmp_path: Path) -> None:
    """The proof is the key; nothing else opens the door."""
    tree(tmp_path, {"bucket/file": "x"})

    with DropZone.open(tmp_path) as zone, pytest.raises(TypeError, match="proof"):
        release(zone, "batch", originals(tmp_path, b"bucket/file"), None, sleep=no_sleep)  # type: ignore[arg-type]

    assert_tree(tmp_path, {"bucket/file": "x"})


def test_each_original_needs_a_proof_of_its_own(tmp_path: Path) -> None:
    """Where they became objects one by one, one without a proof keeps all of them."""
    tree(tmp_path, {"bucket/a": "x", "bucket/b": "y"})
    first, second = originals(tmp_path, b"bucket/a", b"bucket/b")
    unproved = [(first, PROOF), (second, None)]

    with DropZone.open(tmp_path) as zone:
        for proved in (unproved, []):
            with pytest.raises(TypeError, match="proof"):
                release_each(zone, "batch", proved, sleep=no_sleep, prune=False)  # type: ignore[arg-type]

    assert_tree(tmp_path, {"bucket/a": "x", "bucket/b": "y"})


def test_originals_of_objects_of_their_own_leave_together(tmp_path: Path) -> None:
    """One that changed stays, and it is said which."""
    tree(tmp_path, {"bucket/a": "x", "bucket/b": "y", "bucket/c": "z"})
    members = list(originals(tmp_path, b"bucket/a", b"bucket/b", b"bucket/c"))
    tree(tmp_path, {"bucket/b": "another"})

    with DropZone.open(tmp_path) as zone:
        report = release_each(zone, "batch", [(each, PROOF) for each in members], sleep=no_sleep, prune=False)

    assert (2, [(1, Reason.CHANGED)]) == (report.released, [(kept.ordinal, kept.reason) for kept in report.kept])
    assert {b"bucket/b": b"another"} == files(tmp_path)


@pytest.mark.parametrize("batch", ["", ".", "..", "a/b", "displaced"])
def test_a_batch_needs_a_name_of_its_own(tmp_path: Path, batch: str) -> None:
    """A name that leads elsewhere is a mistake of ours and refused."""
    with pytest.raises(ValueError, match="not the id of a batch"):
        _release(tmp_path, [], batch=batch)


def _rewrite_with_forged_mtime(place: Path) -> None:
    """Replace content by other content of the same size, and set mtime as it was."""
    seen = place.stat()
    with place.open("r+b") as file:
        file.write(b"X" * seen.st_size)
    os.utime(place, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda place: place.write_text("rewritten"),
        lambda place: os.utime(place, (5, 5)),
        lambda place: (place.unlink(), place.write_text("other content")),
        _rewrite_with_forged_mtime,
    ],
)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_file_that_changed_is_kept(tmp_path: Path, change: Callable[[Path], object], when: str) -> None:
    """Rewritten, replaced, or rewritten with equal size and forged mtime: before the release, or in the moment."""
    tree(tmp_path, {"bucket/file": "original", "bucket/other": "x"})
    members = originals(tmp_path, b"bucket/file", b"bucket/other")
    place = tmp_path / "bucket/file"
    if when == "before":
        change(place)
        changed = place.read_bytes()
        report = _release(tmp_path, members)
    else:
        slot = tmp_path / QUARANTINE / "batch/0"
        report = _release(tmp_path, members, meanwhile=lambda: change(slot))
        changed = place.read_bytes()

    assert 1 == report.released
    assert (Kept(b"bucket/file", _now(tmp_path, "bucket/file"), Reason.CHANGED),) == report.kept
    assert_tree(tmp_path, {"bucket/file": changed})


def test_a_file_replaced_by_rename_while_it_is_taken_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the last look and the rename another file came to bear the name: it goes back."""
    tree(tmp_path, {"bucket/file": "original", "upload": "replaced"})
    members = originals(tmp_path, b"bucket/file")
    real = syscalls.rename_no_replace

    def replaced_just_now(source_fd: int, source: bytes, target_fd: int, target: bytes) -> None:
        if (tmp_path / "upload").exists():
            (tmp_path / "upload").rename(tmp_path / "bucket/file")
        real(source_fd, source, target_fd, target)

    monkeypatch.setattr("s3sync.dropzone.slots.rename_no_replace", replaced_just_now)
    report = _release(tmp_path, members)

    assert {b"bucket/file": "changed"} == _reasons(report)
    assert_tree(tmp_path, {"bucket/file": "replaced"})


@pytest.mark.parametrize(
    "touch",
    [
        lambda place: place.chmod(place.stat().st_mode),
        lambda place: os.chown(place, os.getuid(), os.getgid()),
        lambda place: os.link(place, place.parent / "link"),
    ],
)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_equal_bytes_are_released_although_ctime_changed(tmp_path: Path, touch: Callable[[Path], object], when: str) -> None:
    """A chmod, a chown or a new link changes no byte: the content is hashed again and may go."""
    tree(tmp_path, {"bucket/file": "original"})
    members = originals(tmp_path, b"bucket/file")
    slot = tmp_path / QUARANTINE / "batch/0"
    if when == "before":
        touch(tmp_path / "bucket/file")

    report = _release(tmp_path, members, meanwhile=lambda: when == "meanwhile" and touch(slot))

    assert (1, ()) == (report.released, report.kept)
    assert not (tmp_path / "bucket/file").exists()


def test_two_names_of_one_file_both_go(tmp_path: Path) -> None:
    """Removing one link changes the ctime of the other; both were archived with all their bytes."""
    tree(tmp_path, {"bucket/one": "x"})
    os.link(tmp_path / "bucket/one", tmp_path / "bucket/two")

    report = _release(tmp_path, originals(tmp_path, b"bucket/one", b"bucket/two"))

    assert ReleaseReport(2, 0, (), 0) == report
    assert_tree(tmp_path, {})


def test_a_file_being_written_is_not_moved_at_all(tmp_path: Path) -> None:
    """Whoever has it open keeps it where it is."""
    tree(tmp_path, {"bucket/folder/file": "original"})
    members = originals(tmp_path, b"bucket/folder/file")

    with (tmp_path / "bucket/folder/file").open("ab"):
        report = _release(tmp_path, members, meanwhile=lambda: pytest.fail("nothing was to be waited for"))

    assert (Kept(b"bucket/folder/file", members[0].identity, Reason.WRITER),) == report.kept


def test_a_writer_who_arrives_in_the_moment_has_the_file_back(tmp_path: Path) -> None:
    """It bears its own name again, and what is still written goes into it."""
    tree(tmp_path, {"bucket/folder/file": "original"})
    members = originals(tmp_path, b"bucket/folder/file")

    with LateWriter(tmp_path) as writer:
        report = _release(tmp_path, members, meanwhile=writer.arrive)
        writer.file.write(b" and more")

    assert {b"bucket/folder/file": "writer"} == _reasons(report)
    assert_tree(tmp_path, {"bucket/folder/file": "original and more"})


@pytest.mark.parametrize("when", ["renaming", "removing"])
def test_a_client_waiting_for_our_lease_has_the_file_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Its open began under the old name; it gets the file under that name, not one that has just been unlinked."""
    tree(tmp_path, {"bucket/file": "original"})
    members = originals(tmp_path, b"bucket/file")
    clients: list[threading.Thread] = []
    moved = syscalls.rename_no_replace
    waiting = b":%d " % members[0].identity.inode

    def open_and_wait(place: Path) -> None:
        clients.append(threading.Thread(target=_append, args=(place,)))
        clients[0].start()
        while not any(b"BREAKING" in line and waiting in line for line in Path("/proc/locks").read_bytes().splitlines()):
            time.sleep(0)

    def moved_meanwhile(source_fd: int, source: bytes, target_fd: int, target: bytes) -> None:
        if when == "renaming" and not clients:
            open_and_wait(tmp_path / "bucket/file")
        moved(source_fd, source, target_fd, target)

    def asked_meanwhile(fd: int) -> bool:
        if when == "removing" and not clients and not (tmp_path / "bucket/file").exists() and _slept:
            open_and_wait(tmp_path / QUARANTINE / "batch/0")
        return lease_broken(fd)

    _slept: list[bool] = []
    monkeypatch.setattr("s3sync.dropzone.slots.rename_no_replace", moved_meanwhile)
    monkeypatch.setattr(removal, "lease_broken", asked_meanwhile)
    report = _release(tmp_path, members, meanwhile=lambda: _slept.append(True))
    clients[0].join()

    assert {b"bucket/file": "writer"} == _reasons(report)
    assert_tree(tmp_path, {"bucket/file": "original and more"})


def _append(place: Path) -> None:
    with place.open("ab") as file:
        file.write(b" and more")


def test_a_name_taken_meanwhile_displaces_the_file(tmp_path: Path) -> None:
    """Two versions, both kept: the new one under the name, the old one in a little drop zone of its own."""
    tree(tmp_path, {"bucket/folder/file": "original"})
    members = originals(tmp_path, b"bucket/folder/file")

    with LateWriter(tmp_path) as writer:

        def meanwhile() -> None:
            writer.arrive()
            tree(tmp_path, {"bucket/folder/file": "new"})

        report = _release(tmp_path, members, meanwhile=meanwhile)
        writer.file.write(b" and more")

    displaced = f"{QUARANTINE}/displaced/batch.0/bucket/folder/file"
    assert {displaced.encode(): "writer"} == _reasons(report)
    assert_tree(tmp_path, {"bucket/folder/file": "new", displaced: "original and more"})
    with DropZone.open(tmp_path) as zone:
        assert [displaced.encode()] == candidates(zone)


def test_a_displaced_file_is_released_and_its_little_drop_zone_goes(tmp_path: Path) -> None:
    """Archived from quarantine as a version, it leaves nothing behind."""
    path = f"{QUARANTINE}/displaced/old.3/bucket/a/b/file"
    tree(tmp_path, {path: "x", "bucket": None})
    (tmp_path / QUARANTINE).chmod(0o700)

    report = _release(tmp_path, originals(tmp_path, path.encode()))

    assert 1 == report.released
    assert [] == os.listdir(tmp_path / QUARANTINE / "displaced")


def test_a_displaced_file_that_is_still_written_stays_displaced(tmp_path: Path) -> None:
    """It goes back to where it was waiting."""
    path = f"{QUARANTINE}/displaced/old.3/bucket/file"
    tree(tmp_path, {path: "x", "bucket": None})
    (tmp_path / QUARANTINE).chmod(0o700)
    members = originals(tmp_path, path.encode())

    with LateWriter(tmp_path) as writer:
        report = _release(tmp_path, members, meanwhile=writer.arrive)

    assert {path.encode(): "writer"} == _reasons(report)
    assert_tree(tmp_path, {path: "x"})


def test_a_folder_that_is_gone_is_made_again_for_what_goes_back(tmp_path: Path) -> None:
    """Somebody tidied up while a file was being written."""
    tree(tmp_path, {"bucket/a/b/file": "x"})
    members = originals(tmp_path, b"bucket/a/b/file")

    with LateWriter(tmp_path) as writer:

        def meanwhile() -> None:
            writer.arrive()
            shutil.rmtree(tmp_path / "bucket/a")

        report = _release(tmp_path, members, meanwhile=meanwhile)

    assert {b"bucket/a/b/file": "writer"} == _reasons(report)
    assert_tree(tmp_path, {"bucket/a/b/file": "x"})


def test_a_folder_swapped_for_a_link_is_not_followed_back(tmp_path: Path) -> None:
    """What goes back goes beneath the root or is displaced."""
    tree(tmp_path, {"root/bucket/a/file": "x", "elsewhere": None})
    members = originals(tmp_path / "root", b"bucket/a/file")

    with LateWriter(tmp_path / "root") as writer:

        def meanwhile() -> None:
            writer.arrive()
            (tmp_path / "root/bucket/a").rmdir()
            (tmp_path / "root/bucket/a").symlink_to(tmp_path / "elsewhere")

        report = _release(tmp_path / "root", members, meanwhile=meanwhile)

    assert {f"{QUARANTINE}/displaced/batch.0/bucket/a/file".encode(): "writer"} == _reasons(report)
    assert [] == os.listdir(tmp_path / "elsewhere")


def test_a_link_in_the_place_of_the_original_is_left_alone(tmp_path: Path) -> None:
    """The original is gone; what a link points to is none of ours, wherever on the way it is."""
    tree(tmp_path, {"root/bucket": {"file": "x", "a/file": "x"}, "elsewhere/file": "precious"})
    members = originals(tmp_path / "root", b"bucket/a/file", b"bucket/file")
    shutil.rmtree(tmp_path / "root/bucket/a")
    (tmp_path / "root/bucket/a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/bucket/file").unlink()
    (tmp_path / "root/bucket/file").symlink_to(tmp_path / "elsewhere/file")

    report = _release(tmp_path / "root", members)

    assert ReleaseReport(0, 2, (), 0) == report
    assert {b"file": b"precious"} == files(tmp_path / "elsewhere")


def test_what_is_gone_is_counted_as_vanished(tmp_path: Path) -> None:
    """Files, their folder, and their whole bucket."""
    tree(tmp_path, {"bucket/a/file": "x", "bucket/file": "x", "other/file": "x"})
    members = originals(tmp_path, b"bucket/a/file", b"bucket/file", b"other/file")
    (tmp_path / "bucket/file").unlink()
    shutil.rmtree(tmp_path / "bucket/a")
    shutil.rmtree(tmp_path / "other")

    report = _release(tmp_path, members)

    assert ReleaseReport(0, 3, (), 0) == report


def test_repeating_a_release_is_harmless(tmp_path: Path) -> None:
    """The second time everything is gone, and a new file of the same name is not touched."""
    tree(tmp_path, {"bucket/file": "x", "bucket/again": "x"})
    members = originals(tmp_path, b"bucket/again", b"bucket/file")
    _release(tmp_path, members)
    tree(tmp_path, {"bucket/again": "dropped again"})

    report = _release(tmp_path, members)

    assert (0, 1, {b"bucket/again": "changed"}) == (report.released, report.vanished, _reasons(report))
    assert_tree(tmp_path, {"bucket/again": "dropped again"})


def test_after_a_crash_the_same_call_finishes_what_was_begun(tmp_path: Path) -> None:
    """Slots are hashed: equal bytes go, other bytes go back; a new drop of the name is not touched, nor lost."""
    tree(tmp_path, {"bucket": {"equal": "1", "changed": "2", "again": "3", "still there": "4"}})
    members = originals(tmp_path, b"bucket/equal", b"bucket/changed", b"bucket/again", b"bucket/still there")
    slots = tmp_path / QUARANTINE / "batch"
    slots.mkdir(parents=True)
    (tmp_path / QUARANTINE).chmod(0o700)
    for ordinal, name in enumerate(("equal", "changed", "again")):
        (tmp_path / "bucket" / name).rename(slots / str(ordinal))
    (slots / "1").write_text("other")
    (slots / "2").write_text("other")
    tree(tmp_path, {"bucket/again": "new"})

    report = _release(tmp_path, members)

    displaced = f"{QUARANTINE}/displaced/batch.2/bucket/again"
    assert 2 == report.released
    assert {b"bucket/changed": "changed", displaced.encode(): "changed"} == _reasons(report)
    assert_tree(tmp_path, {"bucket": {"changed": "other", "again": "new"}, displaced: "other"})
    assert not slots.exists()


def test_one_poisonous_file_never_stops_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk under one file is that file's own."""
    tree(tmp_path, {"bucket": {"1": "x", "2": "x", "3": "x"}})
    members = originals(tmp_path, b"bucket/1", b"bucket/2", b"bucket/3")
    os.utime(tmp_path / "bucket/2", ns=(0, members[1].identity.mtime_ns))

    def fail(fd: int, size: int, offset: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    report = _release(tmp_path, members)

    assert (2, {b"bucket/2": "io_error"}) == (report.released, _reasons(report))
    assert_tree(tmp_path, {"bucket/2": "x"})


def test_an_immutable_file_is_kept_and_named(tmp_path: Path) -> None:
    """What cannot be moved stays where it is, in the state it was archived in."""
    tree(tmp_path, {"bucket/file": "x", "bucket/other": "x"})
    if subprocess.run(["chattr", "+i", tmp_path / "bucket/file"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no chattr, or no right to use it here")
    try:
        members = originals(tmp_path, b"bucket/file", b"bucket/other")
        report = _release(tmp_path, members)
    finally:
        subprocess.run(["chattr", "-i", tmp_path / "bucket/file"], check=True)

    assert (1, (Kept(b"bucket/file", members[0].identity, Reason.IMMUTABLE),)) == (report.released, report.kept)


def test_a_file_that_cannot_be_unlinked_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state after that is reported, so that it is not archived again while it is unchanged."""
    tree(tmp_path, {"bucket/file": "x"})
    members = originals(tmp_path, b"bucket/file")

    real = os.unlink

    def refuse(path: bytes, *, dir_fd: int) -> None:
        if path.isdigit():
            raise PermissionError(13, "Permission denied")
        real(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        report = _release(tmp_path, members)

    assert (Kept(b"bucket/file", _now(tmp_path, "bucket/file"), Reason.FOLDER_NOT_WRITABLE),) == report.kept


def test_without_leases_whoever_is_seen_writing_keeps_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at the processes for a chunk; what went without a lease is counted."""
    tree(tmp_path, {"bucket/1": "x", "bucket/2": "x"})
    members = originals(tmp_path, b"bucket/1", b"bucket/2")
    looks = []

    def look() -> Snapshot:
        looks.append(1)
        return Snapshot(frozenset({members[0].identity.file_id}), 5)

    monkeypatch.setattr(removal, "take_lease", lambda _: Writing.UNSUPPORTED)
    monkeypatch.setattr(removal, "snapshot", look)
    report = _release(tmp_path, members)

    assert (1, 1, {b"bucket/1": "writer"}, 1) == (report.released, report.unleased, _reasons(report), len(looks))


def test_a_filesystem_without_safe_renames_still_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where renameat2 is unknown, a link does the same: back under the free name, displaced from the taken one."""
    tree(tmp_path, {"bucket": {"1": "one", "2": "two", "3": "three"}})
    members = originals(tmp_path, b"bucket/1", b"bucket/2", b"bucket/3")

    def unknown(source_fd: int, source: bytes, target_fd: int, target: bytes) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("s3sync.dropzone.slots.rename_no_replace", unknown)
    with LateWriter(tmp_path, 0) as first, LateWriter(tmp_path, 1) as second:

        def meanwhile() -> None:
            first.arrive()
            second.arrive()
            tree(tmp_path, {"bucket/2": "new"})

        report = _release(tmp_path, members, meanwhile=meanwhile)

    displaced = f"{QUARANTINE}/displaced/batch.1/bucket/2"
    assert (1, {b"bucket/1": "writer", displaced.encode(): "writer"}) == (report.released, _reasons(report))
    assert_tree(tmp_path, {"bucket": {"1": "one", "2": "new"}, displaced: "two"})


def test_a_link_left_by_a_crash_is_the_same_file(tmp_path: Path) -> None:
    """A file given back by link and not yet taken from its slot is given back once."""
    tree(tmp_path, {"bucket/file": "original"})
    members = originals(tmp_path, b"bucket/file")
    slots = tmp_path / QUARANTINE / "batch"
    slots.mkdir(parents=True)
    (tmp_path / QUARANTINE).chmod(0o700)
    (tmp_path / "bucket/file").write_text("changed")
    os.link(tmp_path / "bucket/file", slots / "0")

    report = _release(tmp_path, members)

    assert {b"bucket/file": "changed"} == _reasons(report)
    assert_tree(tmp_path, {"bucket/file": "changed"})
    assert not slots.exists()


@pytest.mark.parametrize("outside", [False, True])
def test_an_explicit_quarantine_is_used(tmp_path: Path, outside: bool) -> None:
    """Beneath the root or beside it, also for what is displaced."""
    place = tmp_path / ("quarantine" if outside else "root/quarantine")
    tree(tmp_path, {"root/bucket": {"1": "one", "2": "two"}})
    root = tmp_path / "root"
    members = originals(root, b"bucket/1", b"bucket/2")

    with LateWriter(root, quarantine=place) as writer:

        def meanwhile() -> None:
            writer.arrive()
            tree(root, {"bucket/1": "new"})

        report = _release(root, members, meanwhile=meanwhile, quarantine=place)
    [displaced] = _reasons(report)
    with DropZone.open(root, quarantine=place) as zone:
        found = candidates(zone)
    again = _release(root, [original(root, displaced)], quarantine=place, batch="next")

    assert (1, [displaced]) == (report.released, found)
    assert 1 == again.released
    assert_tree(tmp_path, {"root/bucket/1": "new"})


@pytest.mark.parametrize("prune", [False, True])
def test_emptied_folders_go_where_that_is_wanted(tmp_path: Path, prune: bool) -> None:
    """Never a bucket's folder or a first-level one, and never one with something in it."""
    tree(tmp_path, {"bucket": {"file": "x", "top/file": "x", "top/a/b/file": "x", "full/a/file": "x", "full/a/left": "x"}})
    paths = (b"bucket/file", b"bucket/full/a/file", b"bucket/top/file", b"bucket/top/a/b/file")

    _release(tmp_path, originals(tmp_path, *paths), prune=prune)

    assert prune != (tmp_path / "bucket/top/a").exists()
    assert (tmp_path / "bucket/top").exists()
    assert_tree(tmp_path, {"bucket/full/a/left": "x"})


def test_a_quarantine_open_to_others_keeps_everything(tmp_path: Path) -> None:
    """Nothing is moved into a folder that is not private, and the reason says so."""
    tree(tmp_path, {"bucket/1": "x", "bucket/2": "x", QUARANTINE: None})
    (tmp_path / QUARANTINE).chmod(0o777)

    report = _release(tmp_path, originals(tmp_path, b"bucket/1", b"bucket/2"))

    assert {b"bucket/1": "quarantine_unsafe", b"bucket/2": "quarantine_unsafe"} == _reasons(report)
    assert_tree(tmp_path, {"bucket/1": "x", "bucket/2": "x"})


def test_members_are_read_as_they_are_needed(tmp_path: Path, workers: Workers) -> None:
    """A batch of any size needs the memory of a few chunks."""
    paths = [b"bucket/%03d" % number for number in range(200)]
    tree(tmp_path, dict.fromkeys(paths, "x"))
    members = originals(tmp_path, *paths)
    ahead = 0
    given = 0

    def slowly() -> Iterable[Original]:
        nonlocal given, ahead
        for member in members:
            given += 1
            ahead = max(ahead, given - (200 - len(os.listdir(tmp_path / "bucket"))))
            yield member

    report = _release(tmp_path, slowly(), removers=workers, chunk=5)

    assert 200 == report.released
    assert ahead <= 60


def test_what_is_done_is_on_disk_before_it_is_reported(tmp_path: Path) -> None:
    """The filesystem is flushed last, and a flush that fails is not passed over."""
    tree(tmp_path, {"bucket/file": "x"})

    def fail(fd: int) -> None:
        assert not (tmp_path / "bucket/file").exists()
        assert not (tmp_path / QUARANTINE / "batch").exists()
        raise OSError(5, "Input/output error")

    with DropZone.open(tmp_path) as zone, pytest.raises(OSError, match="Input/output"):
        release(zone, "batch", originals(tmp_path, b"bucket/file"), PROOF, sleep=no_sleep, flush=fail)


@root_only
def test_without_rights_each_refusal_has_its_reason() -> None:
    """A folder not ours to write, a sticky one, and one that is fine, seen as a user without rights."""
    with open_place() as place:
        tree(place, {"bucket": {"closed/file": "x", "sticky/file": "x", "open/file": "x"}})
        (place / "bucket/sticky").chmod(0o1777)
        (place / "bucket/open").chmod(0o777)
        (place / QUARANTINE).mkdir(0o700)
        os.chown(place / QUARANTINE, 65534, 65534)
        code = """
import hashlib
from pathlib import Path
from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import prove_quarantine
from s3sync.dropzone.rules import Standards
from tests.dropzone.zones import PROOF, originals, ladder
root = Path(sys.argv[1])
with DropZone.open(root) as zone:
    seen = {found.path.decode(): getattr(found, "reason", None) for found in scan.scan(zone, ladder(), prove_quarantine)}
    members = originals(root, *[path.encode() for path in seen])
    report = release.release(zone, "batch", members, PROOF, sleep=lambda _: None)
result = [seen, {kept.path.decode(): kept.reason for kept in report.kept}, report.released, report.unleased]
"""
        imports = "from tests.dropzone import zones\nfrom s3sync.dropzone.zone import DropZone\n"

        seen, kept, released, unleased = run_as_nobody(code, place, imports=imports)

        refused = {"bucket/closed/file": "folder_not_writable", "bucket/sticky/file": "folder_sticky"}
        assert {**refused, "bucket/open/file": None} == seen
        assert refused == kept
        assert (1, 1) == (released, unleased)
        assert not (place / "bucket/open/file").exists()
