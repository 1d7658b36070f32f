"""The parts of requests that several calls share. Pure.

Arguments are dictionaries of text here because that is what boto3 takes; botocore checks them against its own model of S3.
"""

from __future__ import annotations

from typing import Any

from s3sync.store.contract import ObjectRef, Payload, Tier

Arguments = dict[str, Any]


def described(payload: Payload) -> Arguments:
    """Return what an object is to be, besides its bytes."""
    arguments: Arguments = {
        "StorageClass": payload.storage_class.value,
        "Metadata": dict(payload.metadata),
        "ContentType": payload.content_type,
    }
    return arguments if payload.content_encoding is None else arguments | {"ContentEncoding": payload.content_encoding}


def condition(if_match: str | None) -> Arguments:
    """Return on what condition an object is made: that there is none, or that the current one is the one known."""
    return {"IfNoneMatch": "*"} if if_match is None else {"IfMatch": if_match}


def of_version(ref: ObjectRef) -> Arguments:
    """Return which object is meant, to the version where it is known."""
    arguments: Arguments = {"Bucket": ref.bucket, "Key": ref.key}
    return arguments if ref.version_id is None else arguments | {"VersionId": ref.version_id}


def restore_request(days: int, tier: Tier) -> Arguments:
    """Return the RestoreRequest of RestoreObject."""
    names = {Tier.BULK: "Bulk", Tier.STANDARD: "Standard"}
    return {"Days": days, "GlacierJobParameters": {"Tier": names[tier]}}
