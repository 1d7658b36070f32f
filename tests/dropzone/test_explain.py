from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3sync.dropzone.explain import explain
from s3sync.dropzone.ladder import Verdict
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.dropzone.zone import DropZone
from s3sync.errors import NotFound
from tests.dropzone.zones import ladder, open_place, root_only, run_as_nobody
from tests.support import files, tree


@pytest.fixture(autouse=True)
def _nobody_dies_of_a_lease() -> None:
    ignore_lease_signals()


def _explain(root: Path, path: bytes) -> list[Verdict]:
    with DropZone.open(root) as zone:
        return explain(zone, ladder(), path)


def _refused(root: Path, path: bytes) -> list[str]:
    return [verdict.rule for verdict in _explain(root, path) if not verdict.ok]


def test_a_finished_file_passes_and_every_rule_says_so(tmp_path: Path) -> None:
    """From the bucket's name to the writer, in the scan's order; nothing is changed by asking."""
    tree(tmp_path, {"bucket/a/file": "x"})

    rules = [verdict.rule for verdict in _explain(tmp_path, b"bucket/a/file") if verdict.ok]

    assert ["bucket_name", "bucket_not_listed", "in_flight"] == rules[:3]
    assert ["quiet", "writer"] == rules[-2:]
    assert {b"bucket/a/file": b"x"} == files(tmp_path)
    assert ["bucket"] == os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        (b"file", ["bucket_name"]),
        (b"NO/file", ["bucket_name"]),
        (b"bucket/a.tmp", ["temporary_name"]),
        (b"bucket/.x/file", ["temporary_name"]),
        (b"bucket/s3-batch/file", ["reserved_prefix"]),
        (b"bucket/linked/file", ["symlink"]),
        (b"bucket/link", ["regular_file", "writer"]),
        (b"linked-bucket/file", ["symlink"]),
    ],
)
def test_each_refusal_is_named(tmp_path: Path, path: bytes, refused: list[str]) -> None:
    """By the rule that refuses, wherever on the way it does."""
    tree(tmp_path, {"file": "x", "NO/file": "x", "bucket": {"a.tmp": "x", ".x/file": "x", "s3-batch/file": "x", "file": "x"}})
    (tmp_path / "bucket/linked").symlink_to("/etc")
    (tmp_path / "bucket/link").symlink_to("/etc/passwd")
    (tmp_path / "linked-bucket").symlink_to("bucket")

    assert refused == _refused(tmp_path, path)


def test_a_writer_is_found(tmp_path: Path) -> None:
    """What the scan leaves to others is asked here."""
    tree(tmp_path, {"bucket/file": "x"})

    with (tmp_path / "bucket/file").open("ab"):
        assert ["writer"] == _refused(tmp_path, b"bucket/file")


def test_a_displaced_file_can_be_explained(tmp_path: Path) -> None:
    """Its place in quarantine is no obstacle: it is there to be archived."""
    path = ".s3batch-quarantine/displaced/x.0/bucket/file"
    tree(tmp_path, {path: "x", "bucket": None})
    (tmp_path / ".s3batch-quarantine").chmod(0o700)

    assert [] == _refused(tmp_path, path.encode())


@pytest.mark.parametrize("path", [b"bucket/missing", b"bucket/no/file", b"missing/file"])
def test_what_is_not_there_is_not_found(tmp_path: Path, path: bytes) -> None:
    """Nothing can be said of nothing."""
    tree(tmp_path, {"bucket": None})

    with pytest.raises(NotFound, match="is not in the drop zone"):
        _explain(tmp_path, path)


@root_only
def test_rights_are_explained() -> None:
    """As a user without them: unreadable file, closed folder, folder not ours to write."""
    with open_place() as place:
        tree(place, {"bucket": {"file": "x", "secret": "x", "closed/file": "x"}})
        (place / "bucket").chmod(0o777)
        (place / "bucket/secret").chmod(0o600)
        (place / "bucket/closed").chmod(0o700)
        (place / ".s3batch-quarantine").mkdir(0o700)
        os.chown(place / ".s3batch-quarantine", 65534, 65534)
        code = """
result = []
with DropZone.open(Path(sys.argv[1])) as zone:
    for path in (b"bucket/file", b"bucket/secret", b"bucket/closed/file"):
        result.append([verdict.rule for verdict in explain.explain(zone, ladder(), path) if not verdict.ok])
"""
        imports = (
            "from pathlib import Path\nfrom s3sync.dropzone.zone import DropZone\nfrom tests.dropzone.zones import ladder\n"
        )

        refused = run_as_nobody(code, place, imports=imports)

    assert [[], ["unreadable", "writer"], ["unreadable"]] == refused
