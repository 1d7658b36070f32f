"""What is outside this host: the account and the buckets. Harmless questions only."""

from __future__ import annotations

from collections.abc import Iterable

from s3batch.operate.findings import Level, Looked
from s3sync.store import check
from s3sync.store.check import S3Probe
from s3sync.store.contract import StorageClass

_NO_BUCKET = "Make the bucket, or correct the name of its folder in the drop zone"


def look_at_account(probe: S3Probe) -> Looked:
    """Ask who we are there. Raises nothing but what connecting raises."""
    found = probe.check_account()
    yield found.subject, Level.OK if found.ok else Level.ERROR, found.detail, found.hint


def look_at_bucket(probe: S3Probe, bucket: str, *, storage_class: StorageClass | None, restore: bool) -> Looked:
    """Ask one bucket."""
    return _as_looked(probe.check_bucket(bucket, storage_class=storage_class, restore=restore))


def _as_looked(findings: Iterable[check.Finding]) -> Looked:
    for found in findings:
        level = Level.WARNING if not found.ok else Level.NOTE if found.hint else Level.OK
        yield found.subject, level, found.detail, found.hint or (_NO_BUCKET if level is Level.WARNING else "")
