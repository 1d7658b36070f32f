"""The policies of the host template give what the programs ask for, no less and no more.

No less: every test of the suite is held to them (`tests/deploy/plugin.py`). No more: the stories here make each call that hosts
of a policy can come to make, in this process, and what they make is compared with what the policy gives.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import s3batch.cli
from s3sync.frontdoor import main
from tests.deploy.recorder import Asked, Recorder, recording
from tests.deploy.rights import granted, needed
from tests.doubles.moto_server import MotoServer
from tests.doubles.opensearch_server import opensearch

LARGE = 6 << 20
ABORTS = {"ID": "abort", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}

Run = Callable[..., list[dict[str, object]]]


@pytest.fixture
def run(tmp_path: Path, moto: MotoServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, on a host with a versioned bucket and one to deliver to; return its records."""
    for bucket in ("archives", "delivered"):
        moto.client().create_bucket(Bucket=bucket)
        moto.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        moto.client().put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [ABORTS]})  # type: ignore[list-item]
    (tmp_path / "zone" / "archives").mkdir(parents=True)
    settings = {
        "FOLDER": str(tmp_path / "zone"),
        "STATE": str(tmp_path / "state"),
        "QUIET_PERIOD": "1s",
        "MAX_BATCH_AGE": "1s",
        "PART_SIZE": "5MiB",
        "THAW_POLL": "1s",
        "LOG_LEVEL": "error",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"S3BATCH_{name}", value)

    def ran(*words: str, code: int = 0) -> list[dict[str, object]]:
        capfd.readouterr()
        ended = main(s3batch.cli.PROGRAM, [*words, "--json"])
        said = capfd.readouterr()
        assert code == ended, said
        return [json.loads(line) for line in said.out.splitlines()]

    return ran


def drop(tmp_path: Path, key: str, content: bytes) -> None:
    """Drop a file and let it become quiet."""
    path = tmp_path / "zone" / "archives" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    time.sleep(1.1)


def archive(run: Run, tmp_path: Path) -> None:
    """Archive a small file and a large one, the latter against an outage in the middle."""
    drop(tmp_path, "small/file", b"content")
    run("run", "--once")
    drop(tmp_path, "large/file", os.urandom(LARGE))
    Recorder.breaking.add("CompleteMultipartUpload")
    run("run", "--once", code=1)
    run("run", "--once")


@pytest.mark.slow
def test_a_packing_host(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small and large archives, an upload resumed, an index filled from S3, doctor: all that the policy gives is used."""
    monkeypatch.setenv("S3BATCH_DUTIES", "pack,index")
    with recording() as calls, opensearch() as index:
        run("doctor", "--bucket", "archives")
        monkeypatch.setenv("S3BATCH_OPENSEARCH_URL", index.endpoint)
        archive(run, tmp_path)
        index.indices.clear()  # somebody deletes a month: it is sent again, and its batches have left the spool
        drop(tmp_path, "late/file", b"content")
        run("run", "--once")

    assert {"pack", "index", "doctor"} == {call.duty for call in calls}
    assert granted("PackingPolicy") == needed(calls)
    asked = {f"es:ESHttp{request.method.capitalize()}" for request in index.requests}
    assert granted("PackingPolicy", service="es") == asked
    assert_conditional(calls)


@pytest.mark.slow
def test_a_restoring_host(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host with nothing: doctor, rebuild, and both files to a folder and to S3, one upload resumed: all of it is used."""
    archive(run, tmp_path)
    monkeypatch.setenv("S3BATCH_STATE", str(tmp_path / "another"))
    monkeypatch.setenv("S3BATCH_DUTIES", "restore")
    what = ("s3://archives/small/file", "s3://archives/large/file")
    with recording() as calls:
        run("doctor", "--bucket", "archives")
        run("rebuild", "--bucket", "archives")
        run("restore", *what, "--to", str(tmp_path / "back"), "--wait", "--yes")
        Recorder.breaking.add("CompleteMultipartUpload")
        run("restore", *what, "--to", "s3://delivered/here/", "--wait", "--yes")
        run("restore", *what, "--to", "s3://delivered/here/", "--wait", "--yes")

    of_archives = [call for call in calls if call.bucket != "delivered"]
    delivered = [call for call in calls if call.bucket == "delivered"]
    assert {"restore", "rebuild", "doctor"} == {call.duty for call in calls}
    assert granted("RestoringPolicy", sids=frozenset({"Archives", "Buckets"})) == needed(of_archives)
    assert granted("RestoringPolicy", sids=frozenset({"Delivered", "DeliveryBucket"})) == needed(delivered)
    assert_conditional(calls)


def assert_conditional(calls: list[Asked]) -> None:
    """Hold that the buckets' policy lets all of them through: what makes an object says what may be there."""
    makes = [call for call in calls if call.operation in {"PutObject", "CompleteMultipartUpload"}]

    assert makes
    assert all(call.conditional for call in makes)


def test_more_than_a_policy_gives_is_found_out() -> None:
    """An agent that packs and thaws needs what its policy does not give; nobody has looked up what deleting would need."""
    thaw = Asked("pack", "RestoreObject", "archives", version=False, conditional=False)
    delete = Asked("pack", "DeleteObject", "archives", version=False, conditional=False)

    assert {"s3:RestoreObject"} == needed([thaw]) - granted("PackingPolicy")
    with pytest.raises(KeyError, match="DeleteObject"):
        needed([delete])
