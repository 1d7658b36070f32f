"""OpenSearch: who answers, whether it is in shape, and which rights we have there. Harmless questions only.

A right is tried by a call that changes nothing when it is allowed: an index that is there already is made again, a document
that its strict mapping refuses is sent, no fields are added, an alias is added where it is. With no index of ours there yet,
these cannot be tried.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from s3batch.catalogue import template
from s3batch.catalogue.arrange import add_to_alias, arrange, refuse_unsuitable, wrong_layout
from s3batch.catalogue.cluster import Arranges, IndexFacts, Refused, Searches, Writes
from s3batch.operate.findings import Level, Looked
from s3sync.errors import Failure, Permanent

_NO_RIGHTS = frozenset({401, 403})
_PROBE = "s3batch_doctor"
"""A field that no layout of ours has."""
_NO_IDS = "Document ID is not supported"


class Cluster(Searches, Writes, Arranges, Protocol):
    """All of it."""

    @property
    def subject(self) -> str:
        """What it is called; without secrets."""


def look_at_search(cluster: Cluster) -> Looked:
    """Ask everything, as far as the answers lead. Raises nothing but what the cluster raises."""
    server = cluster.server()
    refuse_unsuitable(server)
    yield cluster.subject, Level.OK, f"{server.distribution} {server.number}", ""
    yield from _shape(cluster)
    yield from _tried("reading", "find and restore by it", lambda: _read(cluster))
    yield from _board(cluster)
    indices = [facts for facts in cluster.indices(template.PATTERN) if wrong_layout(facts) is None]
    if not indices:
        detail = "cannot be tried: there is no index of ours yet"
        yield "rights to write", Level.NOTE, detail, "Ask again after the first archive"
        return
    newest = indices[-1]
    yield from _tried("making an index", "begin a month", lambda: cluster.create_index(newest.name))
    yield from _tried("adding fields", "go on after an upgrade", lambda: cluster.put_mapping(newest.name, {}, newest.meta))
    yield from _tried("the alias", "let a month be found", lambda: add_to_alias(cluster, newest.name))
    yield from _tried("writing", "index anything", lambda: _write(cluster, newest))


def _board(cluster: Cluster) -> Looked:
    """Try the rights on the index beside the members' that agents overwrite their cards in."""
    try:
        found = cluster.indices(template.REQUESTS_INDEX)
    except Refused as refused:
        if refused.status not in _NO_RIGHTS:
            raise
        hint = f"Give our user there the rights on {template.REQUESTS_INDEX}; without them the dashboard lacks this host"
        yield f"right: {template.REQUESTS_INDEX}", Level.WARNING, f"is missing: {refused.wrong}", hint
        return
    for facts in found:
        yield from _tried(facts.name, "show its requests and its lag", partial(_use_board, cluster, facts))


def _use_board(cluster: Cluster, index: IndexFacts) -> None:
    cluster.create_index(index.name)
    _write(cluster, index)


def _shape(cluster: Cluster) -> Looked:
    arrangement = arrange(cluster, dry_run=True)
    for problem in arrangement.problems:
        yield problem.subject, Level.WARNING, problem.wrong, problem.hint
    if arrangement.changes:
        hint = "Run s3batch index init, or leave it to the agent's next start"
        yield "templates", Level.NOTE, f"not made yet: {', '.join(arrangement.changes)}", hint
    elif not arrangement.problems:
        yield "templates", Level.OK, "templates, fields and the alias are as they should be", ""


def _tried(name: str, purpose: str, ask: Callable[[], object]) -> Iterator[tuple[str, Level, str, str]]:
    subject = f"right: {name}"
    try:
        ask()
    except Refused as refused:
        if refused.status not in _NO_RIGHTS:
            raise
        hint = f"Give it to our user there; without it the agent cannot {purpose}"
        yield subject, Level.WARNING, f"is missing: {refused.wrong}", hint
    except Failure as failure:
        yield subject, Level.WARNING, failure.wrong, failure.hint
    else:
        yield subject, Level.OK, "we have it", ""


def _read(cluster: Cluster) -> None:
    cluster.count(template.ALIAS)
    with cluster.held(template.ALIAS) as pit:
        cluster.search(template.ALIAS, {"size": 0}, pit=pit)


def _write(cluster: Cluster, index: IndexFacts) -> None:
    """Send what a strict index refuses for what is in it: a refusal for want of rights comes before."""
    action = {"create": {"_index": index.name, "_id": _PROBE}}
    (reply,) = cluster.bulk(f"{json.dumps(action)}\n{json.dumps({_PROBE: True})}\n")
    if reply.status in _NO_RIGHTS:
        raise Refused(f"index {index.name}", reply.reason, status=reply.status, kind=reply.kind)
    if _NO_IDS in reply.reason:
        wrong = "is a time-series collection, which gives documents ids of its own: every replay would double them"
        raise Permanent(f"index {index.name}", wrong, "Make a collection of the type Search")
