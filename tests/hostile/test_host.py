"""A host that is set up wrongly, changes under the agent, or has two of them: refused with a reason, and nothing is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from s3sync.errors import Exit, Preflight
from s3sync.mounts import Filesystem
from s3sync.own_folders import refuse_over_the_network
from tests.doubles.moto_server import MotoServer
from tests.dropzone.zones import NOBODY, root_only
from tests.hostile.disks import small_disk
from tests.hostile.host import Host
from tests.support import files

pytestmark = pytest.mark.slow


@pytest.fixture
def host(tmp_path: Path, moto: MotoServer) -> Host:
    """One host."""
    return Host(tmp_path, moto)


def test_few_descriptors_are_enough(host: Host) -> None:
    """With 64 open files at most, hundreds of folders deep and wide are archived once; what is not removed at once is soon."""
    for number in range(150):
        host.drop(f"{number % 5}/" + "deep/" * (number % 60) + f"folder-{number}/file", os.urandom(10))
    done = host.run("--files", "64", "run", "--once", "--json")
    archives = host.archives()
    again = host.run("--files", "64", "run", "--once", "--json")

    assert (Exit.DONE, 150, 0) == (done.code, done.summary["files"], again.summary["files"]), done.said
    assert {} == files(host.zone)
    assert archives == host.archives()


def test_few_descriptors_are_enough_to_restore(host: Host, tmp_path: Path) -> None:
    """With 64 open files at most, hundreds of members of some folders arrive, none of them at a second attempt."""
    for number in range(300):
        host.drop(f"{number % 3}/file-{number}", os.urandom(10))
    dropped = files(host.zone)
    host.one_pass(S3BATCH_STORAGE_CLASS="STANDARD", S3BATCH_MAX_BATCH_SIZE="64MiB")
    out = tmp_path / "out"
    done = host.run("--files", "64", "restore", "s3://bucket/", "--to", str(out), "--yes", "--wait")

    assert Exit.DONE == done.code, done.said
    assert "open files" not in done.said
    assert dropped == files(out)


@pytest.mark.parametrize("limit", [10, 13, 16, 18, 21, 26])
def test_too_few_descriptors_lose_nothing(host: Host, limit: int) -> None:
    """With too few open files the agent fails or goes on, says so in one line, and loses nothing; with enough it is done."""
    for number in range(20):
        host.drop(f"{number}/" + "deep/" * number + "file", os.urandom(10))
    before = files(host.zone)
    first = host.run("--files", str(limit), "run", "--once", "--json")
    lying = files(host.zone)
    second = host.one_pass()

    assert set(lying.items()) <= set(before.items())
    assert {} == files(host.zone), second.said
    assert 20 == len(host.run("find", "file", "--json").out.splitlines()), (first.said, second.said)


def test_state_folder_that_is_read_only(host: Host) -> None:
    """A read-only state folder is refused in one line that names it; nothing is archived or removed."""
    host.drop("file")
    with small_disk(host.state, 1 << 20) as disk:
        disk.read_only()
        done = host.one_pass()
        disk.read_only(on=False)

        assert Exit.PREFLIGHT == done.code, done.said
        assert str(host.state) in done.err
        assert "Traceback" not in done.said
        assert {b"bucket/file": b"content"} == files(host.zone)
        assert [] == host.archives()


def test_state_disk_that_is_full(host: Host) -> None:
    """A full disk below the state folder is told in one line that names it; with room again the agent goes on."""
    host.drop("file")
    with small_disk(host.state, 16 * 4096) as disk:
        (host.state / "ballast").write_bytes(bytes(14 * 4096))
        done = host.one_pass()
        lying = files(host.zone)
        disk.resize(4 << 20)
        again = host.one_pass()

        assert done.code not in {Exit.DONE, Exit.PARTIAL}
        assert str(host.state) in done.err
        assert "Traceback" not in done.said
        assert {b"bucket/file": b"content"} == lying
        assert (Exit.DONE, 1) == (again.code, again.summary["files"]), again.said


@root_only
@pytest.mark.parametrize("which", ["state", "spool"])
def test_folder_of_the_agents_that_others_may_write(host: Host, which: str) -> None:
    """State and spool belong to the agent alone: one that is somebody else's, or open to others, is refused and named."""
    host.drop("file")
    host.one_pass()
    folder = host.state if which == "state" else host.state / "spool"
    host.drop("another")
    os.chown(folder, NOBODY, NOBODY)
    theirs = host.one_pass()
    os.chown(folder, 0, 0)
    folder.chmod(0o777)
    opened = host.one_pass()

    assert [Exit.PREFLIGHT, Exit.PREFLIGHT] == [theirs.code, opened.code], (theirs.said, opened.said)
    assert str(folder) in theirs.err
    assert str(folder) in opened.err
    assert {b"bucket/another": b"content"} == files(host.zone)


