from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3sync.dropzone import quarantine as quarantine_module
from s3sync.dropzone.quarantine import Finding, ProvenQuarantines, foresee_quarantine, prove_quarantine
from s3sync.dropzone.zone import S3SYNC_QUARANTINE, DropZone
from tests.dropzone.zones import may_mount, open_place, root_only, run_as_nobody, run_with_mounts
from tests.support import files, tree

mounts_only = pytest.mark.skipif(not may_mount(), reason="this machine does not let us mount anything, not even for ourselves")

PROVE = """
from pathlib import Path
from s3sync.dropzone.quarantine import foresee_quarantine, prove_quarantine
from s3sync.dropzone.zone import DropZone

def found(finding):
    return [finding.quarantine.decode(), finding.refusal and finding.refusal.reason, finding.proved]

def both(root, bucket, quarantine=None):
    with DropZone.open(Path(root), quarantine=quarantine and Path(quarantine)) as zone:
        return [found(look(zone, bucket)) for look in (foresee_quarantine, prove_quarantine)]
"""


def test_a_probe_goes_the_way_and_leaves_nothing(tmp_path: Path) -> None:
    """The finding is proved, the quarantine is private, and no probe is left."""
    tree(tmp_path, {"bucket": None})

    with DropZone.open(tmp_path) as zone:
        finding = prove_quarantine(zone, b"bucket")

    assert Finding(b"bucket", b".s3batch-quarantine", None, leases=True, proved=True) == finding
    assert 0o700 == (tmp_path / ".s3batch-quarantine").stat().st_mode & 0o777
    assert {} == files(tmp_path)


def test_foreseeing_changes_nothing(tmp_path: Path) -> None:
    """For those who only look, the answer is the same and no folder is made."""
    tree(tmp_path, {"bucket": None})

    with DropZone.open(tmp_path, quarantine_name=S3SYNC_QUARANTINE) as zone:
        finding = foresee_quarantine(zone, b"bucket")

    assert (None, b".s3sync-quarantine", False) == (finding.refusal, finding.quarantine, finding.proved)
    assert ["bucket"] == os.listdir(tmp_path)


def test_the_settings_name_another_place(tmp_path: Path) -> None:
    """A place beneath the root is named from there, one outside absolutely."""
    tree(tmp_path, {"root/bucket": None})
    root = tmp_path / "root"

    names = []
    for place in (root / "q", tmp_path / "q"):
        with DropZone.open(root, quarantine=place) as zone:
            names.append(prove_quarantine(zone, b"bucket").quarantine)

    assert [b"q", os.fsencode(tmp_path.resolve() / "q")] == names
    assert (tmp_path / "q").is_dir()
    assert (root / "q").is_dir()


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_quarantine_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """What others may do in it they may do to files that are no longer theirs."""
    tree(tmp_path, {"bucket": None, ".s3batch-quarantine": None})
    (tmp_path / ".s3batch-quarantine").chmod(mode)

    with DropZone.open(tmp_path) as zone:
        findings = [look(zone, b"bucket") for look in (foresee_quarantine, prove_quarantine)]

    assert ["quarantine_unsafe"] * 2 == [finding.refusal and finding.refusal.reason for finding in findings]


def test_a_quarantine_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Whoever made the link would choose where files go."""
    tree(tmp_path, {"root/bucket": None, "elsewhere": None})
    (tmp_path / "root/.s3batch-quarantine").symlink_to(tmp_path / "elsewhere")

    with DropZone.open(tmp_path / "root") as zone:
        finding = prove_quarantine(zone, b"bucket")

    assert finding.refusal is not None
    assert finding.refusal.reason == "vanished"
    assert "link" in finding.refusal.detail


def test_a_way_that_worked_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the bucket folder is another one, or belongs to somebody else."""
    tree(tmp_path, {"bucket": None})
    tried = []

    def counted(zone: DropZone, bucket: bytes) -> Finding:
        tried.append(bucket)
        return prove_quarantine(zone, bucket)

    monkeypatch.setattr(quarantine_module, "prove_quarantine", counted)
    find = ProvenQuarantines()

    with DropZone.open(tmp_path) as zone:
        find(zone, b"bucket")
        find(zone, b"bucket")
        assert 1 == len(tried)
        (tmp_path / "bucket").chmod(0o700)
        find(zone, b"bucket")

    assert 2 == len(tried)


