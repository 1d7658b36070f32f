"""The cluster that holds the fleet's index, on a wire. The only file that knows its client, imported when it is first needed.

`OpenSearchCluster` is all of `s3batch.catalogue.cluster`. The client's own helpers are not used: its bulk helpers retry only
some of what may pass and stop at the first document that never will. Of several hosts one is asked, and where it does not
answer the others in turn, each once; which of them is down is remembered for a while by the client.
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from s3batch.catalogue.cluster import NO_TLS, Hits, IndexFacts, ItemReply, Json, Refused, Server, no_tls, packed
from s3batch.catalogue.opensearch_replies import (
    as_number,
    as_object,
    hits_of,
    in_one_line,
    index_facts,
    item_reply,
    kind_of,
    only_template,
    reason_of,
)
from s3sync.errors import Failure, Permanent, Transient, Usage

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

TIMEOUT_SECONDS = 60.0

Sign = Callable[[str, str, bytes | str | None], dict[str, str]]

_CONNECTIONS = 4
"""Kept open to each host: as many as threads of ours use one cluster at once."""
_PACKED = {"content-encoding": "gzip"}
_BLOCKS = frozenset({"cluster_block_exception", "index_create_block_exception"})
"""What answers 403 and is no matter of rights: a disk too full, above all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a cluster is reached: its hosts, each with user and password in the URL where it wants them."""

    urls: Sequence[str]
    timeout_seconds: float = TIMEOUT_SECONDS
    ca: Path | None = None
    """Certificates that are trusted instead of this host's."""
    fingerprint: str | None = None
    """SHA-256, 64 hex digits, of the one certificate that is trusted; with `ca`, if that authority signed it."""
    sign: Sign | None = None
    """Signs requests where the cluster wants that: method, URL and body in, headers out."""


