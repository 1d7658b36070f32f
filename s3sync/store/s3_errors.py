"""Sort what S3 answers into our family of failures: the only place that knows S3's error codes.

Pure: a code, a status and a message go in, a failure comes out. Sources: *Error responses* in the S3 API reference
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html), the errors listed on each operation's own page there, and
*Retrieving an archived object* in the User Guide. A reply to HEAD has no body and so no code; there the status speaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from s3sync.errors import Failure, Permanent, Transient
from s3sync.store.contract import AlreadyThere, Denied, Frozen, Missing, Rejected, ThawAnswer


class UploadGone(Missing):
    """The multipart upload is not there: completed, aborted, or never begun."""


class Raced(Transient):
    """A conditional write met another request to the same key; S3 asks for the whole upload anew."""


class UnusableParts(Transient):
    """The parts S3 holds cannot be joined; they are to be sent anew."""


NOWHERE: Mapping[str, type[Failure]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Sorted:
    kind: type[Failure]
    hint: str = ""


_CREDENTIALS = "Renew the credentials, or use a role or profile that renews them itself"
_RIGHTS = "Compare the caller's policy with the rights the README lists"
_REGION = "Set AWS_REGION to the bucket's region"
_CLOCK = "Set this host's clock: it differs from S3's by more than 15 minutes"
_KEY = "Look at the state and the policy of the bucket's KMS key"
_SLOWER = "Leave it; it is tried again more slowly"

_BY_CODE: dict[str, _Sorted] = {
    # The object is not what a conditional request says it is (Error responses; CompleteMultipartUpload, If-None-Match).
    "PreconditionFailed": _Sorted(AlreadyThere),
    # Another write or delete came between: try a PutObject again, begin a multipart upload anew (both operations' pages).
    "ConditionalRequestConflict": _Sorted(Raced),
    # Another conditional request to the same resource is under way (Error responses).
    "OperationAborted": _Sorted(Transient),
    # Nothing there under this name (Error responses).
    "NoSuchKey": _Sorted(Missing),
    "NoSuchVersion": _Sorted(Missing),
    "NoSuchBucket": _Sorted(Missing, "Create the bucket, or take its folder out of the drop zone"),
    "NoSuchUpload": _Sorted(UploadGone),
    # What GET, HEAD and RestoreObject of a delete marker are answered with (GetObject).
    "MethodNotAllowed": _Sorted(Missing),
    # The caller may not (Error responses). A bucket of another owner than the expected one is AccessDenied too.
    "AccessDenied": _Sorted(Denied, _RIGHTS),
    "AccountProblem": _Sorted(Denied),
    "AllAccessDisabled": _Sorted(Denied),
    "InvalidAccessKeyId": _Sorted(Denied, _CREDENTIALS),
    "SignatureDoesNotMatch": _Sorted(Denied, _CREDENTIALS),
    "InvalidToken": _Sorted(Denied, _CREDENTIALS),
    # KMS speaks through S3 with codes of its own (KMS API reference, errors of GenerateDataKey and Decrypt).
    "KMS.DisabledException": _Sorted(Denied, _KEY),
    "KMS.KMSInvalidStateException": _Sorted(Denied, _KEY),
    "KMS.NotFoundException": _Sorted(Denied, _KEY),
    "KMS.AccessDeniedException": _Sorted(Denied, _KEY),
    # Temporary credentials ran out; a provider that refreshes has new ones at the next pass (Error responses).
    "ExpiredToken": _Sorted(Transient, _CREDENTIALS),
    "TokenRefreshRequired": _Sorted(Transient, _CREDENTIALS),
    "RequestExpired": _Sorted(Transient, _CLOCK),
    # The request's time is too far from the server's (Error responses).
    "RequestTimeTooSkewed": _Sorted(Transient, _CLOCK),
    # Archived and not thawed (GetObject).
    "InvalidObjectState": _Sorted(Frozen, "Thaw it first"),
    # The bytes are not those of the checksum we sent (Error responses; Checking object integrity).
    "BadDigest": _Sorted(Rejected),
    "InvalidDigest": _Sorted(Rejected),
    "XAmzContentSHA256Mismatch": _Sorted(Rejected),
    "XAmzContentChecksumMismatch": _Sorted(Rejected),
    "IncompleteBody": _Sorted(Transient),
    # A part is missing, has another ETag, is out of order or too small (CompleteMultipartUpload).
    "InvalidPart": _Sorted(UnusableParts),
    "InvalidPartOrder": _Sorted(UnusableParts),
    "EntityTooSmall": _Sorted(UnusableParts),
    # Too much at once, or S3's own trouble (Error responses; Best practices design patterns).
    "SlowDown": _Sorted(Transient, _SLOWER),
    "Throttling": _Sorted(Transient, _SLOWER),
    "ThrottlingException": _Sorted(Transient, _SLOWER),
    "RequestLimitExceeded": _Sorted(Transient, _SLOWER),
    "InternalError": _Sorted(Transient),
    "ServiceUnavailable": _Sorted(Transient),
    "RequestTimeout": _Sorted(Transient),
    # No capacity for expedited retrievals now (RestoreObject).
    "GlacierExpeditedRetrievalNotAvailable": _Sorted(Transient),
    # An S3-compatible server without this feature (Error responses); 501, but no passing trouble.
    "NotImplemented": _Sorted(Permanent, "Use an endpoint that offers this"),
    # Another region (Error responses).
    "PermanentRedirect": _Sorted(Permanent, _REGION),
    "AuthorizationHeaderMalformed": _Sorted(Permanent, _REGION),
    "IllegalLocationConstraintException": _Sorted(Permanent, _REGION),
}

_BY_STATUS: dict[int, _Sorted] = {
    # HEAD shows no code: 400 is what expired credentials look like there (HeadObject).
    400: _Sorted(Transient, "Look at the credentials: S3 refuses HEAD without saying why, most often for expired ones"),
    # Without s3:ListBucket this is also said of what is not there (HeadObject, permissions).
    403: _Sorted(Denied, "Allow s3:GetObject, and s3:ListBucket: without it S3 says 403 also of what is not there"),
    404: _Sorted(Missing),
    405: _Sorted(Missing),
    409: _Sorted(Transient),
    412: _Sorted(AlreadyThere),
    429: _Sorted(Transient, _SLOWER),
}

STORING: Mapping[str, type[Failure]] = {
    # If-Match where there is no object (PutObject, If-Match).
    "NoSuchKey": AlreadyThere,
}
"""Codes that mean something of their own in the reply to PutObject."""

JOINING: Mapping[str, type[Failure]] = {
    **STORING,
    # The parts together are not as long as the size we demand (CompleteMultipartUpload, x-amz-mp-object-size).
    "InvalidRequest": Rejected,
}
"""Codes that mean something of their own in the reply to CompleteMultipartUpload."""

_BODYLESS = frozenset(str(status) for status in range(300, 600))
"""botocore shows the status as the code where a reply has no body."""


def failure_of(
    code: str, status: int, *, subject: str, doing: str, message: str = "", as_in: Mapping[str, type[Failure]] = NOWHERE
) -> Failure:
    """Return the failure that an error reply to `doing` something with `subject` is; `as_in` has codes special to this call.

    What is in no table is transient where the server says it is its own fault (5xx), and permanent otherwise.
    """
    known = _Sorted(as_in[code]) if code in as_in else _BY_CODE.get(code)
    if known is None and (code in _BODYLESS or not code):
        known = _BY_STATUS.get(status)
    if known is None:
        known = _Sorted(Transient if status >= 500 else Permanent)  # noqa: PLR2004 - HTTP's own boundary
    said = f"{code}: {message}" if message else code
    return known.kind(subject, f"cannot {doing} ({said or status})", known.hint)


def thaw_answer(code: str, status: int) -> ThawAnswer | None:
    """Return what a reply to RestoreObject means, or None where it is an error (RestoreObject, "Responses", "Special errors").

    409 is progress only where it says so: other conflicts are errors like any.
    """
    if code == "RestoreAlreadyInProgress":
        return ThawAnswer.IN_PROGRESS
    if code in {"InvalidObjectState", "ObjectAlreadyInActiveTierError"}:
        return ThawAnswer.NOT_ARCHIVED
    if not code:
        return {200: ThawAnswer.ALREADY_THAWED, 202: ThawAnswer.BEGUN}.get(status)
    return None