def test_private_folders_are_private(host: Host) -> None:
    """State, spool and quarantine are made 0700, and the databases 0600."""
    host.drop("file")
    host.one_pass()
    quarantine = host.zone / ".s3batch-quarantine"

    assert [0o700] * 3 == [path.stat().st_mode & 0o777 for path in (host.state, host.state / "spool", quarantine)]
    assert {0o600} == {path.stat().st_mode & 0o777 for path in host.state.glob("*.db*")}


def test_drop_zone_that_is_missing(host: Host) -> None:
    """A drop zone that is not there is refused in one line."""
    shutil.rmtree(host.zone)
    done = host.one_pass()

    assert Exit.PREFLIGHT == done.code
    assert str(host.zone) in done.err
    assert "Traceback" not in done.said


def test_drop_zone_on_another_filesystem_than_the_state(host: Host, tmp_path: Path) -> None:
    """The quarantine lies in the drop zone: state and spool may be on any other disk."""
    with small_disk(tmp_path / "elsewhere", 8 << 20):
        host.drop("file")
        done = host.one_pass(S3BATCH_STATE=str(tmp_path / "elsewhere/state"))

        assert (Exit.DONE, 1) == (done.code, done.summary["released"]), done.said


def test_two_hosts_with_states_of_their_own_share_a_bucket(host: Host, tmp_path: Path, moto: MotoServer) -> None:
    """Two drop zones, two states, one bucket, the same names at the same time: everything is archived, nothing replaced."""
    second = Host.__new__(Host)
    second.zone, second.state, second.s3 = tmp_path / "zone2", tmp_path / "state2", host.s3
    second.settings = {**host.settings, "S3BATCH_FOLDER": str(second.zone), "S3BATCH_STATE": str(second.state)}
    host.drop("same/name", b"one")
    second.drop("same/name", b"two")
    codes = [host.one_pass().code, second.one_pass().code]

    assert [Exit.DONE, Exit.DONE] == codes
    assert 2 == len(host.archives())
    assert ({}, {}) == (files(host.zone), files(second.zone))


def test_secrets_stay_out_of_everything_that_is_said(host: Host) -> None:
    """Whatever fails, and however loudly it logs: the secret key and the session's token are in no line."""
    secrets = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIsecretKEY", "AWS_SESSION_TOKEN": "FwoGZXIvtokenTOKEN"}
    loud = {**secrets, "S3BATCH_LOG_LEVEL": "debug", "S3BATCH_OPENSEARCH_URL": "http://user:hushHUSH@127.0.0.1:9"}
    host.drop("file")
    said = [
        host.run(*words, **loud, **changes).said
        for changes in ({}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
        for words in (["run", "--once"], ["config", "show"], ["doctor"], ["status", "--json"])
    ]

    assert [] == [text for text in said for secret in (*secrets.values(), "hushHUSH") if secret in text]


def test_state_on_a_network_filesystem_is_refused(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder on NFS is refused with the reason: the lock that keeps two agents apart would not reach the other host."""
    monkeypatch.setattr("s3sync.own_folders.filesystem_of", lambda _: Filesystem("nfs4", "/mnt/shared"))

    with pytest.raises(Preflight, match=r"lies on nfs4 \(mounted at /mnt/shared\), where another host's agent"):
        refuse_over_the_network(tmp_path, "S3BATCH_STATE")
