"""The whole life of files through the command line, on real processes: archived, found, lost with the host, brought back."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.agent.test_process import PATIENCE_SECONDS, Host
from tests.doubles.moto_server import MotoServer

FILES = {
    "2026/report é.pdf": b"report" * 1000,
    "2026/empty": b"",
    "2026/-rf": b"dash",
    "2026/line\nbreak": b"newline",
    "loose": b"loose",
}
ODD = b"2026/caf\xe9.txt"


class Teller:
    """Runs commands on a host and reads their records."""

    def __init__(self, host: Host) -> None:
        """Run on `host`."""
        self.host = host

    def __call__(self, *words: str, code: int = 0, **changes: str) -> list[dict[str, object]]:
        """Return the records of a command that ends with `code`."""
        process = self.host.start(*words, "--json", **changes)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert code == process.returncode, err
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def archived(tmp_path: Path, moto: MotoServer) -> Teller:
    """A host whose files are archived."""
    host = Host(tmp_path, moto)
    drop(host)
    teller = Teller(host)
    (summary,) = teller("run", "--once")
    assert (len(FILES) + 1, 2, len(FILES) + 1) == (summary["files"], summary["archives"], summary["released"])
    return teller


def drop(host: Host) -> None:
    """Drop every file and let it become quiet."""
    bucket = host.zone / "bucket"
    for key, content in FILES.items():
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_bytes(content)
    with open(bytes(bucket) + b"/" + ODD, "wb") as file:
        file.write(b"old name")
    time.sleep(1.1)


def test_host_burnt_catalogue_and_files_come_back_from_manifests_alone(archived: Teller, tmp_path: Path) -> None:
    """After the loss of all local state, `rebuild` on a new host finds the same rows, and everything can be restored."""
    before = archived("find")
    shutil.rmtree(archived.host.state)

    archived("rebuild", "--bucket", "bucket")
    after = archived("find")
    archived("restore", "s3://bucket/2026/", "s3://bucket/loose", "--to", str(tmp_path / "back"), "--wait", "--yes")

    assert before == after
    assert len(FILES) + 1 == len(after)
    for key, content in FILES.items():
        assert content == (tmp_path / "back" / "bucket" / key).read_bytes()
    with open(bytes(tmp_path / "back" / "bucket") + b"/" + ODD, "rb") as file:
        assert b"old name" == file.read()


def test_journal_lost_with_files_still_there_makes_twins_that_are_seen_as_one(archived: Teller) -> None:
    """Archived twice, never lost, shown once."""
    host = archived.host
    path = host.zone / "bucket" / "twin"
    path.write_bytes(b"twin")
    time.sleep(1.1)
    copy = path.stat()
    archived("run", "--once")
    shutil.rmtree(host.state)
    path.write_bytes(b"twin")
    os.utime(path, ns=(copy.st_atime_ns, copy.st_mtime_ns))
    time.sleep(1.1)
    archived("run", "--once")
    archived("rebuild")

    rows = archived("find", "twin")

    assert 1 == len(rows)
    assert 2 == sum(key.endswith(".tar") and "/" not in key for key in host.objects()) - 1


def test_odd_key_is_named_and_restored_by_base64(archived: Teller, tmp_path: Path) -> None:
    """What cannot be typed can be pasted."""
    (row,) = archived("find", "caf")

    (part,) = archived("restore", f"base64:{row['key_base64']}", "--to", str(tmp_path / "back"), "--wait", "--yes")[-1:]

    assert ("delivered", row["sha256"]) == (part["state"], part["sha256"])


def test_same_key_again_is_a_new_version_and_the_old_one_can_be_named(archived: Teller, tmp_path: Path) -> None:
    """The newest is meant unless a time says otherwise."""
    time.sleep(1.1)
    between = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(1.1)
    (archived.host.zone / "bucket" / "loose").write_bytes(b"newer")
    time.sleep(1.1)
    archived("run", "--once")

    archived("restore", "s3://bucket/loose", "--to", str(tmp_path / "new"), "--wait", "--yes")
    archived("restore", "s3://bucket/loose", "--to", str(tmp_path / "old"), "--as-of", between, "--wait", "--yes")

    assert b"newer" == (tmp_path / "new" / "bucket" / "loose").read_bytes()
    assert b"loose" == (tmp_path / "old" / "bucket" / "loose").read_bytes()


def test_dry_run_asks_for_nothing_and_unknown_names_do_not_stop_the_others(archived: Teller, tmp_path: Path) -> None:
    """A dry run leaves the archive frozen and files no request; with an unknown name among known ones the code is 3."""
    archived("restore", "s3://bucket/loose", "--to", str(tmp_path / "back"), "--dry-run")
    assert [] == archived("requests")
    archive = next(key for key in archived.host.objects() if key.endswith(".tar") and "/" not in key)
    assert "Restore" not in archived.host.s3.head_object(Bucket="bucket", Key=archive)

    archived("restore", "s3://bucket/loose", "s3://bucket/nope", "--to", str(tmp_path / "back"), "--wait", "--yes", code=3)
    archived("restore", "s3://bucket/nope", "--to", str(tmp_path / "back"), code=4)

    assert b"loose" == (tmp_path / "back" / "bucket" / "loose").read_bytes()


def test_status_why_and_plan_change_nothing(archived: Teller) -> None:
    """Looking at a zone leaves it and the bucket as they were."""
    path = archived.host.zone / "bucket" / "next"
    path.write_bytes(b"next")
    time.sleep(1.1)
    before = (archived.host.objects(), sorted(archived.host.zone.rglob("*")))

    (status,) = archived("status")
    (why,) = archived("why", str(path))
    (plan,) = [line for line in archived("plan", "--once") if "archive_prefix" in line]

    assert (1, 4, 0) == (status["backlog_files"], status["backlog_bytes"], status["unreleased"])
    assert (True, None) == (why["eligible"], why["rule"])
    assert ("bucket", "", 1, "once") == (plan["bucket"], plan["archive_prefix"], plan["members"], plan["reason"])
    assert before == (archived.host.objects(), sorted(archived.host.zone.rglob("*")))
