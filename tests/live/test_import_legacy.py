"""What the original program left in real servers becomes like ours: thawed for a price, found, brought back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from s3batch.catalogue.opensearch import OpenSearchCluster
from tests.catalogue import legacy
from tests.doubles.clock import FakeClock
from tests.doubles.cold_front import ColdFront, running
from tests.legacy.test_tarscan import tar
from tests.live.versitygw import VersityGw

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

FILES = {"IMG 1.JPG": b"picture" * 200, "Zahlung.pdf": b"paid"}
KEY = "in/2021/Zahlung.pdf"


@pytest.fixture
def front(versitygw: VersityGw) -> Iterator[ColdFront]:
    """Cold storage before the server, with a frozen archive of the original's."""
    with running(versitygw, FakeClock()) as made:
        made.behind.client().create_bucket(Bucket="bucket")
        made.client().put_object(Bucket="bucket", Key=legacy.ARCHIVE, Body=tar(FILES), StorageClass="DEEP_ARCHIVE")
        yield made


class Host:
    """A host on which the program is run as people run it."""

    def __init__(self, base: Path, front: ColdFront, cluster: OpenSearchCluster) -> None:
        (base / "zone").mkdir()
        self._base = base
        self._environment = {
            **os.environ,
            "AWS_ENDPOINT_URL_S3": front.endpoint,
            "S3BATCH_FOLDER": str(base / "zone"),
            "S3BATCH_STATE": str(base / "state"),
            "S3BATCH_OPENSEARCH_URL": cluster.reach.urls[0],
        }

    def said(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        """Run a command; return its exit code and records."""
        line = [sys.executable, "-m", "s3batch", *words, "--json"]
        ended = subprocess.run(line, env=self._environment, cwd=self._base, check=False, text=True, stdout=subprocess.PIPE)
        return ended.returncode, [json.loads(record) for record in ended.stdout.splitlines()]


def test_frozen_archive_from_daily_index_to_a_restored_file(
    front: ColdFront, opensearch: OpenSearchCluster, tmp_path: Path
) -> None:
    """Nothing is asked of S3 without a price; then manifest, catalogue, outbox and index have it, and a file comes back."""
    legacy.index(opensearch)
    host = Host(tmp_path, front, opensearch)
    host.said("index", "init")
    first = host.said("find", "zahlung", "--catalogue", "opensearch")
    looked = host.said("import-legacy", "--index")
    refused = [host.said("import-legacy", "--index", "--thaw", "bulk", *more)[0] for more in ([], ["--max-cost", "0"])]
    unasked = front.ledger.calls["RestoreObject"]
    asked = host.said("import-legacy", "--index", "--thaw", "bulk", "--max-cost", "1")
    waiting = host.said("import-legacy", "--index", "--thaw", "bulk", "--max-cost", "1")[1][-1]
    front.clock.advance(timedelta(hours=49))
    imported = host.said("import-legacy", "--index")
    behind = host.said("index", "status")[1][0]["archives_behind"]
    sent = host.said("run", "--once")[0]
    opensearch.refresh("s3-batch*")
    found = host.said("find", "zahlung", "--catalogue", "opensearch")
    verified = host.said("index", "verify", "--bucket", "bucket")
    brought = host.said("restore", f"s3://bucket/{KEY}", "--to", "back", "--catalogue", "opensearch", "--wait")

    assert [(KEY, True)] == [(one["key"], one["former"]) for one in first[1]]
    assert (3, 1, True) == (looked[0], looked[1][0]["frozen"], float(looked[1][0]["usd"]) > 0)
    assert ([2, 12], 0) == (refused, unasked)
    assert (3, 1, 1, 1) == (asked[0], asked[1][-1]["frozen"], waiting["thawing"], front.ledger.calls["RestoreObject"])
    assert (0, 1) == (imported[0], imported[1][-1]["imported"])
    assert (1, 0) == (behind, sent)
    assert [(KEY, len(FILES["Zahlung.pdf"]), None)] == [(one["key"], one["size"], one.get("former")) for one in found[1]]
    assert (0, 1, 2) == (verified[0], verified[1][-1]["archives"], verified[1][-1]["documents"])
    assert (0, "delivered") == (brought[0], brought[1][-1]["state"])
    assert FILES["Zahlung.pdf"] == (tmp_path / "back" / "bucket" / KEY).read_bytes()
