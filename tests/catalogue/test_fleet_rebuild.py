"""Months of the fleet's index made anew on a real node: nothing lost, nothing doubled, and found at every instant."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from s3batch.catalogue.cluster import Json
from s3batch.catalogue.fleet_rebuild import MonthProgress, MonthRebuild, MonthReport, Wishes, manifests_by_month
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.rebuild import MANIFESTS
from s3batch.catalogue.template import ALIAS, BUILDING
from s3sync.errors import Exit
from s3sync.events import Event, silent
from s3sync.store.contract import ObjectRef
from tests.catalogue.fleet_world import World, world

pytestmark = [pytest.mark.slow, pytest.mark.live("opensearch")]

MONTH = "s3-batch-2026.03"


@pytest.fixture
def host(tmp_path: Path, opensearch: OpenSearchCluster) -> Iterator[World]:
    """Return a host that has sent six archives of one month and one of the next."""
    with world(tmp_path, opensearch.reach.urls[0]) as made:
        for number in range(6):
            made.archive(f"b{number}", 40, day=number)
        made.archive("next", 5, day=40)
        made.settle()
        yield made


def rebuilt(
    host: World,
    stamp: str = "20261125t000000",
    listener: Callable[[Event], None] = silent,
    *,
    drop_unknown: bool = False,
    dry_run: bool = False,
) -> MonthReport:
    """Rebuild March."""
    wishes = Wishes(stamp=stamp, sleep=shortly, drop_unknown=drop_unknown, dry_run=dry_run)
    return MonthRebuild(host.store, host.cluster, wishes, listener).run(MONTH, lambda: listed(host))


def shortly(seconds: float) -> None:
    """Wait, but not for long."""
    time.sleep(min(seconds, 0.3))


def listed(host: World) -> list[ObjectRef]:
    """Return March's manifests."""
    return manifests_by_month(host.store, [ObjectRef("bucket", f"{MANIFESTS}bucket/")])[MONTH]


def whole(host: World) -> bool:
    """Compare every document with the manifests, whichever index of its month it is in; none is there twice."""
    expected, found = host.manifested(), host.indexed()
    same = {name: source for (_, name), source in expected.items()} == {name: source for (_, name), source in found.items()}
    return same and len(expected) == len(found)


def names(host: World) -> list[str]:
    """Return the indices there are."""
    return [facts.name for facts in host.cluster.indices("s3-batch-*")]


def test_the_same_again_from_manifests_alone(host: World) -> None:
    """The new index is equal to the manifests and in the old one's place; doing it again replaces it again."""
    report = rebuilt(host)

    assert (6, 240, True, Exit.DONE) == (report.manifests, report.documents, report.swapped, report.exit)
    assert [f"{MONTH}-r20261125t000000", "s3-batch-2026.04"] == names(host)
    assert whole(host)
    assert rebuilt(host, "20261126t000000").swapped
    assert [f"{MONTH}-r20261126t000000", "s3-batch-2026.04"] == names(host)
    assert whole(host)


def test_agents_go_on_into_the_new_index(host: World) -> None:
    """The next archive of the month goes into the new index by the month's name, and nothing is there twice."""
    rebuilt(host)
    host.restart()
    host.archive("later", 7, day=7)
    host.settle()

    assert whole(host)
    assert 247 == host.cluster.count(MONTH)


def test_found_at_every_instant(host: World) -> None:
    """Whoever searches while the month is swapped always finds every document, once."""
    host.cluster.refresh(ALIAS)
    seen: set[int] = set()
    ended = threading.Event()
    searcher = OpenSearchCluster(host.cluster.reach)

    def search() -> None:
        while not ended.is_set():
            seen.add(searcher.count(ALIAS, {"prefix": {"key": "b"}}))

    thread = threading.Thread(target=search)
    thread.start()
    try:
        for day in range(3):
            assert rebuilt(host, f"2026112{day}t000000").swapped
    finally:
        ended.set()
        thread.join()
        searcher.close()

    assert {240} == seen


