"""The fleet's index as the outbox knows it: a month's index that is ready to be written to, and documents that go into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from s3batch.catalogue import template
from s3batch.catalogue.arrange import add_to_alias, arrange, wrong_layout
from s3batch.catalogue.bulks import BulkIndex
from s3batch.catalogue.cluster import Arranges, IndexFacts, Writes
from s3batch.catalogue.documents import Document
from s3batch.catalogue.index import Answer, Prepared
from s3sync.errors import Permanent, Transient


class Cluster(Arranges, Writes, Protocol):
    """What is needed of it."""


class FleetIndex:
    """An `Index` in a cluster that is arranged when it is first used, and again where something was taken away."""

    def __init__(self, cluster: Cluster) -> None:
        """Ask nothing yet."""
        self._cluster = cluster
        self._bulks = BulkIndex(cluster)
        self._arranged = False

    def ready(self, name: str) -> str:
        """See the contract."""
        if not self._arranged:
            arrange(self._cluster)
            self._arranged = True
        found = self._cluster.indices(name) or self._made(name)
        for facts in found:
            problem = wrong_layout(facts)
            if problem is not None:
                raise Permanent(problem.subject, problem.wrong, problem.hint)
            if template.ALIAS not in facts.aliases:
                if facts.meta.get(template.BUILDING):
                    hint = "Wait a moment; where the rebuild has died, run s3batch index rebuild again"
                    raise Permanent(f"index {name}", "is being put in its place by a rebuild", hint)
                add_to_alias(self._cluster, facts.name)
        return " ".join(sorted(facts.uuid for facts in found))

    def identity(self, name: str) -> str | None:
        """See the contract."""
        return " ".join(sorted(facts.uuid for facts in self._cluster.indices(name))) or None

    def prepared(self, documents: Sequence[Document]) -> Prepared:
        """See the contract."""
        return self._bulks.prepared(documents)

    def create(self, prepared: Prepared) -> list[Answer]:
        """See the contract."""
        return self._bulks.send(prepared)

    def _made(self, name: str) -> list[IndexFacts]:
        """Make an index, with its templates, which may have gone with it."""
        arrange(self._cluster)
        self._cluster.create_index(name, template.index_body(wildcard=self._cluster.server().has_wildcard_fields))
        found = self._cluster.indices(name)
        if not found:
            raise Transient(f"index {name}", "is gone as soon as it is made", "See who deletes it")
        return found
