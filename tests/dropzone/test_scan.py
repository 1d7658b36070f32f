from __future__ import annotations

import os
import socket
import subprocess
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.facts import FolderFacts
from s3sync.dropzone.glance import Glance
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import Finding, ProvenQuarantines, foresee_quarantine
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.reasons import Reason, Refusal
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.scan import Held, scan
from s3sync.dropzone.zone import DropZone, Rights
from tests.dropzone.zones import candidates, held, ladder, open_place, root_only, run_as_nobody, scanned
from tests.support import tree

DISPLACED = ".s3batch-quarantine/displaced"


def test_everything_is_found_in_order(tmp_path: Path) -> None:
    """Files of a folder by name, then its subfolders; so groups lie together."""
    tree(tmp_path, {"zzz": {"1": "x"}, "aaa": {"b/2": "x", "b/1": "x", "a/1": "x", "c": "x", "b/a/3": "x", "b!": "x"}})

    with DropZone.open(tmp_path) as zone:
        found = candidates(zone)

    assert [b"aaa/b!", b"aaa/c", b"aaa/a/1", b"aaa/b/1", b"aaa/b/2", b"aaa/b/a/3", b"zzz/1"] == found


def test_a_candidate_says_what_was_seen(tmp_path: Path) -> None:
    """Bucket, key, path and the state of the very file, whatever bytes its name is made of."""
    name = b"\xff odd\n\xc3\xa9 -name"
    tree(tmp_path, {b"bucket/folder/" + name: "x"})

    with DropZone.open(tmp_path) as zone:
        found = scanned(zone)

    seen = Identity.of(os.lstat(os.fsencode(tmp_path) + b"/bucket/folder/" + name))
    assert [Candidate("bucket", b"folder/" + name, b"bucket/folder/" + name, seen)] == found


def test_what_is_no_file_of_a_bucket_is_held_with_its_reason(tmp_path: Path) -> None:
    """One report for each thing left alone, and none for what is in a folder that is not entered."""
    tree(
        tmp_path,
        {
            "file-in-root": "x",
            "Not_A_Bucket/file": "x",
            "bucket": {".hidden/deep/file": "x", "s3-batch/manifests/x": "x", "up.tmp": "x", "good": "x"},
        },
    )
    (tmp_path / "linked-bucket").symlink_to(tmp_path / "bucket")
    (tmp_path / "bucket/link").symlink_to("/etc/passwd")
    (tmp_path / "bucket/folder-link").symlink_to("/etc")
    os.mkfifo(tmp_path / "bucket/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bucket/socket"))

    with DropZone.open(tmp_path) as zone:
        reasons = held(zone)
        good = candidates(zone)

    expected = {
        b"file-in-root": "bucket_name",
        b"Not_A_Bucket": "bucket_name",
        b"linked-bucket": "symlink",
        b"bucket/.hidden": "temporary_name",
        b"bucket/s3-batch": "reserved_prefix",
        b"bucket/up.tmp": "temporary_name",
        b"bucket/link": "symlink",
        b"bucket/folder-link": "symlink",
        b"bucket/fifo": "fifo",
        b"bucket/socket": "socket",
    }
    assert expected == reasons
    assert [b"bucket/good"] == good


def test_our_own_quarantine_is_not_a_drop(tmp_path: Path) -> None:
    """The quarantine beside the bucket folders is passed over without a word."""
    tree(tmp_path, {"bucket/file": "x"})

    with DropZone.open(tmp_path) as zone:
        found = [scanned(zone, find=ProvenQuarantines()) for _ in range(2)]

    assert (tmp_path / ".s3batch-quarantine").is_dir()
    assert [1, 1] == [len(one) for one in found]


def test_a_held_file_says_how_large_it_is(tmp_path: Path) -> None:
    """The backlog counts bytes that wait, too."""
    tree(tmp_path, {"bucket/a.tmp": "12345"})

    with DropZone.open(tmp_path) as zone:
        [waiting] = scanned(zone)

    assert not isinstance(waiting, Candidate)
    assert ("bucket", 5) == (waiting.bucket, waiting.size)


def _young_tree(root: Path) -> int:
    """Make young files among others, in three lots; return a moment at which the first has been quiet for a minute."""
    tree(root, {"bucket/a": {"1": "x", "2": "xx"}, "bucket": {"old": "x"}})
    time.sleep(0.02)
    tree(root, {"bucket/a": {"0": "xxxx", "3": "x" * 8, "up.tmp": "x"}, "bucket/b/4": "x"})
    time.sleep(0.02)
    tree(root, {"bucket/b": {"3": "x"}, "bucket/a/4": ""})
    return (root / "bucket/old").stat().st_ctime_ns + 60 * 10**9


