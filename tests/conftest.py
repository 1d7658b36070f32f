"""What every test stands on: no account, no settings of the machine it runs on, warnings as errors."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.doubles.moto_server import _moto_running, moto
from tests.live.opensearch import _opensearch3_running, _opensearch_running, opensearch, opensearch3
from tests.live.opensearch_secure import opensearch_secure
from tests.live.promtool import promtool
from tests.live.rsyslogd import rsyslogd
from tests.live.sshd import _drop_host, _sshd_running, sshd
from tests.live.versitygw import _versitygw_running, versitygw
from tests.live.vsftpd import _vsftpd_running, vsftpd

__all__ = [
    "_drop_host",
    "_moto_running",
    "_opensearch3_running",
    "_opensearch_running",
    "_sshd_running",
    "_versitygw_running",
    "_vsftpd_running",
    "moto",
    "opensearch",
    "opensearch3",
    "opensearch_secure",
    "promtool",
    "rsyslogd",
    "sshd",
    "versitygw",
    "vsftpd",
]

# Hypothesis allows an example 200 ms, which says more of the machine than of us; a test that hangs has pytest's own limit.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = ("tests.crash.report", "tests.deploy.plugin", "tests.faults.table", "tests.live.plugin")

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes an hour unless `-m` or `-k` asks for it by that word."""
    if "long" not in f"{config.option.markexpr} {config.option.keyword}":
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name in FOREIGN_NAMES:
            monkeypatch.delenv(name)
    for name, value in NO_ACCOUNT.items():
        monkeypatch.setenv(name, value)