def test_broken_off_goes_on(host: World) -> None:
    """A rebuild that ends in the middle leaves the old index searched, and the next one sends only what is missing."""

    def breaking(event: Event) -> None:
        if isinstance(event, MonthProgress):
            raise KeyboardInterrupt

    host.archive("more", 11, day=6)  # not sent by its host yet
    first = listed(host)[:4]
    wishes = Wishes(stamp="20261125t000000", sleep=shortly)
    with pytest.raises(KeyboardInterrupt):
        MonthRebuild(host.store, host.cluster, wishes, breaking).run(MONTH, lambda: first)
    host.restart()
    host.settle()
    assert whole(host)

    report = rebuilt(host, "20261126t000000")

    assert (4, 2 * 40 + 11, True) == (report.resumed, report.documents, report.swapped)
    assert [f"{MONTH}-r20261125t000000", "s3-batch-2026.04"] == names(host)
    assert whole(host)


@pytest.mark.parametrize("step", [*(pytest.param(one, marks=pytest.mark.long) for one in (1, 2, 4, 6)), 3, 5])
def test_dying_while_it_is_swapped(host: World, step: int) -> None:
    """Whichever step it dies before: everything is found once, what an agent cannot put there waits, the next run ends it."""
    dying = Dying(host.cluster.reach)
    dying.left = step
    with pytest.raises(KeyboardInterrupt):
        MonthRebuild(host.store, dying, Wishes(stamp="20261125t000000", sleep=shortly)).run(MONTH, lambda: listed(host))
    dying.close()

    assert whole(host)
    host.restart()
    host.archive("between", 7, day=7)
    behind = host.drain().behind
    if step == WRITTEN_TO:
        assert (1, True) == (behind.archives, "put in its place by a rebuild" in str(behind.why))
    else:
        assert (0, True) == (behind.archives, whole(host))
    assert 240 == host.cluster.count(ALIAS, {"prefix": {"key": "b"}}) - (step != WRITTEN_TO) * 7
    report = rebuilt(host, "20261126t000000")
    host.settle()
    host.archive("after", 7, day=8)
    host.settle()

    assert (True, Exit.DONE) == (report.swapped, report.exit)
    assert 2 == len(names(host))
    assert [] == [facts.name for facts in host.cluster.indices("s3-batch-*") if facts.meta.get(BUILDING)]
    assert whole(host)


WRITTEN_TO = 5
"""Before this step the new index is searched, and the month's name still leads to the old one."""


class Dying(OpenSearchCluster):
    """A way to the cluster that ends before a step: hide, full, the old one's mark, searched, written to, done."""

    left = 0

    def put_mapping(self, target: str, properties: Json, meta: Json) -> None:
        """Count."""
        self._step()
        super().put_mapping(target, properties, meta)

    def update_aliases(self, actions: Sequence[Json]) -> None:
        """Count."""
        self._step()
        super().update_aliases(actions)

    def _step(self) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_what_only_the_old_index_knows_stays(host: World) -> None:
    """An archive without a manifest keeps the old index in its place, named; dropped only where that is asked for."""
    host.store.delete(listed(host)[2])
    host.cluster.refresh(ALIAS)

    dry = rebuilt(host, dry_run=True)
    assert (["bucket/b2"], False, [MONTH, "s3-batch-2026.04"]) == (dry.lost, dry.swapped, names(host))

    kept = rebuilt(host)
    assert (["bucket/b2"], False, Exit.PARTIAL) == (kept.lost, kept.swapped, kept.exit)
    assert 240 == host.cluster.count(ALIAS, {"prefix": {"key": "b"}})

    dropped = rebuilt(host, drop_unknown=True)
    assert (["bucket/b2"], True, 5) == (dropped.lost, dropped.swapped, dropped.resumed)
    assert 200 == host.cluster.count(ALIAS, {"prefix": {"key": "b"}})


def test_an_index_made_without_the_template(host: World) -> None:
    """An index with guessed fields is replaced by one in our layout."""
    host.cluster.delete_index(MONTH)
    host.cluster.ask("DELETE", "/_index_template/s3-batch")
    host.cluster.bulk('{"create":{"_index":"' + MONTH + '","_id":"x"}}\n{"anything":1}\n')

    report = rebuilt(host, drop_unknown=True)

    assert report.swapped
    assert whole(host)
