"""Documents sent many at a time, and every answer sorted: done, never, or later.

The cluster answers each document by itself inside one reply that calls itself a success, so each is looked at. Done: 2xx, and
409, which says that it is there already. Never: the document itself is wrong, which only an error about its mapping or its
values shows; it is set aside. Later: everything else, an operator's to mend or the load's to pass (429, 5xx, blocks, an index
that is closed, gone or shadowed by an alias).

A body that is refused as a whole is halved until the document at fault stands alone. What the cluster finds too much (413, 429)
makes the next bodies smaller, and each that it takes a little larger again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from s3batch.catalogue.cluster import ItemReply, Refused, Writes
from s3batch.catalogue.documents import Document
from s3batch.catalogue.index import Answer, Outcome
from s3sync.errors import Transient

DONE = Answer(Outcome.DONE)

_CREATED = range(200, 300)
_CONFLICT = 409
_BAD_REQUEST = 400
_TOO_LARGE = 413
_DOCUMENTS_FAULT = frozenset(
    {
        "document_parsing_exception",
        "illegal_argument_exception",
        "mapper_exception",
        "mapper_parsing_exception",
        "strict_dynamic_mapping_exception",
        "version_conflict_engine_exception",
    }
)
"""Item errors with status 400 that the document itself deserves (OpenSearch and Elasticsearch 7.10)."""
_NOT_ITS_FAULT = ("no write index is defined", "alias")
"""What `illegal_argument_exception` says where the index it names is an alias that cannot be written through."""


class BulkIndex:
    """An `Index` in a cluster. May be used from several threads."""

    def __init__(self, cluster: Writes) -> None:
        """Send to `cluster`."""
        self._cluster = cluster

    def create(self, documents: Sequence[Document]) -> list[Answer]:
        """See the contract."""
        if not documents:
            return []
        try:
            items = self._cluster.bulk("".join(f"{_action(document)}\n{document.source}\n" for document in documents))
        except Refused as refused:
            if refused.status in {_BAD_REQUEST, _TOO_LARGE}:
                return self._halved(documents, refused.wrong)
            raise
        if len(items) != len(documents):
            raise Transient("the index", "gave an answer that is none of a bulk request", "Check that it is OpenSearch")
        return [_answer(item) for item in items]

    def _halved(self, documents: Sequence[Document], reason: str) -> list[Answer]:
        if len(documents) == 1:
            return [Answer(Outcome.SET_ASIDE, reason)]
        middle = len(documents) // 2
        return self.create(documents[:middle]) + self.create(documents[middle:])


def _action(document: Document) -> str:
    return json.dumps({"create": {"_index": document.index, "_id": document.id}})


def _answer(item: ItemReply) -> Answer:
    """Sort one item of a bulk reply."""
    if item.status in _CREATED or item.status == _CONFLICT:
        return DONE
    if item.status == _TOO_LARGE or (item.status == _BAD_REQUEST and _is_the_documents_fault(item)):
        return Answer(Outcome.SET_ASIDE, item.reason)
    return Answer(Outcome.LATER, f"{item.status}: {item.reason}")


def _is_the_documents_fault(item: ItemReply) -> bool:
    return item.kind in _DOCUMENTS_FAULT and not any(words in item.reason for words in _NOT_ITS_FAULT)
