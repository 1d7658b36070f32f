"""What we ask of the cluster that holds the fleet's index, in narrow pieces, and the types its answers become.

Who searches asks for `Searches`, the outbox for `Writes`, whoever arranges indices for `Arranges`; the one class that has all
three on a wire is `s3batch.catalogue.opensearch.OpenSearchCluster`. May be used from several threads.

Failures, everywhere: `Refused` (a `Transient` with a status) where the cluster answered and will not do it now or for us: no
rights, too busy, blocked; `Transient` where it cannot be reached or understood; `Permanent` where it says that the request
itself is wrong (400). What is not there (404) is None, or nothing to do, where a method says so, and else `Refused`. Nothing is
tried twice here: one call is one attempt, at one host after the other where there are several and one does not answer.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from s3sync.errors import Transient

Json = Mapping[str, object]


NO_TLS = "WRONG_VERSION_NUMBER"
"""What OpenSSL calls an answer that is none of TLS, as plain http is."""


def no_tls(subject: str, reason: object) -> Transient:
    """Return what is told of a server that answered so."""
    return Transient(subject, f"does not speak TLS: {reason}", "Write http:// in its URL, if that is meant")


def packed(body: str) -> bytes:
    """Return a body as it is sent: gzip at its lowest level, which takes a seventh of the room for a quarter of the time."""
    return gzip.compress(body.encode(), 1, mtime=0)


class Refused(Transient):
    """The cluster answered, and will not."""

    def __init__(self, subject: str, wrong: str, hint: str = "", *, status: int, kind: str) -> None:
        """`status` is HTTP's; `kind` the cluster's word for it, such as `cluster_block_exception`."""
        super().__init__(subject, wrong, hint)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Server:
    """Who answers there."""

    distribution: str
    """`opensearch`, or `elasticsearch` where the server names none."""
    number: str
    """Its version as it says it, such as `2.19.6`."""

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version; (0, 0) where what it says is none."""
        major, _, rest = self.number.partition(".")
        minor = rest.partition(".")[0]
        return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)

    @property
    def is_opensearch(self) -> bool:
        """Tell it from Elasticsearch, whose numbers mean something else."""
        return self.distribution == "opensearch"

    @property
    def has_wildcard_fields(self) -> bool:
        """Whether a field may be of the type `wildcard` (OpenSearch 2.15 and later)."""
        return self.is_opensearch and self.version >= (2, 15)

    @property
    def has_points_in_time(self) -> bool:
        """Whether a search can be held still while it is paged through (OpenSearch 2.4 and later)."""
        return self.is_opensearch and self.version >= (2, 4)


@dataclass(frozen=True, slots=True)
class Hit:
    """One document that was found. `sort` is what `search_after` of the next page takes."""

    index: str
    id: str
    source: Json
    sort: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Hits:
    """One page."""

    hits: tuple[Hit, ...]
    total: int | None
    """How many there are; None where nobody asked (`track_total_hits`: false) or it is only a lower bound."""
    aggregations: Json


@dataclass(frozen=True, slots=True)
class ItemReply:
    """What a bulk answered about one document."""

    status: int
    kind: str
    """The cluster's word for what is wrong; empty where nothing is."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFacts:
    """One index as it stands."""

    name: str
    uuid: str
    """Another one after it was deleted and made again."""
    aliases: frozenset[str]
    meta: Json
    """`_meta` of its mapping."""
    properties: Json
    """Its fields, as their mapping says them."""
    strict: bool
    """Whether it refuses unknown fields."""


class Searches(Protocol):
    """Looks documents up. `target` is an index, an alias or a pattern."""

    def server(self) -> Server:
        """Return who answers; asked once and remembered."""

    def search(self, target: str, body: Json, *, pit: str | None = None) -> Hits:
        """Return one page of `_search`; with `pit`, of that point in time (`target` says the same and is not sent).

        A target that does not exist is an empty page. Raises as the module says.
        """

    def held(self, target: str, *, minutes: int = 5) -> AbstractContextManager[str | None]:
        """Hold a search still: yields a point in time, given back at the end; None where this server has none.

        Without one, page by `search_after` all the same: documents are only ever added.
        """

    def count(self, target: str, query: Json | None = None) -> int:
        """Return how many documents match; 0 for a target that does not exist."""


class Writes(Protocol):
    """Takes documents."""

    def bulk(self, body: str | bytes) -> list[ItemReply]:
        """Send a body of actions (bytes: as `packed` made them), one reply for each in order. Never forces a refresh.

        Raises `Refused` with status 400 or 413 where the body was refused as a whole, and else as the module says; some of it
        may have arrived.
        """


class Arranges(Protocol):
    """Arranges templates, indices and aliases."""

    def server(self) -> Server:
        """Return who answers; asked once and remembered."""

    def component_template(self, name: str) -> Json | None:
        """Return the body of a component template, None where there is none."""

    def put_component_template(self, name: str, body: Json) -> None:
        """Make or replace it."""

    def index_template(self, name: str) -> Json | None:
        """Return the body of an index template, None where there is none."""

    def put_index_template(self, name: str, body: Json) -> None:
        """Make or replace it."""

    def indices(self, pattern: str) -> list[IndexFacts]:
        """Return the open and closed indices that `pattern` (an index, a pattern or an alias) names, sorted by name."""

    def create_index(self, name: str, body: Json | None = None) -> bool:
        """Make an index by its template; False where something of that name is there already."""

    def delete_index(self, name: str) -> None:
        """Remove one index, never a pattern; what is not there is removed."""

    def put_mapping(self, target: str, properties: Json, meta: Json) -> None:
        """Add fields to an index. Raises `Permanent` where one of them is there as something else."""

    def update_aliases(self, actions: Sequence[Json]) -> None:
        """Do all `actions` (`add`, `remove`, `remove_index`) at once, or none."""

    def refresh(self, target: str) -> None:
        """Make what was written visible to searches now."""

    def settings(self, target: str, body: Json) -> None:
        """Change dynamic settings of an index."""
