"""What is outside this host: the account, the buckets, and the search where there is one. Harmless questions only."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit, urlunsplit

from s3batch.operate.findings import Level, Looked
from s3sync.store import check
from s3sync.store.check import S3Probe
from s3sync.store.contract import StorageClass
from s3sync.values import show_url

SEARCH_TIMEOUT_SECONDS = 10
_NO_BUCKET = "Make the bucket, or correct the name of its folder in the drop zone"


def look_at_account(probe: S3Probe) -> Looked:
    """Ask who we are there. Raises nothing but what connecting raises."""
    found = probe.check_account()
    yield found.subject, Level.OK if found.ok else Level.ERROR, found.detail, found.hint


def look_at_bucket(probe: S3Probe, bucket: str, *, storage_class: StorageClass, restore: bool) -> Looked:
    """Ask one bucket."""
    return _as_looked(probe.check_bucket(bucket, storage_class=storage_class, restore=restore))


def _as_looked(findings: Iterable[check.Finding]) -> Looked:
    for found in findings:
        level = Level.WARNING if not found.ok else Level.NOTE if found.hint else Level.OK
        yield found.subject, level, found.detail, found.hint or (_NO_BUCKET if level is Level.WARNING else "")


def look_at_search(url: str) -> Looked:
    """Ask OpenSearch for its name. A refusal for want of rights still shows that somebody is there."""
    subject = f"OpenSearch {show_url(url)}"
    hint = "Archiving does not wait for it; look at its host, or correct S3BATCH_OPENSEARCH_URL"
    try:
        with urllib.request.urlopen(_request(url), timeout=SEARCH_TIMEOUT_SECONDS) as reply:  # noqa: S310 - settings take http(s) only
            said = json.load(reply).get("version", {})
    except urllib.error.HTTPError as error:
        with error:
            yield subject, Level.WARNING, f"answers {error.code} {error.reason}", "Check the name and password in the URL"
    except (OSError, ValueError) as error:
        yield subject, Level.WARNING, f"cannot be reached: {getattr(error, 'reason', error)}", hint
    else:
        kind, number = said.get("distribution", "elasticsearch"), said.get("number", "of unknown version")
        yield subject, Level.OK, f"{kind} {number}", ""


def _request(url: str) -> urllib.request.Request:
    parts = urlsplit(url)
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    request = urllib.request.Request(urlunsplit(place) + "/")  # noqa: S310 - as above
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_header("Authorization", "Basic " + base64.b64encode(pair).decode("ascii"))
    return request
