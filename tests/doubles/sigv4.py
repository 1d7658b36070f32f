"""Checks AWS Signature Version 4 as a service does, from what the service is told about it: no code of AWS is used.

Written after "Create a signed AWS API request" in the IAM User Guide.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

from tests.doubles.http_server import Asked

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)
LONGEST = timedelta(minutes=5)


def wrong(asked: Asked, *, service: str, region: str, secrets: Mapping[str, str], now: datetime | None = None) -> str | None:
    """Return what is wrong with the signature of a request, None where nothing is. `secrets` is by access key."""
    headers = {name.lower(): " ".join(value.split()) for name, value in asked.headers.items()}
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        return "not signed"
    key, day, its_region, its_service, names, signature = found.groups()
    if (its_region, its_service) != (region, service):
        return f"signed for {its_service} in {its_region}"
    if key not in secrets:
        return "unknown access key"
    if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names.split(";")):
        return "does not sign what it must"
    when = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs((now or datetime.now(UTC)) - when) > LONGEST or f"{when:%Y%m%d}" != day:
        return "signed at another time"
    if hashlib.sha256(asked.body).hexdigest() != headers["x-amz-content-sha256"]:
        return "the body is another one"
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, _digest(_canonical(asked, headers, names, service))])
    secret = f"AWS4{secrets[key]}".encode()
    for part in (day, region, service, "aws4_request"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    return None if hmac.new(secret, to_sign.encode(), "sha256").hexdigest() == signature else "the signature is wrong"


def _canonical(asked: Asked, headers: Mapping[str, str], names: str, service: str) -> str:
    parts = urlsplit(asked.target)
    # S3 alone takes the path as it was sent; a key may hold what a path may not.
    path = parts.path if service == "s3" else quote(parts.path or "/", safe="/-_.~")
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parse_qsl(parts.query, True))
    signed = "".join(f"{name}:{headers.get(name, '')}\n" for name in names.split(";"))
    return "\n".join(
        [
            asked.method,
            path,
            "&".join(f"{name}={value}" for name, value in pairs),
            signed,
            names,
            headers["x-amz-content-sha256"],
        ]
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
