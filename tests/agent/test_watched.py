"""Agents under watch: what monitoring is told while they run, after a single pass, and when they do not start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from tests.agent.test_process import PATIENCE_SECONDS, Host, eventually
from tests.doubles.moto_server import MotoServer

pytestmark = pytest.mark.slow


@pytest.fixture
def host(tmp_path: Path, moto: MotoServer) -> Host:
    """A host."""
    return Host(tmp_path, moto)


def _free_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return int(reserved.getsockname()[1])


def _page(port: int, path: str) -> tuple[int, str]:
    try:
        found = urllib3.request("GET", f"http://127.0.0.1:{port}{path}", retries=False, timeout=10)
    except urllib3.exceptions.HTTPError:
        return 0, ""
    return found.status, found.data.decode()


def test_an_agent_is_ready_counts_and_is_sound(host: Host, promtool: Path) -> None:
    """Ready when it is at its work; an archive is counted; promtool has nothing to complain of; the file says the same."""
    port, textfile = _free_port(), host.state.parent / "s3batch.prom"
    (host.zone / "bucket" / "file").write_bytes(b"content")
    (host.zone / "bucket" / "other.part").write_bytes(b"content")
    (host.zone / "nobucket").mkdir()
    told = {"S3BATCH_METRICS_LISTEN": f"127.0.0.1:{port}", "S3BATCH_METRICS_FILE": str(textfile)}
    with host.agent(**told, S3BATCH_SCAN_INTERVAL="1s") as agent:
        eventually(lambda: _page(port, "/readyz")[0] == 200, "readiness")
        eventually(lambda: 's3batch_released_files_total{bucket="bucket"} 1.0' in _page(port, "/metrics")[1], "the count")
        (status, page), healthy = _page(port, "/metrics"), _page(port, "/healthz")
        checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
        agent.send_signal(signal.SIGTERM)
        assert 0 == agent.wait(PATIENCE_SECONDS)

    assert (200, 200) == (status, healthy[0])
    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)
    assert 's3batch_phase_duration_seconds_count{phase="store"} 1.0' in page
    assert "s3batch_ready 0.0" in textfile.read_text()
    assert "s3batch_last_run_exit_code 0.0" in textfile.read_text()


def test_single_passes_count_on(host: Host) -> None:
    """A one-shot leaves its figures in the textfile, and the next one goes on counting."""
    textfile = host.state.parent / "s3batch.prom"
    for number in range(2):
        (host.zone / "bucket" / f"file-{number}").write_bytes(b"content")
        (host.zone / "bucket" / "held.part").write_bytes(b"content")
        time.sleep(1.1)
        once = host.start("run", "--once", S3BATCH_METRICS_FILE=str(textfile))
        once.communicate(timeout=PATIENCE_SECONDS)
        assert 0 == once.returncode

    lines = textfile.read_text().splitlines()
    for line in (
        's3batch_archived_files_total{bucket="bucket"} 2.0',
        's3batch_archives_total{bucket="bucket"} 2.0',
        's3batch_released_files_total{bucket="bucket"} 2.0',
        's3batch_held_files{reason="temporary_name"} 1.0',
        "s3batch_oldest_waiting_seconds 0.0",
        "s3batch_last_run_exit_code 0.0",
        's3batch_batches{state="released"} 2.0',
    ):
        assert line in lines


def test_a_start_that_fails_is_in_the_textfile(host: Host) -> None:
    """Where the agent refuses to start, monitoring sees the code; a second agent that is refused says nothing of the first."""
    textfile = host.state.parent / "s3batch.prom"
    told = {"S3BATCH_METRICS_FILE": str(textfile)}
    failing = host.start("run", S3BATCH_FOLDER=str(host.zone / "nowhere"), **told)
    failing.communicate(timeout=PATIENCE_SECONDS)
    assert 7 == failing.returncode
    assert "s3batch_last_run_exit_code 7.0" in textfile.read_text().splitlines()
    os.unlink(textfile)
    (host.state / "agent.json").unlink(missing_ok=True)  # of the one that failed
    with host.agent():
        eventually((host.state / "agent.json").exists, "the first agent's lock")
        second = host.start("run", **told)
        second.communicate(timeout=PATIENCE_SECONDS)

    assert 11 == second.returncode
    assert not textfile.exists()


def test_monitoring_that_cannot_be_had_stops_nothing(host: Host) -> None:
    """A port that is taken and a folder that is not there are told, and files are archived all the same."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = {
            "S3BATCH_METRICS_LISTEN": f"127.0.0.1:{taken.getsockname()[1]}",
            "S3BATCH_METRICS_FILE": str(host.state.parent / "nowhere" / "s3batch.prom"),
        }
        (host.zone / "bucket" / "file").write_bytes(b"content")
        with host.agent(**told) as agent:
            eventually(host.archived, "the archive")
            agent.send_signal(signal.SIGTERM)
            _, log = agent.communicate(timeout=PATIENCE_SECONDS)

    said = [json.loads(line) for line in log.splitlines()]
    assert {"listener", "textfile"} == {line["what"] for line in said if line["event"] == "watch_failed"}


def test_the_sibling_has_the_same(tmp_path: Path, moto: MotoServer) -> None:
    """`s3sync` stores, counts and writes its textfile."""
    (tmp_path / "zone" / "bucket").mkdir(parents=True)
    moto.client().create_bucket(Bucket="bucket")
    (tmp_path / "zone" / "bucket" / "file").write_bytes(b"content")
    (tmp_path / "zone" / "bucket" / "held.part").write_bytes(b"content")
    time.sleep(1.1)
    environment = {
        **os.environ,
        "S3SYNC_FOLDER": str(tmp_path / "zone"),
        "S3SYNC_STATE": str(tmp_path / "state"),
        "S3SYNC_QUIET_PERIOD": "1s",
        "S3SYNC_METRICS_FILE": str(tmp_path / "s3sync.prom"),
        "AWS_ENDPOINT_URL_S3": moto.endpoint,
    }
    words = [sys.executable, "-m", "s3sync", "run", "--once"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert 0 == ended.returncode, ended.stderr
    lines = (tmp_path / "s3sync.prom").read_text().splitlines()
    for line in (
        's3sync_stored_files_total{bucket="bucket"} 1.0',
        's3sync_stored_bytes_total{bucket="bucket"} 7.0',
        's3sync_released_files_total{bucket="bucket"} 1.0',
        's3sync_held_files{reason="temporary_name"} 1.0',
        "s3sync_last_run_exit_code 0.0",
    ):
        assert line in lines