class _Tedious(Ladder):
    """Asks every rule about every file."""

    def glance(self, folder: FolderFacts, removal: Refusal | None) -> Glance | None:
        """Tell nothing at a glance."""
        return None


@pytest.mark.parametrize("after_s", [-30.0, 0.0, 0.01, 0.03, 200.0])
def test_young_files_told_together_are_those_the_rules_hold(tmp_path: Path, after_s: float) -> None:
    """The same candidates, counts, bytes and moment of the next pass as if every rule had been asked of every file."""
    first_quiet_ns = _young_tree(tmp_path)
    told = []
    for kind in (Ladder, _Tedious):
        quiet = QuietClock(timedelta(seconds=60))
        quiet.begin_pass(wall_ns=first_quiet_ns + int(after_s * 1e9), monotonic_ns=0)
        with DropZone.open(tmp_path) as zone:
            found = scanned(zone, kind(Standards(quiet=quiet)))
        files, sizes = Counter[str](), Counter[str]()
        for each in found:
            reason = "" if isinstance(each, Candidate) else f"{each.bucket} {each.reason}"
            files[reason] += 1 if isinstance(each, Candidate) else each.files
            sizes[reason] += each.identity.size if isinstance(each, Candidate) else each.size
        paths = [each.path for each in found if isinstance(each, Candidate)]
        told.append((paths, files, sizes, quiet.soonest_seconds))

    assert told[0] == told[1]
    assert 9 == told[0][1].total()


def test_young_files_of_a_folder_are_told_together(tmp_path: Path) -> None:
    """By the one that will be quiet first; files held for another reason stand alone."""
    first_quiet_ns = _young_tree(tmp_path)
    quiet = QuietClock(timedelta(seconds=60))
    quiet.begin_pass(wall_ns=first_quiet_ns - 30 * 10**9, monotonic_ns=0)

    with DropZone.open(tmp_path) as zone:
        found = [each for each in scanned(zone, ladder(quiet=quiet)) if isinstance(each, Held)]

    assert [
        (b"bucket/old", 1, 1, "quiet"),
        (b"bucket/a/up.tmp", 1, 1, "temporary_name"),
        (b"bucket/a/1", 5, 15, "quiet"),
        (b"bucket/b/4", 2, 2, "quiet"),
    ] == [(each.path, each.files, each.size, each.reason.value) for each in found]
    assert "quiet for another 30 s and it is finished" == found[2].detail


def test_a_large_folder_of_young_files_is_told_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two things told whoever scans may be asked to stop."""
    monkeypatch.setattr("s3sync.dropzone.scan.MOST_TOLD_TOGETHER", 2)
    tree(tmp_path, {"bucket": {str(number): "x" for number in range(5)}})
    quiet = QuietClock(timedelta(seconds=60))
    quiet.begin_pass(wall_ns=(tmp_path / "bucket/0").stat().st_ctime_ns, monotonic_ns=0)

    with DropZone.open(tmp_path) as zone:
        found = scanned(zone, ladder(quiet=quiet))

    assert [2, 2, 1] == [each.files for each in found if isinstance(each, Held)]


def test_a_folder_that_disappears_is_skipped(tmp_path: Path) -> None:
    """A folder removed between its listing and its turn is reported and the rest goes on."""
    tree(tmp_path, {"bucket": {"0": "x", "a/1": "x", "b/2": "x"}})

    with DropZone.open(tmp_path) as zone:
        found = []
        for each in scan(zone, ladder(), foresee_quarantine):
            found.append(each)
            if each.path == b"bucket/0":
                (tmp_path / "bucket/a/1").unlink()
                (tmp_path / "bucket/a").rmdir()

    assert [b"bucket/0", b"bucket/a", b"bucket/b/2"] == [each.path for each in found]
    assert not isinstance(found[1], Candidate)
    assert found[1].reason is Reason.VANISHED


def test_a_folder_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    """The link that took a folder's place while we looked leads nowhere."""
    tree(tmp_path, {"root/bucket": {"0": "x", "a/1": "x"}, "secrets/1": "top secret"})

    with DropZone.open(tmp_path / "root") as zone:
        found = []
        for each in scan(zone, ladder(), foresee_quarantine):
            found.append(each)
            if each.path == b"bucket/0":
                (tmp_path / "root/bucket/a").rename(tmp_path / "moved")
                (tmp_path / "root/bucket/a").symlink_to(tmp_path / "secrets")

    assert [b"bucket/0", b"bucket/a"] == [each.path for each in found]


