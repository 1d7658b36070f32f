"""The fleet's index in OpenSearch. The only file that knows its client, which is imported when an index is first made.

Bulk replies are sorted here and not by the client's helpers, which retry only some of what may pass and stop at the first
document that never will. Retrying is the outbox's; one call here is one attempt (a body refused as too large or as a whole is
halved until the document at fault stands alone).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from s3batch.catalogue.documents import Document
from s3batch.catalogue.index import Answer, Outcome
from s3sync.errors import Transient

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

TIMEOUT_SECONDS = 60.0
DONE = Answer(Outcome.DONE)

_CREATED = range(200, 300)
_CONFLICT = 409
_BAD_REQUEST = 400
_TOO_LARGE = 413
_NOT_THE_DOCUMENTS_FAULT = frozenset({"index_closed_exception", "validation_exception", "invalid_index_name_exception"})
"""Item errors with status 400 that an operator mends, such as a cluster that has no shard left to give."""
_MOST_REASON = 500


class OpenSearchIndex:
    """An `Index` at one URL. May be used from several threads."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Talk to `url`, whose user and password, if any, stand in it. Nothing is asked yet."""
        self._client = _client(url, timeout_seconds)
        self._subject = f"index {_without_secrets(url)}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create(self, documents: Sequence[Document]) -> list[Answer]:
        """See the contract."""
        if not documents:
            return []
        status, reply = self._post("/_bulk", _body(documents))
        if status in {_BAD_REQUEST, _TOO_LARGE}:
            return self._halved(documents, _reason(reply))
        items = reply.get("items") if isinstance(reply, Mapping) else None
        if not isinstance(items, list) or len(items) != len(documents):
            raise Transient(self._subject, "gave an answer that is none of a bulk request", "Check that it is OpenSearch")
        return [_answer(item) for item in items]

    def _halved(self, documents: Sequence[Document], reason: str) -> list[Answer]:
        if len(documents) == 1:
            return [Answer(Outcome.SET_ASIDE, reason)]
        middle = len(documents) // 2
        return self.create(documents[:middle]) + self.create(documents[middle:])

    def _post(self, path: str, body: str) -> tuple[int, Any]:
        """Send `body` and return the status and what was answered. Raises `Transient` for all but 2xx, 400 and 413."""
        from opensearchpy.exceptions import OpenSearchException, TransportError  # noqa: PLC0415 - heavy, and often not needed

        try:
            return 200, self._client.transport.perform_request("POST", path, body=body)
        except TransportError as error:
            if error.status_code in {_BAD_REQUEST, _TOO_LARGE}:
                return int(error.status_code), error.info
            raise self._away(error.status_code, _reason(error.info)) from error
        except OpenSearchException as error:
            raise Transient(self._subject, f"cannot be understood: {error}", "Check that it is OpenSearch") from error

    def _away(self, status: int | str, reason: str) -> Transient:
        if status in {401, 403}:
            return Transient(self._subject, f"refuses us ({status}): {reason}", "Check user, password and rights")
        if isinstance(status, int):
            return Transient(
                self._subject, f"cannot take anything now ({status}): {reason}", "Wait; it is tried again by itself"
            )
        return Transient(self._subject, f"cannot be reached: {reason}", "Check that it runs and that the address is right")


def _client(url: str, timeout_seconds: float) -> OpenSearch:
    from opensearchpy import OpenSearch  # noqa: PLC0415 - heavy, and often not needed

    return OpenSearch(hosts=[url], timeout=timeout_seconds, max_retries=0, retry_on_timeout=False, http_compress=True)


def _body(documents: Sequence[Document]) -> str:
    return "".join(f"{_action(document)}\n{document.source}\n" for document in documents)


def _action(document: Document) -> str:
    return json.dumps({"create": {"_index": document.index, "_id": document.id}})


def _answer(item: object) -> Answer:
    """Sort one item of a bulk reply (OpenSearch, Bulk API)."""
    result = item.get("create") if isinstance(item, Mapping) else None
    status = result.get("status") if isinstance(result, Mapping) else None
    if not isinstance(result, Mapping) or not isinstance(status, int):
        return Answer(Outcome.LATER, "an item without a status")
    if status in _CREATED or status == _CONFLICT:
        return DONE
    reason = _reason(result)
    if status in {_BAD_REQUEST, _TOO_LARGE} and _type(result) not in _NOT_THE_DOCUMENTS_FAULT:
        return Answer(Outcome.SET_ASIDE, reason)
    return Answer(Outcome.LATER, f"{status}: {reason}")


def _type(result: Mapping[str, object]) -> object:
    error = result.get("error")
    return error.get("type") if isinstance(error, Mapping) else None


def _reason(reply: object) -> str:
    """Return the words of an error, wherever this server puts them, in one line."""
    error = reply.get("error", reply) if isinstance(reply, Mapping) else reply
    if not isinstance(error, Mapping):
        return _line(str(error or "no reason given"))
    cause = error.get("caused_by")
    deeper = f" ({_reason(cause)})" if isinstance(cause, Mapping) else ""
    return _line(f"{error.get('type', 'error')}: {error.get('reason', 'no reason given')}{deeper}")


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST_REASON]


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
