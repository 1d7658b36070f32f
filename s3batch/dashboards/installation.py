"""Bring saved objects into an installation of OpenSearch Dashboards, by its own interface for that."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

from s3batch.catalogue.cluster import NO_TLS, no_tls
from s3sync.errors import Permanent, Transient, Usage
from s3sync.keys import printable

IMPORT = "/api/saved_objects/_import?overwrite=true"
TIMEOUT_SECONDS = 60.0
MOST_REPLY_BYTES = 4 << 20
_BOUNDARY = "s3batch-9b1f8c52d4"
"""Never part of our objects, which a test holds."""


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A login page elsewhere is no place for what we send."""

    def redirect_request(self, *_args: object, **_more: object) -> None:
        """Follow nothing."""


def bring(ndjson: str, url: str, ca: Path | None = None) -> int:
    """Import the objects at `url` (base path included, user and password in it where wanted), and return how many are in.

    What is there under the same ids is replaced. Raises `Usage` where `ca` is no file of certificates, `Transient` where the
    installation cannot be reached or will not now, `Permanent` where it refuses an object, naming each.
    """
    parts = urlsplit(url)
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    request = urllib.request.Request(f"{place}{IMPORT}", data=_multipart(ndjson), method="POST")  # noqa: S310 - http or https, as the setting is
    request.add_header("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}")
    request.add_header("osd-xsrf", "true")
    request.add_header("kbn-xsrf", "true")  # Kibana's name for it
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    subject = f"dashboards {printable(place)}"
    return _imported(subject, _asked(subject, request, ca))


def _multipart(ndjson: str) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="s3batch.ndjson"\r\n'
    return f"{head}Content-Type: application/ndjson\r\n\r\n{ndjson}\r\n--{_BOUNDARY}--\r\n".encode()


def _asked(subject: str, request: urllib.request.Request, ca: Path | None) -> bytes:
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:
        raise Usage(f"S3BATCH_OPENSEARCH_CA {ca}", f"holds no certificates: {error}", "Name a file in PEM") from error
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _StayHere)
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
            return bytes(reply.read(MOST_REPLY_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            said = printable(" ".join(error.read(2_000).decode("utf-8", "replace").split()))[:500]
        hint = "Check the address, user and password, and that it is OpenSearch Dashboards"
        raise Transient(subject, f"refuses ({error.code}): {said or error.reason}", hint) from error
    except OSError as error:
        raise _away(subject, getattr(error, "reason", error)) from error


def _away(subject: str, reason: object) -> Transient:
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "Renew its certificate, or name the authority that signed it: S3BATCH_OPENSEARCH_CA"
        return Transient(subject, f"cannot be trusted: {reason}", hint)
    if isinstance(reason, ssl.SSLError) and reason.reason == NO_TLS:
        return no_tls(subject, reason)
    return Transient(subject, f"cannot be reached: {reason}", "Check that it runs and that the address is right")


def _imported(subject: str, reply: bytes) -> int:
    try:
        said = json.loads(reply)
        count, success, errors = said["successCount"], said["success"], said.get("errors", [])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Transient(subject, "gave an answer that is none of an import", "Check the address") from error
    if success is True and type(count) is int:
        return count
    hint = "An older Dashboards refuses objects that are newer than itself; bring it up to date"
    raise Permanent(subject, f"refuses {printable(json.dumps(errors))[:1000]}", hint)
