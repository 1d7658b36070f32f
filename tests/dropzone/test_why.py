from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.remedies import REMEDIES, remedy
from s3sync.dropzone.typed import in_zone
from s3sync.dropzone.why import Explained, Kind, explain
from s3sync.dropzone.writers import Snapshot, Writing, ignore_lease_signals
from s3sync.dropzone.zone import DropZone
from tests.dropzone.zones import held, ladder, may_mount, open_place, root_only, run_as_nobody, run_with_mounts
from tests.support import files, tree

SLOTS = ".s3batch-quarantine/displaced"


@pytest.fixture(autouse=True)
def _nobody_dies_of_a_lease() -> None:
    ignore_lease_signals()


def explained(root: Path, path: bytes, **standards: Any) -> Explained:  # noqa: ANN401 - whatever standards there are
    """Ask about one path."""
    with DropZone.open(root) as zone:
        return explain(zone, ladder(**standards), path)


def refusals(about: Explained) -> list[str]:
    """Return the names of the rules that refuse."""
    return [verdict.rule for verdict in about.verdicts if not verdict.ok]


def test_a_finished_file_passes_and_every_rule_says_so(tmp_path: Path) -> None:
    """From the bucket's name to the writer, each rule once, in the scan's order; nothing is changed by asking."""
    tree(tmp_path, {"bucket/a/file": "x"})

    about = explained(tmp_path, b"bucket/a/file")

    rules = [verdict.rule for verdict in about.verdicts]
    assert (True, Kind.FILE, "bucket", b"a/file") == (about.eligible, about.kind, about.bucket, about.key)
    assert ["bucket_name", "bucket_not_listed", "reserved_prefix"] == rules[:3]
    assert ["quiet", "immutable_file", "writer"] == rules[-3:]
    assert len(set(rules)) == len(rules)
    assert {b"bucket/a/file": b"x"} == files(tmp_path)
    assert ["bucket"] == os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("path", "refused", "reason"),
    [
        ("file", ["bucket_name"], "bucket_name"),
        ("NO/file", ["bucket_name"], "bucket_name"),
        ("bucket/a.tmp", ["temporary_name"], "temporary_name"),
        ("bucket/.x/file", ["temporary_name"], "temporary_name"),
        ("bucket/s3-batch/deep/file", ["reserved_prefix"], "reserved_prefix"),
        ("bucket/linked/file", ["symlink"], "symlink"),
        ("bucket/link", ["regular_file"], "symlink"),
        ("bucket/pipe", ["regular_file"], "fifo"),
        ("bucket/socket", ["regular_file"], "socket"),
        ("linked-bucket/file", ["symlink"], "symlink"),
        ("linked-bucket", ["symlink"], "symlink"),
        ("bucket/.x", ["temporary_name"], "temporary_name"),
    ],
)
def test_each_refusal_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, refused: list[str], reason: str
) -> None:
    """By the rule that refuses and by the reason that is counted, wherever on the way it does; no FIFO is waited for."""
    tree(tmp_path, {"file": "x", "NO/file": "x", "bucket": {"a.tmp": "x", ".x/file": "x", "s3-batch/deep/file": "x", "f": "x"}})
    (tmp_path / "bucket/linked").symlink_to("/etc")
    (tmp_path / "bucket/link").symlink_to("/etc/passwd")
    (tmp_path / "linked-bucket").symlink_to("bucket")
    os.mkfifo(tmp_path / "bucket/pipe")
    monkeypatch.chdir(tmp_path / "bucket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")

        about = explained(tmp_path, path.encode())

    assert refused == refusals(about)
    assert about.refusal is not None
    assert reason == about.refusal.reason
    assert not about.eligible


def test_what_why_says_is_what_a_scan_does(tmp_path: Path) -> None:
    """For every file a scan holds, the first refusal has the scan's reason."""
    tree(tmp_path, {"bucket": {"a.tmp": "x", "deep/er/.hidden": "x", "ok": "x", "large": "x" * 100}, "stray": "x"})
    (tmp_path / "bucket/link").symlink_to("ok")
    with DropZone.open(tmp_path) as zone:
        rules = ladder(max_size=50)

        scanned = held(zone, rules)
        said = {path: explain(zone, rules, path).refusal for path in scanned}

    assert len(scanned) == 5
    assert scanned == {path: refusal and refusal.reason for path, refusal in said.items()}


