"""What an answer to one document means, in the servers' own words."""

from __future__ import annotations

import gzip

import pytest

from s3batch.catalogue.bulks import BulkIndex
from s3batch.catalogue.cluster import ItemReply
from s3batch.catalogue.documents import Document
from s3batch.catalogue.index import Outcome

DONE, LATER, SET_ASIDE = Outcome.DONE, Outcome.LATER, Outcome.SET_ASIDE


class Answering:
    """A cluster that gives one answer to every document."""

    def __init__(self, reply: ItemReply) -> None:
        """Give `reply`."""
        self._reply = reply
        self.bodies: list[str] = []

    def bulk(self, body: str | bytes) -> list[ItemReply]:
        text = gzip.decompress(body).decode() if isinstance(body, bytes) else body
        self.bodies.append(text)
        return [self._reply] * (text.count("\n") // 2)


@pytest.mark.parametrize(
    ("status", "kind", "reason", "expected"),
    [
        (200, "", "", DONE),
        (201, "", "", DONE),
        (409, "version_conflict_engine_exception", "[1]: version conflict, document already exists", DONE),
        (400, "mapper_parsing_exception", "failed to parse field [mtime] of type [date]", SET_ASIDE),
        (400, "strict_dynamic_mapping_exception", "mapping set to strict, dynamic introduction of [odd]", SET_ASIDE),
        (400, "illegal_argument_exception", "Document contains at least one immense term in field", SET_ASIDE),
        (413, "", "", SET_ASIDE),
        (400, "illegal_argument_exception", "no write index is defined for alias [s3-batch-2026.11].", LATER),
        (400, "illegal_argument_exception", "Document ID is not supported in create/index operation request", LATER),
        (400, "index_closed_exception", "closed", LATER),
        (400, "validation_exception", "this action would add [2] total shards", LATER),
        (404, "index_not_found_exception", "no such index and [action.auto_create_index] is [false]", LATER),
        (403, "cluster_block_exception", "index blocked by: [FORBIDDEN/12/index read-only / allow delete (api)]", LATER),
        (403, "security_exception", "no permissions for [indices:data/write/bulk[s]]", LATER),
        (429, "rejected_execution_exception", "rejected execution", LATER),
        (429, "circuit_breaking_exception", "Data too large", LATER),
        (503, "unavailable_shards_exception", "primary shard is not active", LATER),
        (0, "", "an answer without a status", LATER),
    ],
)
def test_what_an_answer_means(status: int, kind: str, reason: str, expected: Outcome) -> None:
    """Only what the document itself deserves sets it aside; what somebody can mend waits."""
    cluster = Answering(ItemReply(status, kind, reason))

    (answer,) = BulkIndex(cluster).create([Document("index", "id", "{}")])

    assert expected is answer.outcome
    assert reason in answer.reason or expected is DONE


def test_nothing_more_is_sent_after_one_that_has_to_wait() -> None:
    """What was not sent waits as well, for the same reason; bodies are smaller the next time."""
    cluster = Answering(ItemReply(429, "rejected_execution_exception", "busy"))
    index = BulkIndex(cluster)
    before = index.most_bytes

    answers = index.create([Document("index", str(number), "x" * 3_000_000) for number in range(4)])

    assert ([LATER] * 4, 1) == ([answer.outcome for answer in answers], len(cluster.bodies))
    assert before // 2 == index.most_bytes
