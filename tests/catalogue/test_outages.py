"""Whatever befalls a real node: the outbox waits and says why; then every document is there once, as the manifests say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from s3batch.catalogue import template
from s3batch.catalogue.arrange import arrange
from s3batch.catalogue.drain import IndexAway, IndexReplayed
from s3batch.catalogue.opensearch import OpenSearchCluster, Reach
from s3sync.errors import Transient
from tests.catalogue.examples import BEGIN
from tests.catalogue.fleet_world import World, world
from tests.doubles.http_server import LOST, Asked, Reply, answering, forward
from tests.live.opensearch import SECOND, Node, reset, running
from tests.live.parts import LiveParts

pytestmark = [pytest.mark.slow, pytest.mark.live("opensearch"), pytest.mark.timeout(180)]
MONTH = "s3-batch-2026.03"


@pytest.fixture(scope="module")
def node(live_parts: LiveParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of this file's own, with a short queue for writes."""
    folder = tmp_path_factory.mktemp("node")
    with running(live_parts.path("opensearch"), SECOND, folder, **{"thread_pool.write.queue_size": 2}) as started:
        yield started


@pytest.fixture
def fleet(node: Node, tmp_path: Path) -> Iterator[World]:
    """A host and an empty cluster that runs."""
    if node.process is None:
        node.start()
    with world(tmp_path, node.endpoint) as made:
        reset(made.cluster)
        yield made


def test_nothing_is_wrong(fleet: World) -> None:
    """Archives of two months go into two indices, read through one alias."""
    fleet.archive("b0", 2_500)
    fleet.archive("b1", day=40)

    report = fleet.drain()

    assert (2, 2_503, 0, None) == (report.archives, report.documents, report.set_aside, report.failure)
    assert {MONTH, "s3-batch-2026.04"} == {facts.name for facts in fleet.cluster.indices(template.ALIAS)}
    assert fleet.whole()
    assert [] == arrange(fleet.cluster).changes


def test_stopped_and_started_again(fleet: World, node: Node) -> None:
    """While it is stopped the archives wait, oldest first; a new process goes on when it is back."""
    fleet.archive("b0")
    fleet.settle()
    node.stop()
    fleet.archive("b1", day=1)
    fleet.archive("b2", day=2)

    failed = fleet.drain()
    fleet.restart()
    node.start()
    fleet.settle()

    assert isinstance(failed.failure, Transient)
    assert (2, BEGIN.replace(day=2)) == (failed.behind.archives, failed.behind.since)
    assert "cannot be reached" in str(failed.behind.why)
    assert fleet.whole()
    assert fleet.outbox.behind().why is None


def test_killed_in_the_middle_of_a_bulk(fleet: World, node: Node) -> None:
    """A node that dies while it takes documents has on its disk what it said it had, and gets the rest."""
    fleet.archive("b0", 12_000)
    killer = threading.Thread(target=_kill_when_filled, args=(fleet, node))
    killer.start()
    failed = fleet.drain()
    killer.join()
    sent = fleet.outbox.next_due(fleet.now, ())

    node.start()
    fleet.settle()

    assert isinstance(failed.failure, Transient)
    assert sent is not None
    assert 0 < sent.sent < 12_000
    assert fleet.whole()


def test_disk_is_full_to_the_flood_stage(fleet: World, node: Node) -> None:
    """A node short of disk makes its indices read-only; when there is room it takes that back by itself."""
    fleet.archive("b0")
    fleet.settle()
    fleet.archive("b1", day=1)
    _watermarks(fleet, "900tb")
    _until(lambda: "blocks" in str(fleet.cluster.ask("GET", f"/{MONTH}/_settings")), 40)

    failed = fleet.drain()
    _watermarks(fleet, "1mb")
    _until(lambda: not fleet.drain().behind.archives, 60)

    assert "read-only" in str(failed.behind.why)
    assert 0 == failed.set_aside
    assert fleet.whole()
    # That no index may be made it says and takes back when it thinks of it: the next test has a node that never thought so.
    node.stop()


