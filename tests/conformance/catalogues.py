"""The catalogues that must answer alike: SQLite, and the fleet's index in a real node of each line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.fleet import FleetIndex
from s3batch.catalogue.fleet_catalogue import FleetCatalogue
from s3batch.catalogue.index import Outcome
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.template import ALIAS
from s3batch.model import ArchiveRecord, Member
from tests.catalogue.examples import Addable, documents_of, opened

BOTH = [
    "sqlite",
    pytest.param("opensearch", marks=[pytest.mark.slow, pytest.mark.live("opensearch")]),
    pytest.param("opensearch3", marks=[pytest.mark.long, pytest.mark.live("opensearch3")]),
]


class IndexedCatalogue(FleetCatalogue):
    """The fleet's index, filled as the outbox fills it, and visible at once."""

    def __init__(self, cluster: OpenSearchCluster) -> None:
        """Tell nobody of what is left out; keep it."""
        self.told: list[object] = []
        super().__init__(cluster, self.told.append)
        self.cluster = cluster
        self._index = FleetIndex(cluster)

    def add(self, record: ArchiveRecord, members: Iterable[Member]) -> None:
        """Send the documents of an archive."""
        documents = [documents_of(Entry(member, record), ordinal) for ordinal, member in enumerate(members)]
        self._index.ready(documents[0].index)
        assert {Outcome.DONE} == {answer.outcome for answer in self._index.create(self._index.prepared(documents))}
        self.cluster.refresh(ALIAS)


@pytest.fixture(params=BOTH)
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Addable]:
    """Return an empty catalogue of each kind."""
    if request.param != "sqlite":
        yield IndexedCatalogue(request.getfixturevalue(request.param))
        return
    with opened(tmp_path) as made:
        yield made
