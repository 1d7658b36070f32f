"""A cluster with TLS, users and roles: the least rights are enough, and the missing ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3batch.catalogue import template
from s3batch.catalogue.arrange import arrange
from s3batch.catalogue.board import Board, Card
from s3batch.catalogue.cluster import Refused
from s3batch.catalogue.fleet_rebuild import MonthRebuild, MonthReport, Wishes, manifests_by_month
from s3batch.catalogue.rebuild import MANIFESTS
from s3batch.operate.findings import Level
from s3batch.operate.look_search import look_at_search
from s3sync.errors import Exit
from s3sync.store.contract import ObjectRef
from tests.catalogue.fleet_world import World, world
from tests.catalogue.test_fleet_verify import said
from tests.live.opensearch_secure import SecureNode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_least_rights_are_enough(opensearch_secure: SecureNode, tmp_path: Path) -> None:
    """An agent that may not touch templates makes its index all the same; a wrong password is a reason to wait."""
    wrong = opensearch_secure.endpoint("agent", "wrong")
    with world(tmp_path, wrong, ca=opensearch_secure.shown.file) as host:
        host.archive("b0", 1_200)
        failed = host.drain()
        host.cluster = opensearch_secure.cluster("agent")
        host.restart()
        host.settle()

        assert "refuses us (401)" in str(failed.behind.why)
        assert host.whole()
        Board(host.cluster).pin([Card("host:h", {"kind": "host", "host": "h"})], 1)
        assert ["templates"] == [problem.subject for problem in arrange(host.cluster).problems]
        host.cluster.close()
    assert _looked(opensearch_secure, "agent") == {"templates": Level.WARNING} | dict.fromkeys(
        (
            *("right: reading", "right: making an index", "right: adding fields", "right: the alias", "right: writing"),
            "right: s3batch-requests",
        ),
        Level.OK,
    )


def test_missing_rights_are_named(opensearch_secure: SecureNode, tmp_path: Path) -> None:
    """Somebody who may only read is told what an agent would lack; nothing is changed by asking. An operator has them all."""
    with world(tmp_path, opensearch_secure.endpoint("operator"), ca=opensearch_secure.shown.file) as host:
        host.archive("b1", day=1)
        host.settle()
        host.cluster.refresh(template.ALIAS)
        before = host.cluster.count(template.ALIAS)
        found = _looked(opensearch_secure, "reader")
        operators = _looked(opensearch_secure, "operator")
        host.cluster.refresh(template.ALIAS)
        after = host.cluster.count(template.ALIAS)

    assert found["right: reading"] is Level.OK
    for name in ("making an index", "adding fields", "the alias", "writing", "s3batch-requests"):
        assert found[f"right: {name}"] is Level.WARNING
    assert {Level.OK} == set(operators.values())
    assert before == after


def test_who_rebuilds_and_mends(opensearch_secure: SecureNode, tmp_path: Path) -> None:
    """The rights named for it are enough to rebuild, mend and delete; an agent's are not, and trying spoils nothing."""
    month = "s3-batch-2026.05"
    with world(tmp_path, opensearch_secure.endpoint("agent"), ca=opensearch_secure.shown.file) as host:
        for number in range(3):
            host.archive(f"keep{number}", 10, day=65)
        host.settle()
        with pytest.raises(Refused, match="no permissions"):
            _rebuilt(host, month)
        host.cluster.close()
        host.cluster = opensearch_secure.cluster("keeper")
        report = _rebuilt(host, month)
        host.store.delete(host.archives[0].manifest)
        code, records = said(host, "verify", "--month", "2026-05", "--repair", "--remove")
        host.cluster.refresh(month)
        left = host.cluster.count(month)
        host.cluster.close()

    assert (3, True, Exit.DONE) == (report.manifests, report.swapped, report.exit)
    assert (Exit.DONE, [("phantom", True)]) == (code, [(one["finding"], one["mended"]) for one in records[:-1]])
    assert 20 == left


def _rebuilt(host: World, month: str) -> MonthReport:
    place = ObjectRef("bucket", f"{MANIFESTS}bucket/")
    wishes = Wishes(stamp="20261125t000000", sleep=lambda _seconds: None)
    return MonthRebuild(host.store, host.cluster, wishes).run(month, lambda: manifests_by_month(host.store, [place])[month])


def _looked(node: SecureNode, user: str) -> dict[str, Level]:
    """Return how each thing is that doctor looks at, but for who answers."""
    cluster = node.cluster(user)
    found = {subject: level for subject, level, _, _ in look_at_search(cluster) if subject != cluster.subject}
    cluster.close()
    return found
