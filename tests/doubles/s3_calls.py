"""Which S3 operation a request is, by method, path and query (S3 API reference). Path-style addresses only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from tests.doubles.http_server import Asked

_ON_OBJECTS: Mapping[tuple[str, str | None], str] = {
    ("GET", None): "GetObject",
    ("GET", "uploadId"): "ListParts",
    ("GET", "attributes"): "GetObjectAttributes",
    ("HEAD", None): "HeadObject",
    ("PUT", None): "PutObject",
    ("PUT", "partNumber"): "UploadPart",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("POST", "restore"): "RestoreObject",
    ("DELETE", None): "DeleteObject",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
_ON_BUCKETS: Mapping[tuple[str, str | None], str] = {
    ("GET", None): "ListObjects",
    ("GET", "list-type"): "ListObjectsV2",
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "versions"): "ListObjectVersions",
    ("GET", "versioning"): "GetBucketVersioning",
    ("PUT", None): "CreateBucket",
    ("PUT", "versioning"): "PutBucketVersioning",
    ("HEAD", None): "HeadBucket",
    ("DELETE", None): "DeleteBucket",
    ("POST", "delete"): "DeleteObjects",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood."""

    operation: str
    """Its name in the API reference, or method and query of one that is not in the tables above."""
    bucket: str
    key: str
    """Empty where the request is about the bucket."""
    version_id: str | None = None
    upload_id: str | None = None
    part: int | None = None


def call_of(asked: Asked) -> Call:
    """Return which operation a request is."""
    address = urlsplit(asked.target)
    bucket, _, key = address.path.removeprefix("/").partition("/")
    query = parse_qs(address.query, keep_blank_values=True)
    return Call(
        operation=_operation(asked, query, on_object=bool(key)),
        bucket=unquote(bucket),
        key=unquote(key),
        version_id=_first(query, "versionId"),
        upload_id=_first(query, "uploadId"),
        part=int(query["partNumber"][0]) if "partNumber" in query else None,
    )


def header(asked: Asked, name: str) -> str | None:
    """Return a header by its lower-case name."""
    return next((value for seen, value in asked.headers.items() if seen.lower() == name), None)


def _operation(asked: Asked, query: Mapping[str, list[str]], *, on_object: bool) -> str:
    table = _ON_OBJECTS if on_object else _ON_BUCKETS
    named = [name for (method, name) in table if method == asked.method and name in query]
    operation = table.get((asked.method, named[0] if named else None), asked.call)
    if header(asked, "x-amz-copy-source") is None:
        return operation
    return {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation, operation)


def _first(query: Mapping[str, list[str]], name: str) -> str | None:
    return query[name][0] if name in query else None
