"""Bring a cluster into the shape our documents need, and say what is not as it should be.

Done by every agent at its start and by `s3batch index init`; doing it again changes nothing. Templates are made where they are
missing or older than ours, and left alone where a newer agent made them. Indices that an older agent began are given the fields
they lack, so that a month is finished in the layout it is read by. What would take something away (a stranger in the alias, an
index that was made without the template) is never touched: it is named, with what to do.

Rights on templates may be missing: an index of ours can be made without them, so that is a problem and no failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from s3batch.catalogue import template
from s3batch.catalogue.cluster import Arranges, IndexFacts, Json, Refused, Server
from s3batch.catalogue.documents import SCHEMA
from s3sync.errors import Permanent

_MONTH = re.compile(r"s3-batch-\d{4}\.\d{2}(-.*)?")
"""The original's indices have a day as well."""
_NO_RIGHTS = frozenset({401, 403})
_OLDEST_OPENSEARCH = (1, 0)
_OLDEST_ELASTICSEARCH = (7, 8)
"""The first with index templates made of components."""
_FIRST_REFUSED_ELASTICSEARCH = (8, 0)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be and was left alone."""

    subject: str
    wrong: str
    hint: str


@dataclass(slots=True)
class Arrangement:
    """What was done, each a short sentence, and what was left."""

    changes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def refuse_unsuitable(server: Server) -> None:
    """Raise `Permanent` where the server is none that our documents can go to."""
    kind = "OpenSearch" if server.is_opensearch else "Elasticsearch"
    oldest = _OLDEST_OPENSEARCH if server.is_opensearch else _OLDEST_ELASTICSEARCH
    subject = f"{kind} {server.number or 'of unknown version'}"
    if server.distribution not in {"opensearch", "elasticsearch"}:
        raise Permanent(server.distribution, "is neither OpenSearch nor Elasticsearch 7", "Name an OpenSearch cluster")
    if not server.is_opensearch and server.version >= _FIRST_REFUSED_ELASTICSEARCH:
        wrong = "refuses clients that are not its own, and its licence and requests have gone another way since 7.10"
        raise Permanent(subject, wrong, "Use OpenSearch, or Elasticsearch 7.10 OSS")
    if server.version < oldest:
        raise Permanent(subject, f"is older than {oldest[0]}.{oldest[1]}, the first this works with", "Use a later one")


def arrange(cluster: Arranges, *, dry_run: bool = False) -> Arrangement:
    """Arrange templates, fields and alias, or only say what would be done.

    Raises `Permanent` where the server is unsuitable, and what the cluster raises.
    """
    server = cluster.server()
    refuse_unsuitable(server)
    arranging = _Arranging(cluster, dry_run=dry_run)
    arranging.templates(wildcard=server.has_wildcard_fields)
    for facts in cluster.indices(template.PATTERN):
        if template.ALIAS in facts.aliases or not facts.meta.get(template.BUILDING):
            arranging.index(facts, wildcard=server.has_wildcard_fields)
    arranging.alias()
    return arranging.done


def is_month(name: str) -> bool:
    """Tell an index of ours from one of the original's, which has a day in its name."""
    return _MONTH.fullmatch(name) is not None


def wrong_layout(facts: IndexFacts) -> Problem | None:
    """Return why our documents do not belong into an index, None where they do."""
    if facts.strict and isinstance(facts.meta.get("schema"), int):
        return None
    wrong = "was made without the template: its fields have types that were guessed"
    return Problem(f"index {facts.name}", wrong, "Make it anew from the manifests: s3batch index rebuild")


class _Arranging:
    def __init__(self, cluster: Arranges, *, dry_run: bool) -> None:
        self._cluster = cluster
        self._dry_run = dry_run
        self.done = Arrangement()

    def templates(self, *, wildcard: bool) -> None:
        name, component = template.COMPONENT_TEMPLATE, template.component_template(wildcard=wildcard)
        index = template.index_template()
        try:
            if _outdated(self._cluster.component_template(name), component):
                self._change(f"component template {name}")
                if not self._dry_run:
                    self._cluster.put_component_template(name, component)
            if _outdated(self._cluster.index_template(template.INDEX_TEMPLATE), index):
                self._change(f"index template {template.INDEX_TEMPLATE}")
                if not self._dry_run:
                    self._cluster.put_index_template(template.INDEX_TEMPLATE, index)
        except Refused as refused:
            if refused.status not in _NO_RIGHTS:
                raise
            hint = "If nobody has: let somebody with the right to manage templates run s3batch index init"
            self.done.problems.append(Problem("templates", refused.wrong, hint))

    def index(self, facts: IndexFacts, *, wildcard: bool) -> None:
        try:
            if is_month(facts.name):
                self._fields(facts, wildcard=wildcard)
            if template.ALIAS not in facts.aliases:
                self._change(f"alias {template.ALIAS} for {facts.name}")
                if not self._dry_run:
                    add_to_alias(self._cluster, facts.name)
        except (Permanent, Refused) as failure:
            if isinstance(failure, Refused) and failure.status not in _NO_RIGHTS:
                raise
            self.done.problems.append(Problem(f"index {facts.name}", failure.wrong, failure.hint))

    def _fields(self, facts: IndexFacts, *, wildcard: bool) -> None:
        problem = wrong_layout(facts)
        if problem is not None:
            self.done.problems.append(problem)
        elif is_older(facts.meta):
            self._change(f"fields of {facts.name}")
            if not self._dry_run:
                self._cluster.put_mapping(facts.name, template.properties(wildcard=wildcard), template.meta())

    def alias(self) -> None:
        for facts in self._cluster.indices(template.ALIAS):
            if facts.name == template.ALIAS:
                wrong = "is an index, where the alias of that name should be: no index of ours can be made"
                self.done.problems.append(Problem(template.ALIAS, wrong, "Remove or rename it"))
            elif not facts.name.startswith(template.PATTERN[:-1]) and not facts.meta.get("schema"):
                wrong = f"also leads to {facts.name}, which is none of ours: searches find strangers"
                hint = f"Take it out of the alias: POST /_aliases, remove {facts.name} from {template.ALIAS}"
                self.done.problems.append(Problem(f"alias {template.ALIAS}", wrong, hint))

    def _change(self, what: str) -> None:
        self.done.changes.append(what)


def add_to_alias(cluster: Arranges, name: str) -> None:
    """Let an index be read through the alias."""
    cluster.update_aliases([{"add": {"index": name, "alias": template.ALIAS}}])


def is_older(meta: Json) -> bool:
    """Tell whether a layout is older than ours."""
    schema = meta.get("schema")
    return not isinstance(schema, int) or schema < SCHEMA


def _outdated(there: Json | None, ours: Json) -> bool:
    """Tell whether a template is missing, older, or of our version and somehow else in what matters."""
    if there is None:
        return True
    meta = there.get("_meta")
    if not isinstance(meta, dict) or is_older(meta):
        return True
    return meta.get("schema") == SCHEMA and _matter(there) != _matter(ours)


def _matter(body: Json) -> object:
    """Return what of a template the server gives back as it was put: fields of a component, parts of an index template."""
    inner = body.get("template")
    mappings = inner.get("mappings") if isinstance(inner, dict) else None
    fields = mappings.get("properties") if isinstance(mappings, dict) else None
    return fields, body.get("index_patterns"), body.get("composed_of")
