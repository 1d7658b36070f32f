"""The agent beside a real OpenSearch: its own work goes on without it, and the search catches up."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from s3batch.catalogue.opensearch import OpenSearchCluster
from tests.agent.test_process import PATIENCE_SECONDS, Host, eventually, host
from tests.live.opensearch import SECOND, Node, free_port
from tests.live.parts import LiveParts

__all__ = ["host"]
pytestmark = [pytest.mark.slow, pytest.mark.live("opensearch"), pytest.mark.timeout(180)]


def test_node_that_is_down_delays_nothing_but_the_search(host: Host, live_parts: LiveParts, tmp_path: Path) -> None:
    """Files are archived and released; status and exit code say that the index is behind; the node is up, and it is not."""
    node = Node(live_parts.path("opensearch"), SECOND, tmp_path / "node", port=free_port())
    node.folder.mkdir()
    host.environment["S3BATCH_OPENSEARCH_URL"] = node.endpoint
    (host.zone / "bucket" / "one").write_bytes(b"1")
    time.sleep(1.1)
    code, _ = _said(host, "run", "--once")
    assert 5 == code

    with host.agent():
        (host.zone / "bucket" / "two").write_bytes(b"2")
        eventually(lambda: not (host.zone / "bucket" / "two").exists(), "the release")
        _, status = _said(host, "status")
        _, for_people = _said(host, "status", as_json=False)
        node.start()
        try:
            eventually(lambda: _said(host, "index", "status")[0] == 0, "catching up")
            _, index = _said(host, "index", "status")
            cluster = node.cluster()
            cluster.refresh("s3-batch")
            hits = cluster.search("s3-batch", {"sort": ["key"]}).hits
            cluster.close()
        finally:
            node.kill()

    assert (2, 0) == (status["index"]["archives_behind"], status["index"]["set_aside"])
    assert "behind by 2 archives since" in for_people["text"]
    assert "cannot be reached" in for_people["text"]
    assert (0, None) == (index["archives_behind"], index["away"])
    assert ["one", "two"] == [hit.source["key"] for hit in hits]


def test_restore_on_a_host_that_has_nothing(host: Host, opensearch: OpenSearchCluster, tmp_path: Path) -> None:
    """A file archived here is found and brought back on a host with an empty state folder, after a rebuild of the index too."""
    host.environment |= {"S3BATCH_OPENSEARCH_URL": opensearch.reach.urls[0], "S3BATCH_STORAGE_CLASS": "STANDARD"}
    (host.zone / "bucket" / "in").mkdir()
    (host.zone / "bucket" / "in" / "caf\udce9.txt").write_bytes(b"content")
    time.sleep(1.1)
    assert 0 == _said(host, "run", "--once")[0]
    opensearch.refresh("s3-batch")

    other = {"S3BATCH_STATE": str(tmp_path / "empty"), "S3BATCH_FOLDER": str(tmp_path / "no-zone")}
    (tmp_path / "no-zone").mkdir()
    host.environment |= other
    for place in ("first", "second"):
        code, found = _said(host, "find", "CAF", "--catalogue", "opensearch")
        assert (0, "aW4vY2Fm6S50eHQ=") == (code, found["key_base64"])
        assert 4 == _said(host, "find", "CAF", as_json=False)[0]
        what = "s3://bucket/base64:aW4vY2Fm6S50eHQ="
        words = ["restore", what, "--to", str(tmp_path / place), "--catalogue", "opensearch", "--wait"]
        assert 0 == _said(host, *words)[0]
        assert b"content" == (tmp_path / place / "bucket" / "in" / "caf\udce9.txt").read_bytes()
        code, rebuilt = _said(host, "index", "rebuild")
        assert (0, True) == (code, rebuilt["swapped"])
        assert 0 == _said(host, "index", "verify")[0]


def test_a_host_with_a_small_disk_begins_its_catalogue_anew(host: Host, opensearch: OpenSearchCluster, tmp_path: Path) -> None:
    """What docs/operating.md says of it: the agent goes on, and what the host forgot is found and restored by the fleet's."""
    host.environment |= {"S3BATCH_OPENSEARCH_URL": opensearch.reach.urls[0], "S3BATCH_STORAGE_CLASS": "STANDARD"}
    host.environment["S3BATCH_CATALOGUE"] = "opensearch"
    forgotten, kept = host.zone / "bucket" / "forgotten.txt", host.zone / "bucket" / "kept.txt"
    forgotten.write_bytes(b"old")
    time.sleep(1.1)
    assert 0 == _said(host, "run", "--once")[0]
    opensearch.refresh("s3-batch")
    assert [0, 0] == [_said(host, "index", asked)[0] for asked in ("status", "verify")]
    for part in Path(host.environment["S3BATCH_STATE"]).glob("catalogue.db*"):
        part.unlink()
    kept.write_bytes(b"new")
    time.sleep(1.1)
    assert 0 == _said(host, "run", "--once")[0]
    opensearch.refresh("s3-batch")

    assert ["bucket"] == [each.name for each in host.zone.rglob("*") if ".s3batch" not in str(each)]
    assert [4, 0] == [_said(host, "find", name, "--catalogue", "local", as_json=False)[0] for name in ("forgotten", "kept")]
    assert [0, 0] == [_said(host, "find", name)[0] for name in ("forgotten", "kept")]
    assert 0 == _said(host, "status", "--exit-code")[0]
    assert 0 == _said(host, "restore", "s3://bucket/forgotten.txt", "--to", str(tmp_path / "back"), "--wait")[0]
    assert b"old" == (tmp_path / "back" / "bucket" / "forgotten.txt").read_bytes()


def test_auto_says_that_the_fleet_may_know_more(host: Host) -> None:
    """Where a fleet's index is configured, this host's catalogue answers, nobody is asked, and the other one is named."""
    told = "the fleet's may know more: --catalogue opensearch"
    silent, local = host.start("find", "x"), host.start("find", "x", "--catalogue", "opensearch")
    assert (4, False) == (silent.wait(PATIENCE_SECONDS), told in silent.communicate()[1])
    assert (2, True) == (local.wait(PATIENCE_SECONDS), "no OpenSearch is configured" in local.communicate()[1])
    away = {"S3BATCH_OPENSEARCH_URL": f"http://127.0.0.1:{free_port()}"}
    auto, named = host.start("find", "x", **away), host.start("find", "x", **away, S3BATCH_CATALOGUE="local")
    assert (4, True) == (auto.wait(PATIENCE_SECONDS), told in auto.communicate()[1])
    assert (4, False) == (named.wait(PATIENCE_SECONDS), told in named.communicate()[1])
    asked = host.start("find", "x", **away, S3BATCH_CATALOGUE="opensearch")
    assert (1, True) == (asked.wait(PATIENCE_SECONDS), "cannot be reached" in asked.communicate()[1])


def _said(host: Host, *words: str, as_json: bool = True) -> tuple[int, dict[str, Any]]:
    """Run a command and return its exit code and first object, or its text."""
    process = host.start(*words, *(["--json"] if as_json else []))
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, json.loads(out.splitlines()[0]) if as_json else {"text": out}
