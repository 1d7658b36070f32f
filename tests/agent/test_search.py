"""The agent beside a real OpenSearch: its own work goes on without it, and the search catches up."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

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


def _said(host: Host, *words: str, as_json: bool = True) -> tuple[int, dict[str, Any]]:
    """Run a command and return its exit code and first object, or its text."""
    process = host.start(*words, *(["--json"] if as_json else []))
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, json.loads(out.splitlines()[0]) if as_json else {"text": out}
