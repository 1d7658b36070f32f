"""`python -m tests.bench.search`: what each way to lay out a key costs on a real OpenSearch, in bytes a document and in time.

Every question is asked of the same documents in every way it can be asked, newest first, as `find` asks. Quoted are medians.
Sizes are those of a smaller index that has one way only, merged into one segment. What was chosen is in docs/opensearch.md.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from s3batch.catalogue import template
from s3batch.catalogue.bulks import BulkIndex
from s3batch.catalogue.contract import Entry
from s3batch.catalogue.documents import Document, bulks
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.model import Member
from s3sync.output import Output
from tests.catalogue.examples import documents_of, record
from tests.live.fetch import cache_folder
from tests.live.opensearch import SECOND, Node

DOCUMENTS, SAMPLE, MEMBERS = 500_000, 30_000, 1_000
RUNS = 9
STATS_SECONDS = 11
"""A node remembers for ten seconds how large an index is."""
WORDS = (
    *("invoice", "report", "contract", "photo", "scan", "backup", "export", "ledger"),
    *("drawing", "survey", "minutes", "draft", "final", "signed", "copy"),
)
EXTENSIONS = (".pdf", ".jpg", ".tif", ".csv", ".tar.gz", ".xml", ".docx", ".mp4")
NEWEST = [{"archived_at": "desc"}, {"bucket.keyword": "asc"}, {"archive": "asc"}, {"offset": "asc"}]

Change = Callable[[dict[str, object]], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search", description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--sample", type=int, default=SAMPLE, help="documents of the indices that are only weighed")
    args = parser.parse_args()
    output = Output(as_json=False)
    with (
        tempfile.TemporaryDirectory(prefix="s3batch-bench-") as folder,
        node_running(Path(folder)) as cluster,
    ):
        _ask(cluster, args.documents, output)
        _weigh(cluster, args.sample, output)


@contextmanager
def node_running(folder: Path) -> Iterator[OpenSearchCluster]:
    """Run a node for the length of the block; yield a client of ours."""
    with long_node(folder) as node:
        cluster = node.cluster(timeout_seconds=300)
        try:
            yield cluster
        finally:
            cluster.close()


@contextmanager
def long_node(folder: Path) -> Iterator[Node]:
    """Run a node for the length of the block, compiled as for long work."""
    node = Node(SECOND.get(cache_folder(os.environ)), SECOND, folder, compiler=())
    node.start()
    try:
        yield node
    finally:
        node.kill()


def some_member(number: int, count: int) -> list[Member]:
    """Return the members of an archive."""
    chance = random.Random(number)
    return [_member(chance, number, ordinal) for ordinal in range(count)]


def documents(count: int, index: str) -> Iterator[Document]:
    """Make documents of archives of `MEMBERS` files, two archives an hour."""
    chance = random.Random(5)
    for number in range(count // MEMBERS):
        archive = record(f"20260301T{number:06}-3fa9c2d1", MEMBERS, day=number / 48)
        for ordinal in range(MEMBERS):
            made = documents_of(Entry(_member(chance, number, ordinal), archive), ordinal)
            yield Document(index, made.id, made.source)


def _member(chance: random.Random, number: int, ordinal: int) -> Member:
    words = "-".join(chance.sample(WORDS, 3))
    name = f"{words}_{chance.randrange(10**7):07}{chance.choice(EXTENSIONS)}"
    if ordinal == 0 and number % 100 == 0:
        name = f"Zanzibar-{name}"
    key = f"customer-{number % 40:03}/2026/{1 + number % 12:02}/{1 + number % 28:02}/{name}".encode()
    return Member(
        key=key,
        offset=512 + ordinal * 5_120,
        size=chance.randrange(4_096),
        sha256=hashlib.sha256(key).hexdigest(),
        mtime_ns=1_700_000_000_000_000_000 + chance.randrange(10**15) * 1_000,
        mode=0o644,
        uid=1000,
        gid=100,
        user="alice",
        group="users",
    )


def _weigh(cluster: OpenSearchCluster, count: int, output: Output) -> None:
    """Print how many bytes a document takes with and without each field."""
    body = template.index_body(wildcard=True)
    layouts: dict[str, Change] = {
        "as it is": lambda _key: None,
        "without key.folded": lambda key: _drop(key, "folded"),
        "key.folded a keyword": lambda key: _fields(key)["folded"].update(type="keyword"),
        "key.folded trigrams": _trigrams,
        "without key.words": lambda key: _drop(key, "words"),
        "without key.tree": lambda key: _drop(key, "tree"),
    }
    rows = []
    whole = 0.0
    for name, change in layouts.items():
        made = _with_grams(body)
        change(_properties(made)["key"])
        rate, size = _filled(cluster, "weighed", made, count)
        whole = whole or size
        rows.append((name, f"{size:.0f}", f"{size - whole:+.0f}", f"{rate:,.0f}"))
        cluster.delete_index("weighed")
    output.table(rows, ("LAYOUT", "BYTES A DOCUMENT", "DIFFERENCE", "DOCUMENTS A SECOND"))


def _ask(cluster: OpenSearchCluster, count: int, output: Output) -> None:
    """Print how long each question takes in each way."""
    body = _with_grams(template.index_body(wildcard=True))
    key = _properties(body)["key"]
    _fields(key).update(_GRAMS)
    _fields(key)["lower"] = {"type": "keyword", "normalizer": template.FOLDED, "ignore_above": template.MOST_KEYWORD}
    rate, size = _filled(cluster, "asked", body, count)
    output.text(f"{count:,} documents, {size:.0f} bytes each with every way to ask, {rate:,.0f} a second")
    some = next(documents(MEMBERS, "asked"))
    exact = json.loads(some.source)["key"]
    rows = []
    for question, way, query in _questions(exact):
        rows += [(question, way, *_timed(cluster, query, total=total)) for total in (False, True)]
    output.table(rows, ("QUESTION", "WAY", "HITS", "MS"))
    output.text()


def _questions(exact: str) -> Iterator[tuple[str, str, dict[str, object]]]:
    yield "exact key", "term key", {"term": {"key": exact}}
    for question, part in (("part, rare", "nziba"), ("part, common", "invoi"), ("part, some", "_00123")):
        yield question, "wildcard on key (keyword)", {"wildcard": {"key": {"value": f"*{part}*", "case_insensitive": True}}}
        yield question, "wildcard on folded (keyword)", {"wildcard": {"key.lower": f"*{part}*"}}
        yield question, "wildcard on folded (wildcard)", {"wildcard": {"key.folded": f"*{part}*"}}
        yield question, "phrase of trigrams", {"match_phrase": {"key.grams": part}}
        yield question, "all trigrams, to be checked", {"match": {"key.grams": {"query": part, "operator": "and"}}}
    yield "several words", "key.words", {"match": {"key.words": {"query": "invoice signed ledger", "operator": "and"}}}
    parts = [{"wildcard": {"key.folded": f"*{word}*"}} for word in ("invoice", "signed", "ledger")]
    yield "several words", "three wildcards on folded (wildcard)", {"bool": {"filter": parts}}
    parts = [{"wildcard": {"key.lower": f"*{word}*"}} for word in ("invoice", "signed", "ledger")]
    yield "several words", "three wildcards on folded (keyword)", {"bool": {"filter": parts}}
    yield "below a folder", "term key.tree", {"term": {"key.tree": "customer-007/2026"}}
    yield "below a folder", "prefix key", {"prefix": {"key": "customer-007/2026/"}}
    yield "by date", "range archived_at", {"range": {"archived_at": {"gte": "2026-03-05", "lt": "2026-03-06"}}}
    yield "by extension", "term .keyword", {"term": {"archive_content_extension.keyword": ".pdf"}}
    yield "newest first", "all", {"match_all": {}}


def _timed(cluster: OpenSearchCluster, query: dict[str, object], *, total: bool) -> tuple[str, str]:
    """Return hits and milliseconds of the first page."""
    body: dict[str, object] = {"query": query, "size": 100, "sort": NEWEST, "track_total_hits": total}
    found = cluster.search("asked", body)
    took = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        cluster.search("asked", body)
        took.append((time.perf_counter() - begun) * 1_000)
    hits = f"{found.total:,}" if found.total is not None else f"{len(found.hits)}+"
    return hits, f"{statistics.median(took):.0f}"


def _filled(cluster: OpenSearchCluster, name: str, body: dict[str, object], count: int) -> tuple[float, float]:
    """Fill an index and return documents a second and bytes a document."""
    cluster.create_index(name, {key: value for key, value in body.items() if key != "aliases"})
    index = BulkIndex(cluster)
    spent = 0.0
    for bulk in bulks(documents(count, name)):
        sending = time.perf_counter()
        index.create(bulk)
        spent += time.perf_counter() - sending
    cluster.ask("POST", f"/{name}/_forcemerge", max_num_segments="1", flush="true")
    cluster.refresh(name)
    time.sleep(STATS_SECONDS)
    stats = cluster.ask("GET", f"/{name}/_stats/store")
    primaries: dict[str, dict[str, dict[str, int]]] = stats["_all"]  # type: ignore[assignment]
    return count / spent, primaries["primaries"]["store"]["size_in_bytes"] / count


_GRAMS: dict[str, dict[str, object]] = {
    "grams": {"type": "text", "analyzer": "grams", "norms": False},
}


def _with_grams(body: dict[str, object]) -> dict[str, object]:
    """Return a body of an index that knows trigrams too."""
    made = copy.deepcopy(body)
    analysis: dict[str, dict[str, object]] = made["settings"]["index"]["analysis"]  # type: ignore[index]
    analysis["tokenizer"]["grams"] = {"type": "ngram", "min_gram": 3, "max_gram": 3}
    analysis["analyzer"]["grams"] = {"type": "custom", "tokenizer": "grams", "filter": ["lowercase"]}
    return made


def _properties(body: dict[str, object]) -> dict[str, dict[str, object]]:
    return body["mappings"]["properties"]  # type: ignore[index,no-any-return]


def _fields(key: dict[str, object]) -> dict[str, dict[str, object]]:
    return key["fields"]  # type: ignore[return-value]


def _trigrams(key: dict[str, object]) -> None:
    _drop(key, "folded")
    _fields(key).update(_GRAMS)


def _drop(key: dict[str, object], name: str) -> None:
    del _fields(key)[name]


if __name__ == "__main__":
    main()
