"""People are told of what agents run into, by a real process and a webhook."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.agent.test_process import PATIENCE_SECONDS, Host
from tests.doubles.http_server import HttpServer, Reply, answering
from tests.doubles.moto_server import MotoServer

pytestmark = pytest.mark.slow


@pytest.fixture
def host(tmp_path: Path, moto: MotoServer) -> Host:
    """A host."""
    return Host(tmp_path, moto)


def _heard(server: HttpServer) -> list[tuple[str, str, str]]:
    bodies = [json.loads(asked.body) for asked in server.asked]
    return [(body["kind"], body["cause"], body["bucket"]) for body in bodies]


def test_a_restart_loop_is_one_message_and_the_channel_can_be_tried(host: Host) -> None:
    """A start that fails three times is told once, whether the hook can be reached at first or not; `notify test` tries it."""
    with answering(lambda _: Reply()) as server:
        told = {"S3BATCH_NOTIFY": f"{server.endpoint}/hook"}
        for _ in range(3):
            failing = host.start("run", S3BATCH_FOLDER=str(host.zone / "nowhere"), **told)
            failing.communicate(timeout=PATIENCE_SECONDS)
            assert 7 == failing.returncode
        assert [("failure", "run", "")] == _heard(server)
        trying = host.start("notify", "test", "--json", **told)
        said, _ = trying.communicate(timeout=PATIENCE_SECONDS)

    assert (0, True) == (trying.returncode, json.loads(said)["sent"])
    assert ("test", "", "") == _heard(server)[-1]


def test_a_bucket_that_is_not_there(host: Host) -> None:
    """Files for a bucket nobody made: one message, though two passes fail, and the other bucket is archived all the same."""
    (host.zone / "nobucket").mkdir()
    (host.zone / "nobucket" / "file").write_bytes(b"content")
    (host.zone / "bucket" / "file").write_bytes(b"content")
    time.sleep(1.1)
    with answering(lambda _: Reply()) as server:
        for _ in range(2):
            once = host.start("run", "--once", S3BATCH_NOTIFY=f"{server.endpoint}/hook")
            once.communicate(timeout=PATIENCE_SECONDS)

    assert host.archived()
    assert [("failure", "step_failed store", "nobucket")] == _heard(server)


def test_a_channel_that_answers_nothing_hurts_nobody(host: Host) -> None:
    """Where the hook refuses everything, files are archived, the code is as ever, and the log says so."""
    (host.zone / "nobucket").mkdir()
    (host.zone / "nobucket" / "file").write_bytes(b"content")
    (host.zone / "bucket" / "file").write_bytes(b"content")
    time.sleep(1.1)
    with answering(lambda _: Reply(status=500)) as server:
        once = host.start("run", "--once", S3BATCH_NOTIFY=f"{server.endpoint}/hook")
        _, log = once.communicate(timeout=PATIENCE_SECONDS)
        trying = host.start("notify", "test", S3BATCH_NOTIFY=f"{server.endpoint}/hook")
        trying.communicate(timeout=PATIENCE_SECONDS)

    assert host.archived()
    assert 3 == once.returncode
    assert ["notice_failed"] == [
        line["event"] for line in map(json.loads, log.splitlines()) if line["event"] == "notice_failed"
    ]
    assert 1 == trying.returncode
