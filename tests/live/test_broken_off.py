"""Uploads that real clients break off: held by the server's own word, resumed or accepted, and archived whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.doubles.moto_server import MotoServer
from tests.live.clients import Client, Curl, Lftp, Sftp, done, eventually, kill
from tests.live.drop_host import USERS, User, open_for_writing
from tests.live.drop_world import DropWorld
from tests.live.sshd import Sshd
from tests.live.vsftpd import Vsftpd

CONTENT = os.urandom(3_000_000)
RATE = 500_000
NAME = "half file.bin"
HELD = {"probably_partial": 1}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file that clients upload; it has an old time."""
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


@pytest.fixture
def sftp_world(tmp_path: Path, moto: MotoServer, sshd: Sshd) -> DropWorld:
    """An agent that reads sshd's log."""
    return DropWorld(tmp_path, moto, sshd.host, sshd.log)


@pytest.fixture
def ftps_world(tmp_path: Path, moto: MotoServer, vsftpd: Vsftpd) -> DropWorld:
    """An agent that reads vsftpd's log."""
    return DropWorld(tmp_path, moto, vsftpd.host, vsftpd.log)


def _begun(world: DropWorld, client: Client, source: Path, log: Path, die: Callable[[], object] | None = None) -> int:
    """Have an upload die in the middle and its server notice; return how much arrived."""
    breaks = _breaks(log)
    upload = client.put(source, NAME, rate=RATE)
    path = world.path(client.user, NAME)
    eventually(lambda: path.exists() and path.stat().st_size > 100_000, "the upload's beginning")
    if die is None:
        kill(upload)
    else:
        die()
        kill(upload)
    _noticed(log, breaks, path)
    return path.stat().st_size


def _noticed(log: Path, breaks: int, path: Path) -> None:
    """Wait until the server has written of one more broken upload than `breaks`, and has let go of its file."""
    eventually(lambda: _breaks(log) > breaks, "the log's word of it")
    eventually(lambda: not open_for_writing(path), "the end of the process that wrote")


def _breaks(log: Path) -> int:
    """Return how many broken uploads the server ever wrote of: it and its log serve every test of the run."""
    text = log.read_bytes() if log.exists() else b""
    return text.count(b"forced close") + text.count(b"FAIL UPLOAD") + text.count(b" * i\n")


def _held_then_resumed(world: DropWorld, client: Client, source: Path) -> None:
    """Hold that the half file is left alone and explained, and archived whole once its client has finished it."""
    key = client.user.key_prefix + NAME
    summary = world.a_pass()
    assert HELD == summary["held"]
    assert {} == world.archived()
    (why,) = world.ask("why", f"s3://bucket/{key}", code=3)
    assert "probably_partial" == why["reason"]
    assert HELD == world.ask("status")[-1]["held"]

    assert done(client.put(source, NAME, resume=True))
    world.acknowledged(client.user, NAME, CONTENT)
    world.passes()
    world.judge_at_rest()
    assert {key: CONTENT} == world.archived()


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
@pytest.mark.parametrize("client", [Sftp, Lftp], ids=["sftp", "lftp"])
def test_an_sftp_client_killed_half_way_and_resumed(
    sftp_world: DropWorld, sshd: Sshd, client: type[Sftp | Lftp], user: User, source: Path
) -> None:
    """`reput` and `put -c` go on with what the agent left alone."""
    uploading = client(sshd, user)
    _begun(sftp_world, uploading, source, sshd.log)

    _held_then_resumed(sftp_world, uploading, source)


@pytest.mark.parametrize("client", [Lftp, Curl], ids=["lftp", "curl"])
@pytest.mark.parametrize("log", ["vsftpd.log", "xferlog"])
def test_an_ftps_client_killed_half_way_and_resumed(
    ftps_world: DropWorld, vsftpd: Vsftpd, client: type[Lftp | Curl], log: str, source: Path
) -> None:
    """Either of vsftpd's logs will do."""
    read = vsftpd.log.with_name(log)
    ftps_world.environment["S3BATCH_TRANSFER_LOGS"] = str(read)
    uploading = client(vsftpd, USERS[0])
    _begun(ftps_world, uploading, source, read)

    _held_then_resumed(ftps_world, uploading, source)


