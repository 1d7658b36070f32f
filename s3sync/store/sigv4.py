"""Sign one request to AWS: Signature Version 4, in its plain form, with the signature in a header. Pure.

Written after "Create a signed AWS API request" in the IAM User Guide. botocore signs too, and takes half a millisecond for the
making and signing of a request; this is for the two requests that are made for every small file (see `short_way`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""Stands for the body's SHA-256 where TLS guards the body already."""

_ALGORITHM = "AWS4-HMAC-SHA256"


class Keys(NamedTuple):
    """Credentials at one moment; `token` belongs to temporary ones."""

    access_key: str
    secret_key: str
    token: str | None


class Scope(NamedTuple):
    """For which service, where, a signature holds."""

    region: str
    service: str


def authorization(method: str, path: str, headers: Mapping[str, str], keys: Keys, scope: Scope) -> str:
    """Return the Authorization header of a request without a query that signs all of `headers`, whose names are lower-case.

    `path` is quoted as it is sent. Among the headers are `host`, `x-amz-date` (`20150830T123600Z`) and `x-amz-content-sha256`.
    """
    moment = headers["x-amz-date"]
    day = moment[:8]
    names = sorted(headers)
    signed = ";".join(names)
    lines = "".join([f"{name}:{' '.join(headers[name].split())}\n" for name in names])
    canonical = f"{method}\n{path}\n\n{lines}\n{signed}\n{headers['x-amz-content-sha256']}"
    within = f"{day}/{scope.region}/{scope.service}/aws4_request"
    to_sign = f"{_ALGORITHM}\n{moment}\n{within}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(_signing_key(keys.secret_key, day, scope), to_sign.encode(), "sha256").hex()
    return f"{_ALGORITHM} Credential={keys.access_key}/{within}, SignedHeaders={signed}, Signature={signature}"


@lru_cache(maxsize=8)
def _signing_key(secret_key: str, day: str, scope: Scope) -> bytes:
    """Return the key of one day; making it takes four times as long as signing with it."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
