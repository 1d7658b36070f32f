"""`verify` as an operator or a timer runs it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from s3batch.cli import main
from tests.doubles.moto_server import MotoServer


@pytest.fixture
def archives(
    tmp_path: Path, moto: MotoServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """A host with two archives; their keys."""
    for name, value in {
        "S3BATCH_FOLDER": str(tmp_path / "zone"),
        "S3BATCH_STATE": str(tmp_path / "state"),
        "S3BATCH_QUIET_PERIOD": "1s",
        "S3BATCH_LOG_LEVEL": "error",
    }.items():
        monkeypatch.setenv(name, value)
    moto.client().create_bucket(Bucket="bucket")
    for folder in ("one", "two"):
        (tmp_path / "zone/bucket" / folder).mkdir(parents=True)
        (tmp_path / "zone/bucket" / folder / "file").write_bytes(b"content")
    time.sleep(1.1)
    assert 0 == main(["run", "--once"])
    capsys.readouterr()
    listed = moto.client().list_objects_v2(Bucket="bucket")["Contents"]
    return sorted(found["Key"] for found in listed if found["Key"].endswith(".tar"))


@pytest.mark.slow
def test_from_well_to_amiss(archives: list[str], moto: MotoServer, capsys: pytest.CaptureFixture[str]) -> None:
    """0 where all is well, 8 where an archive has gone; `status` tells of the last run and of what needs a person."""
    well = main(["verify", "--all"]), capsys.readouterr().out
    moto.client().delete_object(Bucket="bucket", Key=archives[0])
    gone = main(["verify", "--all", "--json"]), capsys.readouterr().out.splitlines()
    status = main(["status", "--json"]), json.loads(capsys.readouterr().out)

    assert (0, "2 of 2 archives compared with S3: nothing amiss\n") == well
    assert 8 == gone[0]
    assert [f"s3://bucket/{archives[0]}", 1] == [json.loads(gone[1][0])["archive"], json.loads(gone[1][-1])["amiss"]]
    assert (0, 1, "all") == (status[0], status[1]["verified"]["amiss"], status[1]["verified"]["sample"])
    assert ["1 archive is not in S3 as recorded"] == [said.partition(":")[0] for said in status[1]["attention"]]


@pytest.mark.slow
def test_two_samples_see_both(archives: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Samples take turns: after as many as make a whole, every archive has been looked at; a seed moves no turn."""
    looked = []
    for words in (["--sample", "50%"], ["--sample", "50%", "--seed", "0"], ["--sample", "50%"]):
        assert 0 == main(["verify", *words, "--json"])
        looked.append(json.loads(capsys.readouterr().out.splitlines()[-1])["archives"])

    assert 2 <= looked[0] + looked[2]
    assert looked[0] == looked[1]


@pytest.mark.parametrize("share", ["0%", "101%", "many", "5", "-1%", "1/0%"])
def test_no_share(share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no percentage is a mistake in usage, named."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert 2 == main(["verify", f"--sample={share}"])
    assert "is no share" in capsys.readouterr().err


def test_a_host_without_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A timer on a fresh host fails nothing, and makes nothing."""
    (tmp_path / "zone").mkdir()
    monkeypatch.setenv("S3BATCH_FOLDER", str(tmp_path / "zone"))
    monkeypatch.setenv("S3BATCH_STATE", str(tmp_path / "state"))

    assert (0, "no archive is catalogued here\n") == (main(["verify", "--all"]), capsys.readouterr().out)
    assert not (tmp_path / "state").exists()