def test_a_connection_killed_on_the_server_s_side_is_evidence_too(sftp_world: DropWorld, sshd: Sshd, source: Path) -> None:
    """The process that wrote the file outlives the one that had the connection, and says what became of the file."""
    client = Sftp(sshd, USERS[0])

    _begun(sftp_world, client, source, sshd.log, die=lambda: sshd.kill_connections("games"))

    _held_then_resumed(sftp_world, client, source)


@pytest.mark.parametrize("server", ["sshd", "vsftpd"])
def test_a_writing_process_killed_leaves_no_word_and_the_file_is_taken_as_it_is(
    request: pytest.FixtureRequest, server: str, tmp_path: Path, moto: MotoServer, source: Path
) -> None:
    """No evidence is neutral: what lies there is archived, and what its client makes of it later is a new version."""
    running: Sshd | Vsftpd = request.getfixturevalue(server)
    world = DropWorld(tmp_path, moto, running.host, running.log)
    client = Sftp(running, USERS[0]) if isinstance(running, Sshd) else Lftp(running, USERS[0])
    upload = client.put(source, NAME, rate=RATE)
    path = world.path(client.user, NAME)
    eventually(lambda: path.exists() and path.stat().st_size > 100_000, "the upload's beginning")
    assert running.kill_sessions("games") > 0
    kill(upload)
    eventually(lambda: not open_for_writing(path), "the end of the process that wrote")
    half = path.read_bytes()
    world.ever.append((NAME, half))

    assert (1, {}) == (world.a_pass()["files"], world.ask("status")[-1]["held"])
    assert {NAME: half} == world.archived()
    assert done(client.put(source, NAME))
    world.acknowledged(client.user, NAME, CONTENT)
    world.passes()
    world.judge_at_rest()
    assert {(NAME, half), (NAME, CONTENT)} == set(world.archived_members())


def test_broken_off_again_while_it_is_resumed(sftp_world: DropWorld, sshd: Sshd, source: Path) -> None:
    """Each attempt adds to the file, and the log tells only of its own part."""
    client = Sftp(sshd, USERS[1])
    first = _begun(sftp_world, client, source, sshd.log)
    breaks = _breaks(sshd.log)
    upload = client.put(source, NAME, rate=RATE, resume=True)
    path = sftp_world.path(client.user, NAME)
    eventually(lambda: path.stat().st_size > first + 100_000, "the upload's going on")
    kill(upload)
    _noticed(sshd.log, breaks, path)

    _held_then_resumed(sftp_world, client, source)


def test_begun_anew_instead_of_resumed(ftps_world: DropWorld, vsftpd: Vsftpd, source: Path) -> None:
    """A client that repeats the whole upload writes over the half file, and that is whole."""
    client = Lftp(vsftpd, USERS[1])
    _begun(ftps_world, client, source, vsftpd.log)
    assert HELD == ftps_world.a_pass()["held"]

    assert done(client.put(source, NAME))
    ftps_world.acknowledged(client.user, NAME, CONTENT)
    ftps_world.passes()
    ftps_world.judge_at_rest()


def test_renamed_without_being_finished(sftp_world: DropWorld, sshd: Sshd, source: Path) -> None:
    """A half file does not become whole by another name; somebody who knows better accepts it."""
    client = Sftp(sshd, USERS[0])
    _begun(sftp_world, client, source, sshd.log)
    half = sftp_world.path(client.user, NAME).read_bytes()
    assert done(client.script(f'rename "/bucket/{NAME}" "/bucket/renamed"'))
    assert HELD == sftp_world.a_pass()["held"]

    (accepted,) = sftp_world.ask("accept", "bucket/renamed")
    assert accepted["accepted"]
    sftp_world.ever.append(("renamed", half))
    sftp_world.passes()
    assert {"renamed": half} == sftp_world.archived()
    sftp_world.judge_at_rest()


def test_an_agent_that_was_not_there_learns_of_it_from_the_log(sftp_world: DropWorld, sshd: Sshd, source: Path) -> None:
    """Broken off before the agent ever ran, and the log rotated before it ran again."""
    client = Sftp(sshd, USERS[0])
    _begun(sftp_world, client, source, sshd.log)
    assert HELD == sftp_world.a_pass()["held"]
    emptied = sshd.log.with_name("emptied")
    emptied.touch()
    sftp_world.environment["S3BATCH_TRANSFER_LOGS"] = str(emptied)

    assert HELD == sftp_world.a_pass()["held"]