def test_a_way_that_failed_is_tried_again(tmp_path: Path) -> None:
    """Somebody may have mended it meanwhile."""
    tree(tmp_path, {"bucket": None, ".s3batch-quarantine": None})
    (tmp_path / ".s3batch-quarantine").chmod(0o777)
    find = ProvenQuarantines()

    with DropZone.open(tmp_path) as zone:
        before = find(zone, b"bucket")
        (tmp_path / ".s3batch-quarantine").chmod(0o700)
        after = find(zone, b"bucket")

    assert (True, None) == (before.refusal is not None, after.refusal)


@root_only
def test_a_quarantine_that_cannot_be_made_is_explained() -> None:
    """Without the right to write beside the bucket folders, the refusal says what to do."""
    with open_place() as place:
        (place / "bucket").mkdir()

        found = run_as_nobody(f"{PROVE}\nresult = both(sys.argv[1], b'bucket')", place)

    assert [[".s3batch-quarantine", "folder_not_writable", False]] * 2 == found


@root_only
def test_a_bucket_folder_that_takes_no_files_is_judged_by_its_mount() -> None:
    """The root of a chroot belongs to root: no probe fits in, and files below it can be removed all the same."""
    with open_place() as place:
        (place / "bucket/incoming").mkdir(parents=True)
        (place / "bucket/incoming").chmod(0o777)
        (place / ".s3batch-quarantine").mkdir(0o700)
        os.chown(place / ".s3batch-quarantine", 65534, 65534)

        found = run_as_nobody(f"{PROVE}\nresult = both(sys.argv[1], b'bucket')", place)

    assert [[".s3batch-quarantine", None, False]] * 2 == found


@mounts_only
def test_two_mounts_of_one_filesystem_refuse_to_rename(tmp_path: Path) -> None:
    """They look alike to stat; the probe, and the mount's id, tell them apart."""
    tree(tmp_path, {"store": None, "root/bucket": None, "quarantine": None})
    (tmp_path / "quarantine").chmod(0o700)
    code = f"""{PROVE}
import subprocess
place = sys.argv[1]
subprocess.run(["mount", "--bind", place + "/root", place + "/root"], check=True)
result = both(place + "/root", b"bucket", place + "/quarantine")
"""

    found = run_with_mounts(code, tmp_path)

    outside = str(tmp_path.resolve() / "quarantine")
    assert [[outside, "other_filesystem", False]] * 2 == found
    assert {} == files(tmp_path)


@mounts_only
@pytest.mark.parametrize("kind", [["--bind"], ["-t", "tmpfs"]])
def test_a_bucket_folder_that_is_a_mount_has_its_quarantine_inside(tmp_path: Path, kind: list[str]) -> None:
    """Each mount needs its own; the scan takes its files, and still no mount below it."""
    tree(tmp_path, {"disk": None, "root/bucket": None, "root/plain/inner": None})
    code = f"""{PROVE}
import subprocess
from datetime import timedelta
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import prove_quarantine
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.scan import scan
place, *kind = sys.argv[1:]
subprocess.run(["mount", *kind, place + "/disk", place + "/root/bucket"], check=True)
subprocess.run(["mount", *kind, place + "/disk", place + "/root/plain/inner"], check=True)
for path in ("/root/bucket/file", "/root/plain/inner/file", "/root/plain/file"):
    open(place + path, "w").close()
quiet = QuietClock(timedelta(0))
quiet.begin_pass(wall_ns=1 << 62, monotonic_ns=0)
result = both(place + "/root", b"bucket")
with DropZone.open(Path(place + "/root")) as zone:
    for found in scan(zone, Ladder(Standards(quiet=quiet)), prove_quarantine):
        result.append([found.path.decode(), getattr(found, "reason", None)])
"""

    result = run_with_mounts(code, tmp_path, *kind)

    inside = "bucket/.s3batch-quarantine"
    expected = [
        [inside, None, False],
        [inside, None, True],
        ["bucket/file", None],
        ["plain/file", None],
        ["plain/inner", "mount"],
    ]
    assert expected == result


@mounts_only
def test_a_read_only_mount_is_named(tmp_path: Path) -> None:
    """What can only be read cannot be removed."""
    tree(tmp_path, {"root/bucket": None})
    code = f"""{PROVE}
import subprocess
root = sys.argv[1] + "/root"
subprocess.run(["mount", "--bind", root, root], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
result = both(root, b"bucket")
"""

    found = run_with_mounts(code, tmp_path)

    assert [[".s3batch-quarantine", "folder_not_writable", False], [".s3batch-quarantine", "read_only", False]] == found
