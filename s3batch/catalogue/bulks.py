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

from s3batch.catalogue.cluster import ItemReply, Refused, Writes, packed
from s3batch.catalogue.documents import MOST_BYTES, Document, bulks
from s3batch.catalogue.index import Answer, Outcome, Prepared
from s3sync.errors import Transient

DONE = Answer(Outcome.DONE)
LEAST_BYTES = 64 << 10
"""Bodies are not made smaller than this."""

_CREATED = range(200, 300)
_CONFLICT = 409
_BAD_REQUEST = 400
_TOO_LARGE = 413
_TOO_MUCH = 429
_DOCUMENTS_FAULT = frozenset(
    {
        "document_parsing_exception",
        "illegal_argument_exception",
        "mapper_exception",
        "mapper_parsing_exception",
        "strict_dynamic_mapping_exception",
    }
)
"""Item errors with status 400 that the document itself deserves (OpenSearch and Elasticsearch 7.10)."""
_NOT_ITS_FAULT = ("write index", "alias", "Document ID is not supported")
"""What `illegal_argument_exception` says where an alias of that name cannot be written through, and where the index is a
time-series collection, which takes no ids."""


class BulkIndex:
    """Sends documents to a cluster. May be used from several threads: what is too much for one is too much for all."""

    def __init__(self, cluster: Writes) -> None:
        """Send to `cluster`."""
        self._cluster = cluster
        self.most_bytes = MOST_BYTES
        """What a body may hold now."""

    def create(self, documents: Sequence[Document]) -> list[Answer]:
        """Return an answer for each; after the first that has to wait, nothing more is sent. Raises what the cluster raises."""
        answers: list[Answer] = []
        while len(answers) < len(documents):
            piece = next(bulks(documents[len(answers) :], most_bytes=self.most_bytes))
            answers += self._sent(self.prepared(piece))
            waits = next((one for one in answers if one.outcome is Outcome.LATER), None)
            if waits is not None:
                return answers + [waits] * (len(documents) - len(answers))
        return answers

    def prepared(self, documents: Sequence[Document]) -> Prepared:
        """Return what `send` takes, made ahead of it."""
        body = self.body(documents)
        return Prepared(documents, packed(body), len(body))

    def send(self, prepared: Prepared) -> list[Answer]:
        """Do the same as `create`; a body that has become too large meanwhile is made anew, smaller."""
        return self.create(prepared.documents) if prepared.size > self.most_bytes else self._sent(prepared)

    @staticmethod
    def body(piece: Sequence[Document]) -> str:
        """Return the body that creates these documents."""
        return "".join(f"{_action(document)}\n{document.source}\n" for document in piece)

    def _sent(self, piece: Prepared) -> list[Answer]:
        try:
            items = self._cluster.bulk(piece.body)
        except Refused as refused:
            return self._refused(piece.documents, refused)
        if len(items) != len(piece.documents):
            raise Transient("the index", "gave an answer that is none of a bulk request", "Check that it is OpenSearch")
        if any(item.status == _TOO_MUCH for item in items):
            self._shrink()
        else:
            self.most_bytes = min(MOST_BYTES, self.most_bytes + self.most_bytes // 4)
        return [_answer(item) for item in items]

    def _refused(self, piece: Sequence[Document], refused: Refused) -> list[Answer]:
        if refused.status in {_TOO_LARGE, _TOO_MUCH}:
            self._shrink()
        if refused.status not in {_BAD_REQUEST, _TOO_LARGE}:
            raise refused
        if len(piece) == 1:
            return [Answer(Outcome.SET_ASIDE, refused.wrong)]
        middle = len(piece) // 2
        return self._sent(self.prepared(piece[:middle])) + self._sent(self.prepared(piece[middle:]))

    def _shrink(self) -> None:
        self.most_bytes = max(LEAST_BYTES, self.most_bytes // 2)


def _action(document: Document) -> str:
    return f'{{"create":{{"_index":{json.dumps(document.index)},"_id":"{document.id}"}}}}'


def _answer(item: ItemReply) -> Answer:
    """Sort one item of a bulk reply."""
    if item.status in _CREATED or item.status == _CONFLICT:
        return DONE
    if item.status == _TOO_LARGE or (item.status == _BAD_REQUEST and _is_the_documents_fault(item)):
        return Answer(Outcome.SET_ASIDE, item.reason)
    return Answer(Outcome.LATER, f"{item.status}: {item.reason}")


def _is_the_documents_fault(item: ItemReply) -> bool:
    return item.kind in _DOCUMENTS_FAULT and not any(words in item.reason for words in _NOT_ITS_FAULT)