def test_a_file_that_disappears_is_passed_over(tmp_path: Path) -> None:
    """A temporary file renamed while we look is nothing to report."""
    tree(tmp_path, {"bucket": {"0": "x", "1": "x", "2": "x"}})

    with DropZone.open(tmp_path) as zone:
        found = []
        for each in scan(zone, ladder(), foresee_quarantine):
            found.append(each.path)
            (tmp_path / "bucket/1").unlink(missing_ok=True)

    assert [b"bucket/0", b"bucket/2"] == found


def test_the_way_out_is_asked_for_once_for_each_bucket(tmp_path: Path) -> None:
    """A bucket whose files cannot be moved away has all of them held, with that reason; the others go on."""
    tree(tmp_path, {"one": {"1": "x", "a/2": "x"}, "two": {"3": "x"}})
    asked = []

    def find(zone: DropZone, bucket: bytes) -> Finding:
        asked.append(bucket)
        refusal = Refusal(Reason.OTHER_FILESYSTEM, "another mount") if bucket == b"one" else None
        return Finding(bucket, b".q", refusal, leases=True, proved=True)

    with DropZone.open(tmp_path) as zone:
        reasons = held(zone, find=find)

    assert {b"one/1": "other_filesystem", b"one/a/2": "other_filesystem"} == reasons
    assert [b"one", b"two"] == asked


def test_displaced_files_come_first_and_younger_ones_wait(tmp_path: Path) -> None:
    """Versions of a key are stored in the order they came: the one displaced first, then the next, then the drop."""
    tree(
        tmp_path,
        {
            "bucket": {"a/key": "3", "a/other": "x"},
            f"{DISPLACED}/zzz.0/bucket/a/key": "1",
            f"{DISPLACED}/aaa.5/bucket/a/key": "2",
        },
    )
    (tmp_path / ".s3batch-quarantine").chmod(0o700)
    os.utime(tmp_path / DISPLACED / "zzz.0", (1, 1))
    os.utime(tmp_path / DISPLACED / "aaa.5", (2, 2))

    with DropZone.open(tmp_path) as zone:
        found = scanned(zone)

    first = next(each for each in found if isinstance(each, Candidate))
    assert ("bucket", b"a/key", f"{DISPLACED}/zzz.0/bucket/a/key".encode()) == (first.bucket, first.key, first.path)
    assert [b"a/key", b"a/other"] == [each.key for each in found if isinstance(each, Candidate)]
    waiting = {each.path: each.reason for each in found if not isinstance(each, Candidate)}
    assert {
        f"{DISPLACED}/aaa.5/bucket/a/key".encode(): Reason.OLDER_VERSION_FIRST,
        b"bucket/a/key": Reason.OLDER_VERSION_FIRST,
    } == waiting


def test_displaced_files_in_a_quarantine_outside_are_named_absolutely(tmp_path: Path) -> None:
    """A quarantine beside the drop zone has displaced files too, and their keys are their own."""
    tree(tmp_path, {"root/bucket": None, "outside/displaced/x.0/bucket/a/key": "1"})
    (tmp_path / "outside").chmod(0o700)

    with DropZone.open(tmp_path / "root", quarantine=tmp_path / "outside") as zone:
        [found] = scanned(zone)

    assert isinstance(found, Candidate)
    expected = os.fsencode((tmp_path / "outside/displaced/x.0/bucket/a/key").resolve())
    assert (b"a/key", expected) == (found.key, found.path)


def test_a_file_where_displaced_ones_would_lie_stops_nobody(tmp_path: Path) -> None:
    """Only our own user can have put it there; it is no reason to archive nothing."""
    tree(tmp_path, {DISPLACED: "a file", "bucket/key": "1"})
    (tmp_path / ".s3batch-quarantine").chmod(0o700)

    with DropZone.open(tmp_path) as zone:
        [found] = scanned(zone)

    assert isinstance(found, Candidate)