def test_queue_for_writes_is_full(fleet: World) -> None:
    """A node that has too much to do refuses some; they go later, and nobody else's documents get in between."""
    arrange(fleet.cluster)
    for number in range(10):
        fleet.archive(f"b{number}", 1_000, day=number / 10)
    done = threading.Event()
    with ThreadPoolExecutor(12) as pool:
        for number in range(12):
            pool.submit(_flood, fleet, number, done)
        _until(lambda: any("429" in told.wrong for told in _away(fleet)) or not fleet.drain().behind.archives, 40)
        done.set()
    refused = [told for told in _away(fleet) if "429" in told.wrong]

    fleet.settle()

    assert refused
    assert 0 == fleet.outbox.behind().set_aside
    assert fleet.whole()


def test_no_memory_left(fleet: World) -> None:
    """Where a circuit breaker refuses bodies as too large for its memory, they become smaller, and go when there is some."""
    fleet.archive("b0", 3_000)
    fleet.cluster.ask("PUT", "/_cluster/settings", _persistent("network.breaker.inflight_requests.limit", "40kb"))

    failed = fleet.drain()
    fleet.cluster.ask("PUT", "/_cluster/settings", _persistent("network.breaker.inflight_requests.limit", None))
    fleet.settle()

    assert "circuit_breaking_exception" in str(failed.behind.why)
    assert fleet.whole()


def test_deleted_under_us(fleet: World) -> None:
    """A month that somebody deletes is made again and filled again, though all of it had been sent."""
    fleet.archive("b0")
    fleet.archive("b1", day=1)
    fleet.archive("b2", day=40)
    fleet.settle()
    fleet.cluster.delete_index(MONTH)

    fleet.settle()

    assert [(MONTH, 2)] == [(told.index, told.archives) for told in fleet.told if isinstance(told, IndexReplayed)]
    assert fleet.whole()


def test_template_is_missing_and_nothing_is_made_by_itself(fleet: World) -> None:
    """Templates that were deleted are made again, and an index is made before anything is sent into it."""
    fleet.archive("b0")
    fleet.settle()
    fleet.cluster.ask("PUT", "/_cluster/settings", _persistent("action.auto_create_index", "false"))
    fleet.cluster.ask("DELETE", f"/_index_template/{template.INDEX_TEMPLATE}")
    fleet.cluster.ask("DELETE", f"/_component_template/{template.COMPONENT_TEMPLATE}")
    fleet.archive("b1", day=40)

    fleet.settle()

    assert fleet.cluster.index_template(template.INDEX_TEMPLATE) is not None
    assert all(facts.strict for facts in fleet.cluster.indices(template.PATTERN))
    assert fleet.whole()


def test_an_index_is_in_the_place_of_the_alias(fleet: World) -> None:
    """Nothing can be made until it is gone, which is said; then everything is."""
    fleet.cluster.create_index(template.ALIAS)
    fleet.archive("b0")

    failed = fleet.drain()
    problems = arrange(fleet.cluster, dry_run=True).problems
    fleet.cluster.delete_index(template.ALIAS)
    fleet.settle()

    assert (1, True) == (failed.behind.archives, failed.behind.why is not None)
    assert [template.ALIAS] == [problem.subject for problem in problems]
    assert fleet.whole()


def test_alias_leads_elsewhere_too(fleet: World) -> None:
    """A stranger in the alias is named and left alone; documents go where they belong."""
    fleet.cluster.create_index("strangers", {"aliases": {template.ALIAS: {}}})
    fleet.archive("b0")

    fleet.settle()
    (problem,) = arrange(fleet.cluster, dry_run=True).problems

    assert "strangers" in problem.wrong
    assert fleet.whole()


