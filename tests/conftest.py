"""What every test stands on: no account, no settings of the machine it runs on, warnings as errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
FOREIGN = ("AWS_", "S3BATCH_", "S3SYNC_", "XDG_", "ELASTICSEARCH_LOGS_", "RSYSLOG_")
FOREIGN_NAMES = {
    "LOG_LEVEL",
    "MANIFEST_FALLBACK_BUCKET",
    "MAX_BATCH_SIZE_MB",
    "S3_BATCH_BUCKETS_FOLDER",
    "S3_SYNC_BUCKETS_FOLDER",
}
NO_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
}
"""Credentials that open nothing, and an endpoint where nobody listens: a test that forgets to name its own reaches no one."""


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name in FOREIGN_NAMES:
            monkeypatch.delenv(name)
    for name, value in NO_ACCOUNT.items():
        monkeypatch.setenv(name, value)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let golden files be written anew."""
    parser.addoption("--renew-goldens", action="store_true", help="write tests/golden/ anew instead of comparing with it")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str | bytes], None]:
    """Compare with a file in tests/golden/: `golden("manifest.json", rendered)`. Mark the test `golden`."""

    def compare(name: str, actual: str | bytes) -> None:
        path = GOLDEN / name
        content = actual.encode() if isinstance(actual, str) else actual
        if request.config.getoption("--renew-goldens"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        assert path.exists(), f"{path} is missing: `make goldens` writes it"
        assert path.read_bytes() == content

    return compare