def test_a_writer_is_found_and_named(tmp_path: Path) -> None:
    """What the scan leaves to others is asked here, and an operator is told which process it is."""
    tree(tmp_path, {"bucket/file": "x"})

    with (tmp_path / "bucket/file").open("ab"):
        about = explained(tmp_path, b"bucket/file")

    assert about.refusal is not None
    assert ("writer", Reason.WRITER) == (about.refusal.rule, about.refusal.reason)
    assert f"(pid {os.getpid()}) has it open for writing" in about.refusal.detail


@pytest.mark.parametrize(
    ("writing", "opaque", "said"),
    [
        (Writing.UNSUPPORTED, 0, "nobody we can see (the filesystem knows no leases)"),
        (
            Writing.FORBIDDEN,
            7,
            "nobody we can see (not our file, and no CAP_LEASE, and 7 processes cannot be looked into)",
        ),
    ],
)
def test_without_leases_the_answer_says_what_it_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: Writing, opaque: int, said: str
) -> None:
    """Nobody seen is not nobody there."""
    tree(tmp_path, {"bucket/file": "x"})
    monkeypatch.setattr("s3sync.dropzone.writers.probe", lambda _: writing)

    with DropZone.open(tmp_path) as zone:
        about = explain(zone, ladder(), b"bucket/file", look=lambda: Snapshot(frozenset(), opaque))

    assert (True, said) == about.verdicts[-1][1:3]


def test_a_folder_is_judged_by_the_rules_for_folders(tmp_path: Path) -> None:
    """Whether it is entered, and whether anything can be removed from it; its files are judged by themselves."""
    tree(tmp_path, {"bucket/a/file": "x"})

    about = explained(tmp_path, b"bucket/a")

    assert (Kind.FOLDER, True) == (about.kind, about.eligible)
    assert "folder_not_writable" in [verdict.rule for verdict in about.verdicts]
    assert Kind.FOLDER is explained(tmp_path, b"bucket").kind


@pytest.mark.parametrize("path", [b"bucket/missing", b"bucket/no/file", b"missing/file", b"missing", b"bucket/file/below"])
def test_what_is_not_there_is_missing(tmp_path: Path, path: bytes) -> None:
    """Nothing can be said of nothing; below a file there is nothing either."""
    tree(tmp_path, {"bucket/file": "x"})

    about = explained(tmp_path, path)

    assert (Kind.MISSING, False) == (about.kind, about.eligible)


def test_a_displaced_file_is_eligible_where_it_waits(tmp_path: Path) -> None:
    """Its place in quarantine is no obstacle: it is there to be archived, under its own key."""
    tree(tmp_path, {f"{SLOTS}/x.0/bucket/file": "x", "bucket": None})
    (tmp_path / ".s3batch-quarantine").chmod(0o700)

    about = explained(tmp_path, f"{SLOTS}/x.0/bucket/file".encode())

    assert (True, True, "bucket", b"file") == (about.eligible, about.displaced, about.bucket, about.key)


def test_a_younger_file_waits_for_the_displaced_one(tmp_path: Path) -> None:
    """Versions are stored in the order they came: of two displaced ones the older goes first, then what lies in the bucket."""
    tree(tmp_path, {f"{SLOTS}/x.0/bucket/file": "1", f"{SLOTS}/x.1/bucket/file": "2", "bucket/file": "3"})
    (tmp_path / ".s3batch-quarantine").chmod(0o700)
    os.utime(tmp_path / SLOTS / "x.0", ns=(1, 1))

    first, second, third = (
        explained(tmp_path, path.encode()) for path in (f"{SLOTS}/x.0/bucket/file", f"{SLOTS}/x.1/bucket/file", "bucket/file")
    )

    assert [[], ["older_version_first"], ["older_version_first"]] == [refusals(each) for each in (first, second, third)]


def test_what_is_on_its_way_out_is_ours(tmp_path: Path) -> None:
    """A slot of a batch in quarantine is nobody's drop."""
    tree(tmp_path, {".s3batch-quarantine/20260310T093000-abc/0": "x", "bucket": None})

    about = explained(tmp_path, b".s3batch-quarantine/20260310T093000-abc/0")

    assert (Kind.QUARANTINE, False) == (about.kind, about.eligible)


