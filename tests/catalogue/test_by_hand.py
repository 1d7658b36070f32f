from __future__ import annotations

import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3batch.catalogue import by_hand
from s3batch.catalogue.contract import Entry
from s3sync.store.contract import ObjectRef, StorageClass
from tests.catalogue.examples import members, record

NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name)


def bash(line: str, folder: Path | None = None) -> bytes:
    """Run a line as somebody who copied it would."""
    return subprocess.run(["bash", "-ec", line], check=True, capture_output=True, cwd=folder).stdout


@given(st.lists(NAMES, min_size=25, max_size=25))
def test_quoting(names: list[bytes]) -> None:
    """Bash reads a quoted name as exactly its bytes, and the line itself holds nothing a terminal acts on."""
    line = "printf '%s\\0' " + " ".join(by_hand.quoted(name) for name in names)

    assert line.isprintable()
    assert names == bash(line).split(b"\0")[:-1]


@pytest.mark.parametrize(
    "name",
    [
        "plain.txt",
        "with space é.txt",
        "-rf",
        "new\nline",
        "back\\slash\\n",
        "quo'te\"s",
        "wild*?[a].txt",
        b"not\xffutf8",
        "--help",
    ],
)
def test_tar_line_unpacks_the_member(tmp_path: Path, name: str | bytes) -> None:
    """The shown `tar` line brings the member out of the archive and nothing else."""
    raw = name.encode() if isinstance(name, str) else name
    (entry,) = (Entry(member, record("b", 1)) for member in members(b"in/" + raw))
    with tarfile.open(tmp_path / "archive.tar", "w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for key in (entry.member.key, b"in/other"):
            archive.addfile(tarfile.TarInfo(key.decode("utf-8", "surrogateescape")))

    bash(by_hand.archive_lines(entry.archive, entry.member.key)[-1], tmp_path)

    assert [raw] == [path.name.encode("utf-8", "surrogateescape") for path in (tmp_path / "in").iterdir()]


def test_lines_of_a_frozen_member() -> None:
    """A frozen member is thawed, waited for, fetched by its range and checked."""
    (member,) = members("in/my report.pdf", size=1000)
    archive = record("b", 1)
    entry = Entry(member, replace(archive, ref=replace(archive.ref, version_id="v-1")))

    named = "--bucket bucket --key in/b.tar --version-id v-1"
    request = '{"Days": 3, "GlacierJobParameters": {"Tier": "Bulk"}}'
    assert [
        f"aws s3api restore-object {named} --restore-request '{request}'",
        f'aws s3api head-object {named} --query Restore  # go on when it says ongoing-request="false"',
        f"aws s3api get-object {named} --range bytes=512-1511 'my report.pdf'",
        f"sha256sum 'my report.pdf'  # {member.sha256}",
    ] == by_hand.member_lines(entry)


def test_lines_of_a_readable_member() -> None:
    """What is not frozen is fetched at once."""
    (member,) = members("a")

    lines = by_hand.member_lines(Entry(member, replace(record("b", 1), storage_class=StorageClass.STANDARD)))

    assert lines[0].startswith("aws s3api get-object")


def test_lines_of_an_empty_member(tmp_path: Path) -> None:
    """An empty file has no range; it is made."""
    (member,) = members("-in", size=0)

    (line,) = by_hand.member_lines(Entry(member, record("b", 1)))
    bash(line, tmp_path)

    assert b"" == (tmp_path / "-in").read_bytes()


def test_manifest_line() -> None:
    """The manifest is listed with what every host has."""
    archive = replace(record("b", 1), manifest=ObjectRef("m", "s3-batch/manifests/it.json.gz"))

    assert "aws s3 cp s3://m/s3-batch/manifests/it.json.gz - | zcat | jq -c '.members[]'" == by_hand.manifest_line(archive)