def test_month_is_an_alias_that_cannot_be_written_through(fleet: World) -> None:
    """That is an operator's to mend: documents wait, none is set aside."""
    arrange(fleet.cluster)
    both: dict[str, object] = {"aliases": {MONTH: {}}}
    for name in (f"{MONTH}-a", f"{MONTH}-b"):
        fleet.cluster.create_index(name, both)
    fleet.archive("b0")

    failed = fleet.drain()
    fleet.cluster.delete_index(f"{MONTH}-b")
    fleet.settle()

    assert (1, 0) == (failed.behind.archives, failed.set_aside)
    assert list(fleet.manifested().values()) == list(fleet.indexed().values())


def test_fields_of_a_newer_version_come_in_the_middle_of_a_month(fleet: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer agent's fields are put into the index an older one began; the older one leaves them, and goes on."""
    fleet.archive("b0")
    fleet.settle()
    older = template.properties
    newer = lambda *, wildcard: {**older(wildcard=wildcard), "colour": {"type": "keyword"}}  # noqa: E731
    with monkeypatch.context() as patched:
        for module in ("template", "arrange"):
            patched.setattr(f"s3batch.catalogue.{module}.SCHEMA", 2)
        patched.setattr(template, "properties", newer)
        changes = arrange(fleet.cluster).changes
        again = arrange(fleet.cluster).changes
    fleet.restart()
    fleet.archive("b1", day=1)
    fleet.settle()

    (facts,) = fleet.cluster.indices(MONTH)
    assert (True, 2) == ("colour" in facts.properties, facts.meta["schema"])
    assert (3, []) == (len(changes), again)
    assert fleet.whole()


def test_slow_node(node: Node, fleet: World, tmp_path: Path) -> None:
    """A reply that comes too late, or never, after the documents have arrived: they are sent again and are there once."""
    through = forward(node.endpoint)
    trouble: list[Reply | float] = [3.0, LOST, 3.0]

    def slow(asked: Asked) -> Reply:
        reply = through(asked)
        if asked.path != "/_bulk" or not trouble:
            return reply
        what = trouble.pop()
        return replace(reply, pause_seconds=what) if isinstance(what, float) else what

    (tmp_path / "slow").mkdir()
    with answering(slow) as front, world(tmp_path / "slow", front.endpoint, timeout_seconds=1) as host:
        host.archive("b0", 1_500)
        failures = []
        while trouble:  # on a busy machine other requests are too slow as well, which takes no trouble away
            failures.append(host.drain().failure)
        with closing(OpenSearchCluster(Reach(urls=(front.endpoint,), timeout_seconds=30))) as patient:
            host.cluster = patient
            host.restart()
            host.settle()

            assert {True} == {isinstance(failure, Transient) for failure in failures}
            assert len(failures) >= 3
            assert host.whole()


def _kill_when_filled(fleet: World, node: Node) -> None:
    _until(lambda: (found := fleet.outbox.next_due(fleet.now, ())) is not None and found.sent >= 2_000, 60)
    node.kill()


def _away(fleet: World) -> list[IndexAway]:
    return [told for told in fleet.told if isinstance(told, IndexAway)]


def _flood(fleet: World, number: int, done: threading.Event) -> None:
    """Keep the node busy with documents of somebody else, whatever it answers."""
    lines = "".join(f'{{"index":{{"_index":"noise-{number}"}}}}\n{{"text":"{"word " * 200}"}}\n' for _ in range(500))
    while not done.is_set():
        with suppress(Transient):
            fleet.cluster.bulk(lines)


def _watermarks(fleet: World, free: str) -> None:
    names = ("low", "high", "flood_stage")
    settings = {f"cluster.routing.allocation.disk.watermark.{name}": free for name in names}
    fleet.cluster.ask("PUT", "/_cluster/settings", {"persistent": settings})


def _persistent(name: str, value: str | None) -> dict[str, object]:
    return {"persistent": {name: value}}


def _until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