def test_known_paths_are_held(tmp_path: Path) -> None:
    """What is in flight comes before everything that could be said of the file itself."""
    tree(tmp_path, {"bucket/a.tmp": "x"})

    about = explained(tmp_path, b"bucket/a.tmp", in_flight={b"bucket/a.tmp"})

    assert about.refusal is not None
    assert "in_flight" == about.refusal.rule


@root_only
def test_rights_are_explained() -> None:
    """As a user without them: unreadable file, closed folder."""
    with open_place() as place:
        tree(place, {"bucket": {"file": "x", "secret": "x", "closed/file": "x"}})
        (place / "bucket").chmod(0o777)
        (place / "bucket/secret").chmod(0o600)
        (place / "bucket/closed").chmod(0o700)
        (place / ".s3batch-quarantine").mkdir(0o700)
        os.chown(place / ".s3batch-quarantine", 65534, 65534)
        imports = """
from pathlib import Path
from s3sync.dropzone.why import explain
from s3sync.dropzone.zone import DropZone
from tests.dropzone.zones import ladder
"""
        code = """
result = []
with DropZone.open(Path(sys.argv[1])) as zone:
    for path in (b"bucket/file", b"bucket/secret", b"bucket/closed/file", b"bucket/closed"):
        about = explain(zone, ladder(), path)
        result.append([about.kind.value, [verdict.rule for verdict in about.verdicts if not verdict.ok]])
"""

        said = run_as_nobody(code, place, imports=imports)

    assert [
        ["file", []],
        ["file", ["unreadable", "writer"]],
        ["unknown", ["unreadable"]],
        ["unknown", ["unreadable"]],
    ] == said


@pytest.mark.skipif(not may_mount(), reason="this machine lets us mount nothing")
def test_a_mount_below_a_bucket_is_named(tmp_path: Path) -> None:
    """Only a bucket's own folder may be one."""
    tree(tmp_path, {"bucket/in/file": "x"})
    code = """
import subprocess
from pathlib import Path
from s3sync.dropzone.why import explain
from s3sync.dropzone.zone import DropZone
from tests.dropzone.zones import ladder
root = Path(sys.argv[1])
subprocess.run(["mount", "--bind", root / "bucket/in", root / "bucket/in"], check=True)
with DropZone.open(root) as zone:
    result = explain(zone, ladder(), b"bucket/in/file").refusal.rule
"""

    assert "mount" == run_with_mounts(code, tmp_path)


@pytest.mark.parametrize(
    ("typed", "here", "path"),
    [
        ("{root}/bucket/a", "/", b"bucket/a"),
        ("{root}//bucket/./a/", "/", b"bucket/a"),
        ("bucket/a", "/", b"bucket/a"),
        ("a", "{root}/bucket", b"bucket/a"),
        ("../bucket/a", "{root}/other", b"bucket/a"),
        ("{linked}/bucket/a", "/", b"bucket/a"),
        ("bucket/a", "{linked}", b"bucket/a"),
        ("bucket/link", "{root}", b"bucket/link"),
        ("{root}", "/", b""),
        ("/etc/passwd", "/", None),
    ],
)
def test_paths_are_understood_as_people_type_them(tmp_path: Path, typed: str, here: str, path: bytes | None) -> None:
    """Absolute, from the current folder, or from the drop zone; links lead to the zone but not through it."""
    tree(tmp_path, {"zone": {"bucket/a": "x", "other": None}})
    (tmp_path / "zone/bucket/link").symlink_to("/etc/passwd")
    (tmp_path / "linked").symlink_to("zone")
    names = {"root": str(tmp_path / "zone"), "linked": str(tmp_path / "linked")}

    with DropZone.open(tmp_path / "zone") as zone:
        found = in_zone(zone, typed.format(**names).encode(), here.format(**names).encode())

    assert path == found


def test_every_reason_has_a_remedy() -> None:
    """Whoever is told that a file is held is told what would have to happen, in whole sentences."""
    assert set(Reason) == set(REMEDIES)
    assert all(each.sentence.endswith(".") for each in REMEDIES.values())
    assert not remedy("batch_not_full").lasting