def test_a_displaced_file_rests_like_any_other(tmp_path: Path) -> None:
    """It may still be written by whoever had it open."""
    tree(tmp_path, {f"{DISPLACED}/x.0/bucket/key": "1", "bucket": None})
    (tmp_path / ".s3batch-quarantine").chmod(0o700)
    clock = QuietClock(timedelta(minutes=1))
    seen = (tmp_path / DISPLACED / "x.0/bucket/key").stat()
    clock.begin_pass(wall_ns=seen.st_ctime_ns + 1, monotonic_ns=0)

    with DropZone.open(tmp_path) as zone:
        reasons = held(zone, ladder(quiet=clock))

    assert {f"{DISPLACED}/x.0/bucket/key".encode(): "quiet"} == reasons


@pytest.mark.parametrize("place", [".s3batch-quarantine", "bucket/.s3batch-quarantine"])
def test_a_quarantine_somebody_else_made_is_not_believed(tmp_path: Path, place: str) -> None:
    """Whoever may write into a folder of that name could otherwise drop into any bucket."""
    tree(tmp_path, {f"{place}/displaced/x.0/other-bucket/key": "forged", "bucket": None})
    (tmp_path / place).chmod(0o777)

    with DropZone.open(tmp_path) as zone:
        found = candidates(zone)

    assert [] == found


def test_a_tree_as_deep_as_a_key_is_long(tmp_path: Path) -> None:
    """Five hundred folders deep is found; deeper, where every key is too long, is not entered."""
    root = os.fsencode(tmp_path)
    folder = b"bucket/" + b"/".join([b"d"] * 511)
    os.makedirs(root + b"/" + folder + b"/d/d")
    for place in (folder, folder + b"/d/d"):
        with open(root + b"/" + place + b"/f", "wb") as file:
            file.write(b"x")

    with DropZone.open(tmp_path) as zone:
        found = candidates(zone)
        reasons = held(zone)

    assert [folder + b"/f"] == found
    assert {folder + b"/d": "key_too_long"} == reasons


def test_rights_are_read_once(tmp_path: Path) -> None:
    """The zone knows who we are; as root nothing is out of reach."""
    with DropZone.open(tmp_path) as zone:
        assert Rights.ours() == zone.rights
        assert os.geteuid() == zone.rights.uid


@root_only
def test_what_we_have_no_right_to_is_held_with_its_reason() -> None:
    """As a user without rights: unreadable files and folders, folders that are not ours to empty; the rest goes on."""
    with open_place() as place:
        tree(place, {"bucket": {"secret": "x", "closed/file": "x", "shared/file": "x", "theirs/file": "x", "blind/file": "x"}})
        for folder, mode in {"": 0o777, "closed": 0o700, "shared": 0o777, "theirs": 0o755, "blind": 0o733}.items():
            (place / "bucket" / folder).chmod(mode)
        (place / "bucket/secret").chmod(0o600)
        (place / ".s3batch-quarantine").mkdir(0o700)
        os.chown(place / ".s3batch-quarantine", 65534, 65534)
        code = """
with DropZone.open(Path(sys.argv[1])) as zone:
    found = scan.scan(zone, ladder(), quarantine.prove_quarantine)
    result = {each.path.decode(): getattr(each, "reason", None) for each in found}
"""
        imports = (
            "from pathlib import Path\nfrom s3sync.dropzone.zone import DropZone\nfrom tests.dropzone.zones import ladder\n"
        )

        found = run_as_nobody(code, place, imports=imports)

    expected = {
        "bucket/secret": "unreadable",
        "bucket/blind": "unreadable",
        "bucket/closed": "unreadable",
        "bucket/shared/file": None,
        "bucket/theirs/file": "folder_not_writable",
    }
    assert expected == found


@pytest.mark.parametrize("mark", ["i", "a"])
def test_an_immutable_or_append_only_folder_holds_its_files(tmp_path: Path, mark: str) -> None:
    """Nothing can be removed from it, not even by root."""
    tree(tmp_path, {"bucket/folder/file": "x", "bucket/other/file": "x"})
    folder = tmp_path / "bucket/folder"
    if subprocess.run(["chattr", f"+{mark}", folder], check=False, capture_output=True).returncode != 0:
        pytest.skip("no chattr, or no right to use it here")
    try:
        with DropZone.open(tmp_path) as zone:
            reasons = held(zone)
    finally:
        subprocess.run(["chattr", f"-{mark}", folder], check=True)

    assert {b"bucket/folder/file": "immutable"} == reasons