class OpenSearchCluster:
    """All of `Searches`, `Writes` and `Arranges`, at the hosts of one cluster."""

    def __init__(self, reach: Reach) -> None:
        """Ask nothing yet."""
        self.reach = reach
        self.subject = f"index {' '.join(_without_secrets(url) for url in reach.urls)}"
        """What failures call it; without secrets."""

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    @cached_property
    def _client(self) -> OpenSearch:
        from opensearchpy import OpenSearch  # noqa: PLC0415 - heavy, and often not needed

        logging.getLogger("opensearch").setLevel(logging.CRITICAL)  # what it warns of, such as any 404, is told by us
        return OpenSearch(
            hosts=list(self.reach.urls),
            ssl_context=_tls(self.reach),
            ssl_assert_fingerprint=self.reach.fingerprint,
            http_auth=self.reach.sign,
            timeout=self.reach.timeout_seconds,
            max_retries=len(self.reach.urls) - 1,
            retry_on_timeout=False,
            headers={"accept-encoding": "gzip,deflate"},
            pool_maxsize=_CONNECTIONS,
        )

    # Searches

    def server(self) -> Server:
        """See the contract."""
        return self._server

    @cached_property
    def _server(self) -> Server:
        version = as_object(self.ask("GET", "/").get("version"))
        if "number" not in version:
            raise self._not_understood("says no version")
        return Server(str(version.get("distribution", "elasticsearch")), str(version["number"]))

    def search(self, target: str, body: Json, *, pit: str | None = None) -> Hits:
        """See the contract."""
        whole = {"allow_partial_search_results": "false"}  # a shard that is away must not look like nothing found
        if pit is not None:
            return hits_of(self.ask("POST", "/_search", {**body, "pit": {"id": pit}}, **whole))
        lenient = {"ignore_unavailable": "true", "allow_no_indices": "true"}
        return hits_of(self.ask("POST", f"/{_path(target)}/_search", body, **whole, **lenient))

    @contextmanager
    def held(self, target: str, *, minutes: int = 5) -> Iterator[str | None]:
        """See the contract."""
        if not self.server().has_points_in_time:
            yield None
            return
        opened = self._or_none("POST", f"/{_path(target)}/_search/point_in_time", keep_alive=f"{minutes}m")
        pit = None if opened is None else str(opened["pit_id"])
        try:
            yield pit
        finally:
            if pit is not None:
                with suppress(Failure):  # it ends by itself
                    self.ask("DELETE", "/_search/point_in_time", {"pit_id": [pit]})

    def count(self, target: str, query: Json | None = None) -> int:
        """See the contract."""
        body: Json = {} if query is None else {"query": query}
        reply = self.ask("POST", f"/{_path(target)}/_count", body, ignore_unavailable="true", allow_no_indices="true")
        if as_number(as_object(reply.get("_shards")).get("failed")):
            raise Transient(self.subject, "counted a part of its documents only", "Check the health of its indices")
        return as_number(reply.get("count"))

    # Writes

    def bulk(self, body: str | bytes) -> list[ItemReply]:
        """See the contract."""
        items = self.ask("POST", "/_bulk", body, filter_path="items.*.status,items.*.error").get("items")
        if not isinstance(items, list):
            raise self._not_understood("gave an answer that is none of a bulk request")
        return [item_reply(item) for item in items]

    # Arranges

    def component_template(self, name: str) -> Json | None:
        """See the contract."""
        return self._template("component_template", name)

    def put_component_template(self, name: str, body: Json) -> None:
        """See the contract."""
        self.ask("PUT", f"/_component_template/{_path(name)}", body)

    def index_template(self, name: str) -> Json | None:
        """See the contract."""
        return self._template("index_template", name)

    def put_index_template(self, name: str, body: Json) -> None:
        """See the contract."""
        self.ask("PUT", f"/_index_template/{_path(name)}", body)

    def indices(self, pattern: str) -> list[IndexFacts]:
        """See the contract."""
        found = self._or_none("GET", f"/{_path(pattern)}", expand_wildcards="open,closed", allow_no_indices="true")
        return [index_facts(name, as_object(said)) for name, said in sorted((found or {}).items())]

    def create_index(self, name: str, body: Json | None = None) -> bool:
        """See the contract."""
        try:
            self.ask("PUT", f"/{_path(name)}", body or {})
        except Refused as refused:
            if refused.kind in {"resource_already_exists_exception", "invalid_index_name_exception"}:
                return False
            raise
        return True

    def delete_index(self, name: str) -> None:
        """See the contract."""
        if set(name) & set("*,"):
            raise ValueError(name)
        self._or_none("DELETE", f"/{_path(name)}")

    def put_mapping(self, target: str, properties: Json, meta: Json) -> None:
        """See the contract."""
        self._wrong_is_permanent("PUT", f"/{_path(target)}/_mapping", {"properties": properties, "_meta": meta})

    def update_aliases(self, actions: Sequence[Json]) -> None:
        """See the contract."""
        self._wrong_is_permanent("POST", "/_aliases", {"actions": list(actions)})

    def refresh(self, target: str) -> None:
        """See the contract."""
        self.ask("POST", f"/{_path(target)}/_refresh", ignore_unavailable="true")

    def settings(self, target: str, body: Json) -> None:
        """See the contract."""
        self._wrong_is_permanent("PUT", f"/{_path(target)}/_settings", body)

    # The wire

    def ask(self, method: str, path: str, body: Json | str | bytes | None = None, **query: str) -> Json:
        """Send one request and return the object it was answered with; bytes are `packed` already.

        Raises `Refused` and `Transient` only.
        """
        from opensearchpy.exceptions import OpenSearchException, SSLError, TransportError  # noqa: PLC0415 - as above

        try:
            headers = None if body is None else _PACKED
            reply = self._client.transport.perform_request(method, path, params=query, body=_packed(body), headers=headers)
        except SSLError as error:
            raise self._not_trusted(in_one_line(str(error.error))) from error
        except TransportError as error:
            if isinstance(error.info, Failure):  # signing failed, and says why
                raise error.info from None
            raise self._away(error.status_code, error.info) from error
        except OpenSearchException as error:
            raise self._not_understood(f"cannot be understood: {in_one_line(str(error))}") from error
        if not isinstance(reply, Mapping):
            raise self._not_understood("gave an answer that is no JSON object")
        return reply

    def _template(self, kind: str, name: str) -> Json | None:
        return only_template(self._or_none("GET", f"/_{kind}/{_path(name)}"), f"{kind}s", kind)

    def _or_none(self, method: str, path: str, body: Json | None = None, **query: str) -> Json | None:
        try:
            return self.ask(method, path, body, **query)
        except Refused as refused:
            if refused.status == 404:  # noqa: PLR2004
                return None
            raise

    def _wrong_is_permanent(self, method: str, path: str, body: Json) -> None:
        try:
            self.ask(method, path, body)
        except Refused as refused:
            if refused.status == 400:  # noqa: PLR2004
                raise Permanent(refused.subject, refused.wrong, refused.hint) from refused
            raise

    def _away(self, status: int | str, info: object) -> Transient:
        reason = reason_of(info)
        if not isinstance(status, int):
            return Transient(self.subject, f"cannot be reached: {reason}", "Check that it runs and that the address is right")
        kind = kind_of(info)
        if status in {401, 403} and kind not in _BLOCKS:
            wrong, hint = f"refuses us ({status}): {reason}", "Check user, password and rights"
        else:
            wrong, hint = f"cannot take it now ({status}): {reason}", "Wait; it is tried again by itself"
        return Refused(self.subject, wrong, hint, status=status, kind=kind)

    def _not_trusted(self, reason: str) -> Transient:
        if NO_TLS in reason:
            return no_tls(self.subject, reason)
        hint = "Renew its certificate, or name its authority or fingerprint: S3BATCH_OPENSEARCH_CA, _FINGERPRINT"
        return Transient(self.subject, f"cannot be trusted: {reason}", hint)

    def _not_understood(self, wrong: str) -> Transient:
        return Transient(self.subject, wrong, "Check that it is OpenSearch")


def _tls(reach: Reach) -> ssl.SSLContext:
    """Return how certificates are judged. Raises `Usage` where the file of authorities is none."""
    try:
        context = ssl.create_default_context(cafile=None if reach.ca is None else str(reach.ca))
    except (OSError, ssl.SSLError) as error:
        wrong = f"holds no certificates that can be read: {error.strerror or error}"
        raise Usage(f"S3BATCH_OPENSEARCH_CA {reach.ca}", wrong, "Name a file of certificates in PEM") from error
    if reach.fingerprint is not None and reach.ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the one certificate is compared instead
    return context


def _packed(body: Json | str | bytes | None) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return packed(body if isinstance(body, str) else json.dumps(body))


def _path(name: str) -> str:
    return quote(name, safe="*,")


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
