"""A small OpenSearch on loopback that takes bulk requests as strictly as the real one and remembers every document.

Knows `create` only: a second document of the same id is a conflict. Indices have what they were made with, and nothing is
checked against it: for that there is the real one. Faults are functions a test sets: `before` may answer a
request instead of the server, `judge` may refuse a single document.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.doubles.http_server import Asked, HttpServer, Reply, answering

MAX_BODY_BYTES = 10 << 20


@dataclass
class OpenSearchServer:
    """The server's state; `documents` is by index and id."""

    endpoint: str = ""
    documents: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    bulks: list[int] = field(default_factory=list)
    """How many documents each bulk that was taken had."""
    before: Callable[[Asked], Reply | None] = lambda _asked: None
    after: Callable[[Reply], Reply] = lambda reply: reply
    """May lose or change an answer when the documents are already in."""
    judge: Callable[[Mapping[str, Any]], tuple[int, str] | None] = lambda _source: None
    """Status and error type for a document that is not taken."""
    indices: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each was made with, and its uuid."""
    http: HttpServer | None = None

    @property
    def requests(self) -> list[Asked]:
        """Every request so far."""
        return [] if self.http is None else self.http.asked

    def answer(self, asked: Asked) -> Reply:
        """Answer one request."""
        instead = self.before(asked)
        if instead is not None:
            return instead
        if (asked.method, asked.path) != ("POST", "/_bulk"):
            return self._arranged(asked)
        body = _unpacked(asked)
        if len(body) > MAX_BODY_BYTES:
            return error(413, "content_too_large")
        try:
            pairs = _pairs(body)
        except ValueError as wrong:
            return error(400, "illegal_argument_exception", str(wrong))
        self.bulks.append(len(pairs))
        items = [{"create": self._create(action, source)} for action, source in pairs]
        failed = any(item["create"]["status"] >= 300 for item in items)
        return self.after(_json(200, {"took": 1, "errors": failed, "items": items}))

    def delete(self, index: str) -> None:
        """Delete an index with all its documents."""
        del self.indices[index]
        self.documents = {place: source for place, source in self.documents.items() if place[0] != index}

    def _arranged(self, asked: Asked) -> Reply:
        """Answer what is no bulk."""
        name = asked.path.removeprefix("/")
        match asked.method, name:
            case "GET", "":
                return _json(200, {"version": {"distribution": "opensearch", "number": "2.19.6"}})
            case "PUT", _ if name.startswith(("_component_template/", "_index_template/")):
                return _json(200, {"acknowledged": True})
            case "POST", "_aliases":
                return _json(200, {"acknowledged": True})
            case "PUT", _ if name in self.indices:
                return error(400, "resource_already_exists_exception")
            case "PUT", _:
                self._made += 1
                made = json.loads(_unpacked(asked)) | {"settings": {"index": {"uuid": f"uuid-{self._made}"}}}
                self.indices[name] = made
                return _json(200, {"acknowledged": True})
            case "GET", _:
                pattern = name.replace("%2A", "*")
                found = {
                    index: made
                    for index, made in self.indices.items()
                    if fnmatchcase(index, pattern) or pattern in made.get("aliases", {})
                }
                return _json(200, found) if found or "*" in pattern else error(404, "index_not_found_exception")
        return error(405, "method_not_allowed")

    _made: int = 0

    def _create(self, action: Mapping[str, str], source: dict[str, Any]) -> dict[str, Any]:
        place = (action["_index"], action["_id"])
        refused = self.judge(source)
        if refused is not None:
            status, kind = refused
            return {"status": status, "error": {"type": kind, "reason": "because\nof the test"}}
        if place in self.documents:
            return {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "it exists"}}
        self.documents[place] = source
        return {"status": 201, "result": "created"}


def error(status: int, kind: str, reason: str = "because") -> Reply:
    """Return an error as OpenSearch words it."""
    return _json(status, {"error": {"type": kind, "reason": reason}, "status": status})


@contextmanager
def opensearch() -> Iterator[OpenSearchServer]:
    """Serve as long as the block."""
    server = OpenSearchServer()
    with answering(server.answer) as http:
        server.http = http
        server.endpoint = http.endpoint
        yield server


def _unpacked(asked: Asked) -> bytes:
    return gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body


def _json(status: int, body: object) -> Reply:
    return Reply(status=status, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


def _pairs(body: bytes) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Return the actions and documents of a bulk body. Raises `ValueError` where it is not strictly NDJSON."""
    text = body.decode("utf-8")
    if not text.endswith("\n"):
        raise ValueError("the bulk request must be terminated by a newline")
    lines = text[:-1].split("\n")
    if len(lines) % 2:
        raise ValueError("an action without its document")
    pairs = []
    for action_line, source_line in zip(lines[::2], lines[1::2], strict=True):
        action, source = json.loads(action_line), json.loads(source_line)
        if list(action) != ["create"] or set(action["create"]) != {"_index", "_id"} or not isinstance(source, dict):
            raise ValueError(f"malformed action {action_line}")
        if len(action["create"]["_id"].encode()) > 512:
            raise ValueError("id is too long")
        pairs.append((action["create"], source))
    return pairs
