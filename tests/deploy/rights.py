"""Which right each operation needs, and which rights the policies of the host template give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from tests.deploy.recorder import Asked
from tests.deploy.templates import listed, resources, statements

ACTIONS: Mapping[str, str] = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListBuckets": "s3:ListAllMyBuckets",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
    "PutObject": "s3:PutObject",
    "RestoreObject": "s3:RestoreObject",
    "UploadPart": "s3:PutObject",
}
"""S3 User Guide, "Required permissions for Amazon S3 API operations"; the same in the API reference of each operation."""
OF_A_VERSION: Mapping[str, str] = {"GetObject": "s3:GetObjectVersion", "HeadObject": "s3:GetObjectVersion"}
"""What they need instead where a version is named (the same pages)."""
ALSO: Mapping[str, str] = {"HeadObject": "s3:ListBucket"}
"""Without it S3 says 403 of an object that is not there, and then nobody knows (API reference, HeadObject)."""
NOT_IN_AWS = {"s3:ListAllMyBuckets"}
"""Asked by `doctor` where the endpoint is no AWS; there it asks STS who we are, which needs no right."""

DUTIES: Mapping[str, set[str]] = {
    "PackingPolicy": {"pack", "index", "doctor"},
    "RestoringPolicy": {"restore", "rebuild", "doctor"},
}
"""What hosts with a policy do."""


def needed(calls: Iterable[Asked]) -> set[str]:
    """Return the rights that calls need. Raises `KeyError` for an operation that nobody has looked up."""
    found = set()
    for call in calls:
        usual = ACTIONS[call.operation]
        found.add(OF_A_VERSION.get(call.operation, usual) if call.version else usual)
        if call.operation in ALSO:
            found.add(ALSO[call.operation])
    return found - NOT_IN_AWS


@cache
def granted(policy: str, *, sids: frozenset[str] | None = None, service: str = "s3") -> frozenset[str]:
    """Return the rights in a service that a policy of the host template gives, by all its statements or those named."""
    (found,) = [one for one in resources("host") if one.name == policy]
    return frozenset(
        action
        for statement in statements(found)
        if sids is None or statement["Sid"] in sids
        for action in listed(statement["Action"])
        if action.startswith(f"{service}:")
    )
