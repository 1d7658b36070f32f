"""How settings say that a cluster is reached: its hosts, whom to trust, and whether requests are signed."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from s3batch.catalogue.opensearch import Reach, Sign
from s3batch.settings import Settings

_SERVICE = re.compile(r"\.([a-z0-9-]+)\.(es|aoss)\.amazonaws\.com(\.cn)?$")
"""Names of Amazon OpenSearch Service: `search-name-id.region.es.amazonaws.com`; Serverless: `id.region.aoss.amazonaws.com`."""


def reach_of(settings: Settings, signing: Callable[[str, str], Sign]) -> Reach | None:
    """Return how the configured cluster is reached, None where none is. `signing` takes a service and a region."""
    if settings.opensearch_url is None:
        return None
    first = urlsplit(settings.opensearch_url[0])
    named = _SERVICE.search(first.hostname or "")
    region = settings.opensearch_aws_region or (named[1] if named and not first.username else None)
    return Reach(
        urls=settings.opensearch_url,
        ca=settings.opensearch_ca,
        fingerprint=settings.opensearch_fingerprint,
        sign=None if region is None else signing(named[2] if named else "es", region),
    )
