"""A cluster with TLS, users and roles: the least rights are enough, and the missing ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3batch.catalogue import template
from s3batch.catalogue.arrange import arrange
from s3batch.catalogue.board import Board, Card
from s3batch.operate.findings import Level
from s3batch.operate.look_search import look_at_search
from tests.catalogue.fleet_world import world
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
        ("right: reading", "right: making an index", "right: adding fields", "right: the alias", "right: writing"), Level.OK
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
    for name in ("making an index", "adding fields", "the alias", "writing"):
        assert found[f"right: {name}"] is Level.WARNING
    assert {Level.OK} == set(operators.values())
    assert before == after


def _looked(node: SecureNode, user: str) -> dict[str, Level]:
    """Return how each thing is that doctor looks at, but for who answers."""
    cluster = node.cluster(user)
    found = {subject: level for subject, level, _, _ in look_at_search(cluster) if subject != cluster.subject}
    cluster.close()
    return found
