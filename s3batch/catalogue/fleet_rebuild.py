"""Make months of the fleet's index anew from the manifests in S3, and put each in the place of the old one at once.

A month is filled beside the one that is searched, invisibly: `s3-batch-2026.11-r<stamp>`, marked `building` so that agents
leave it alone. When all its manifests are in, the read alias moves to it in one step, so that a search sees either the old or
the new, and then the name of the month, which is written to. Manifests that came meanwhile are looked for before that and after
it; agents notice the new index by its uuid and send again what they have of that month, which is harmless.

Manifests are read, and bulks sent, by threads of their own, a few ahead of what is settled, so that the index does not wait for
us. What it would not take at the first attempt is sent again, with patience, before anything new is begun.

A rebuild that was broken off goes on: what is in the unfinished index in full is not read again. A manifest that is wrong is
reported and left out. Where the old index knows an archive that the new one has not, or has less of (a refused manifest, a
bucket nobody named), the old one stays in its place unless that is wanted: it may be the last trace of an archive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue import template
from s3batch.catalogue.ahead import BULKS_AHEAD, in_order
from s3batch.catalogue.bulks import BulkIndex
from s3batch.catalogue.cluster import Arranges, IndexFacts, Json, Searches, Writes
from s3batch.catalogue.documents import INDEX_PREFIX, Document, Documents, bulks
from s3batch.catalogue.index import Answer, Outcome, Prepared
from s3batch.catalogue.manifest import Manifest
from s3batch.catalogue.manifest_source import fetch
from s3batch.catalogue.rebuild import AT_ONCE, MANIFESTS, ManifestRefused, Refusal
from s3sync.errors import Exit, Failure, Permanent, Transient
from s3sync.events import Event, Level, Listener, silent
from s3sync.store.contract import ObjectRef, Reads

PATIENCE_SECONDS = 600.0
"""How long the index may refuse to take anything before the rebuild is left for later."""
SETTLE_SECONDS = 2.0
"""How long searches that have begun in an old index are left before it is deleted."""
MOST_HELD_BYTES = 16 << 20
"""About how much of manifests is held ahead."""
FULL = "full"
"""What an index being built is marked when it has all there is, and may be searched."""
_LONGEST_WAIT_SECONDS = 15.0
_PLACE = re.compile(re.escape(MANIFESTS) + r"[^/]+/(\d{4})/(\d{2})/\d{2}/([^/]+)\.json\.gz")
_STAMP = re.compile(r"-r\d{8}t\d{6}")

Batches = dict[tuple[str, str], int]
"""How many documents there are of each bucket's batches."""


class Cluster(Arranges, Writes, Searches, Protocol):
    """What is needed of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthProgress(Event):
    """So many of a month's manifests are in its new index."""

    name: ClassVar[str] = "month_progress"
    level: ClassVar[Level] = Level.DEBUG
    index: str
    done: int
    found: int
    documents: int


@dataclass(slots=True, kw_only=True)
class MonthReport:
    """What became of one month."""

    index: str
    """Its name: `s3-batch-2026.11`."""
    manifests: int = 0
    documents: int = 0
    """Sent now."""
    resumed: int = 0
    """Archives that an earlier attempt had put in."""
    refused: list[Refusal] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    """Why documents were refused for good; the first of an archive."""
    lost: list[str] = field(default_factory=list)
    """Archives, `bucket/batch`, that the old index has more of than the new one."""
    swapped: bool = False

    @property
    def exit(self) -> Exit:
        """`PARTIAL` where anything is not as it should be."""
        wrong = self.refused or self.set_aside or (self.lost and not self.swapped)
        return Exit.PARTIAL if wrong else Exit.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How it is to be done."""

    stamp: str
    """Of a new index: `20261125t042600`."""
    sleep: Callable[[float], None]
    drop_unknown: bool = False
    """Take the old index out although it knows more."""
    dry_run: bool = False


def manifests_by_month(store: Reads, places: Sequence[ObjectRef]) -> dict[str, list[ObjectRef]]:
    """Return the manifests below `places` by the index they belong to, in order. Raises what the store raises."""
    found: dict[str, list[ObjectRef]] = {}
    for place in places:
        for ref in store.list(place.bucket, place.key):
            match = _PLACE.fullmatch(ref.key)
            if match is not None:
                found.setdefault(f"{INDEX_PREFIX}{match[1]}.{match[2]}", []).append(ObjectRef(ref.bucket, ref.key))
    return dict(sorted(found.items()))


def batches_in(searches: Searches, target: str) -> Batches:
    """Return how many documents an index has of each batch."""
    found: Batches = {}
    place: object = None
    fields = {"bucket": "bucket.keyword", "batch": "batch"}
    sources = [{name: {"terms": {"field": name_there}}} for name, name_there in fields.items()]
    while True:
        composite: dict[str, object] = {"size": 1_000, "sources": sources}
        aggs = {"batches": {"composite": composite | ({} if place is None else {"after": place})}}
        said = searches.search(target, {"size": 0, "aggs": aggs}).aggregations.get("batches")
        listed = said.get("buckets") if isinstance(said, Mapping) else None
        if not isinstance(said, Mapping) or not isinstance(listed, list) or not listed:
            return found
        for one in listed:
            found[str(one["key"]["bucket"]), str(one["key"]["batch"])] = int(one["doc_count"])
        place = said.get("after_key")


class MonthRebuild:
    """Makes one month anew."""

    def __init__(self, store: Reads, cluster: Cluster, wishes: Wishes, listener: Listener = silent) -> None:
        """Do nothing yet."""
        self._store = store
        self._cluster = cluster
        self._wishes = wishes
        self._listener = listener
        self._bulks = BulkIndex(cluster)
        self._weighed = MOST_HELD_BYTES // 4
        """Bytes of the latest manifest; before the first, of a large one."""

    def run(self, index: str, listed: Callable[[], list[ObjectRef]]) -> MonthReport:
        """Rebuild the month `index` from the manifests that `listed` names, now and when asked again.

        Raises `Transient` where store or cluster cannot be reached for long: run again, it goes on.
        """
        report = MonthReport(index=index)
        if self._wishes.dry_run:
            self._foresee(report, listed())
            return report
        fresh = self._fresh(index)
        done: set[ObjectRef] = set()
        while missing := [ref for ref in listed() if ref not in done]:
            self._fill(fresh, missing, report)
            done.update(missing)
        report.manifests = len(done)
        self._cluster.settings(fresh, {"index": {"refresh_interval": "30s"}})
        self._cluster.refresh(f"{index},{fresh}")
        report.lost = _fewer(batches_in(self._cluster, index), batches_in(self._cluster, fresh))
        if report.lost and not self._wishes.drop_unknown:
            return report
        self._swap(index, fresh)
        report.swapped = True
        self._fill(fresh, [ref for ref in listed() if ref not in done], report)
        return report

    def _foresee(self, report: MonthReport, refs: Sequence[ObjectRef]) -> None:
        """Say what would be lost, by the manifests' names alone."""
        report.manifests = len(refs)
        named = {match[3] for ref in refs if (match := _PLACE.fullmatch(ref.key))}
        there = batches_in(self._cluster, report.index)
        report.lost = sorted(f"{bucket}/{batch}" for bucket, batch in there if batch not in named)

    def _fresh(self, index: str) -> str:
        """Return the index to fill: the one of an attempt that was broken off, or a new one, empty and not searched."""
        for facts in self._cluster.indices(f"{index}-r*"):
            if index not in facts.aliases and _STAMP.fullmatch(facts.name.removeprefix(index)):
                if facts.meta.get(template.BUILDING) is True:
                    self._hide(facts)
                return facts.name
        name = f"{index}-r{self._wishes.stamp}"
        body = template.component_template(wildcard=self._cluster.server().has_wildcard_fields)["template"]
        self._cluster.create_index(name, _building(body))
        for facts in self._cluster.indices(name):
            self._hide(facts)
        return name

    def _hide(self, facts: IndexFacts) -> None:
        if template.ALIAS in facts.aliases:
            self._cluster.update_aliases([{"remove": {"index": facts.name, "alias": template.ALIAS}}])

    def _fill(self, fresh: str, refs: Sequence[ObjectRef], report: MonthReport) -> None:
        self._cluster.refresh(fresh)
        there = batches_in(self._cluster, fresh)
        with (
            ThreadPoolExecutor(AT_ONCE, thread_name_prefix="manifest") as readers,
            ThreadPoolExecutor(1, thread_name_prefix="bulk") as sender,
            closing(in_order(readers, self._fetched, refs, self._manifests_ahead)) as manifests,
            closing(self._pieces(manifests, fresh, there, report)) as pieces,
            closing(in_order(sender, self._attempted, pieces, lambda: BULKS_AHEAD)) as attempts,
        ):
            for piece, attempt in attempts:
                if isinstance(piece, Prepared):
                    self._settle(piece, attempt, report)
                elif piece % AT_ONCE == 0 or piece == len(refs):
                    told = MonthProgress(index=report.index, done=piece, found=len(refs), documents=report.documents)
                    self._listener(told)

    def _manifests_ahead(self) -> int:
        """Return how many manifests may be held, by how large the latest was: of small ones many, since each is waited for."""
        return max(2, min(AT_ONCE, MOST_HELD_BYTES // max(1, self._weighed)))

    def _fetched(self, ref: ObjectRef) -> Manifest | Refusal:
        try:
            manifest = fetch(self._store, ref)
            manifest_format.believe(self._store, manifest, ref)
        except Permanent as failure:
            return Refusal(ref, failure)
        return manifest

    def _pieces(
        self, manifests: Iterable[tuple[ObjectRef, Manifest | Refusal]], fresh: str, there: Batches, report: MonthReport
    ) -> Generator[Prepared | int, None, None]:
        """Yield what is to be sent, and after each manifest how many are through by then."""
        for number, (_, found) in enumerate(manifests, start=1):
            self._weighed = 0 if isinstance(found, Refusal) else found.packed_bytes
            if isinstance(found, Refusal):
                self._refuse(found.ref, found.failure, report)
            elif there.get((found.record.ref.bucket, found.record.batch)) == found.record.members:
                report.resumed += 1
            else:
                yield from (self._bulks.prepared(group) for group in bulks(documents_of_manifest(found, fresh)))
            yield number

    def _attempted(self, piece: Prepared | int) -> list[Answer] | Transient:
        """Send a piece once and return the answers, or why there are none."""
        try:
            return self._bulks.send(piece) if isinstance(piece, Prepared) else []
        except Transient as failure:
            return failure

    def _settle(self, piece: Prepared, attempt: list[Answer] | Transient, report: MonthReport) -> None:
        """Send again until all is there, waiting where the index cannot take it. Raises `Transient` after long."""
        waiting, waited, wait = list(piece.documents), 0.0, 0.5
        while waiting:
            if isinstance(attempt, Transient):
                if waited >= PATIENCE_SECONDS:
                    raise attempt
                answers, reason = [], str(attempt)
            else:
                answers = attempt
                reason = next((one.reason for one in answers if one.outcome is Outcome.LATER), "")
            report.set_aside += [one.reason for one in answers if one.outcome is Outcome.SET_ASIDE][:1]
            report.documents += sum(one.outcome is Outcome.DONE for one in answers)
            if answers:
                pairs = zip(waiting, answers, strict=True)
                waiting = [document for document, one in pairs if one.outcome is Outcome.LATER]
            if waiting:
                if waited >= PATIENCE_SECONDS:
                    raise Transient(f"index {waiting[0].index}", f"takes nothing: {reason}", "Run it again; it goes on")
                self._wishes.sleep(wait)
                waited, wait = waited + wait, min(wait * 2, _LONGEST_WAIT_SECONDS)
                attempt = self._attempted(self._bulks.prepared(waiting))

    def _swap(self, index: str, fresh: str) -> None:
        """Put `fresh` into the place of whatever has the month's name: what is searched in one step, then what is written to.

        The old index goes a little later: a search that has begun in it would miss it, and answer with nothing. In between
        agents let archives of the month wait, since what they wrote would go into the old one. They leave the new one alone
        until all is done; that it is `FULL` tells a later run, where this one dies, that it may be searched already.
        """
        old = [facts for facts in self._cluster.indices(index) if facts.name != fresh]
        self._cluster.put_mapping(fresh, {}, {**template.meta(), template.BUILDING: FULL})
        for facts in old:
            self._cluster.put_mapping(facts.name, {}, {**facts.meta, template.BUILDING: True})
        searched: list[Json] = [{"add": {"index": fresh, "alias": template.ALIAS}}]
        searched += [
            {"remove": {"index": facts.name, "alias": template.ALIAS}} for facts in old if template.ALIAS in facts.aliases
        ]
        self._cluster.update_aliases(searched)
        self._wishes.sleep(SETTLE_SECONDS if old else 0)
        written: list[Json] = [{"remove_index": {"index": facts.name}} for facts in old]
        self._cluster.update_aliases([*written, {"add": {"index": fresh, "alias": index, "is_write_index": True}}])
        self._cluster.put_mapping(fresh, {}, template.meta())

    def _refuse(self, ref: ObjectRef, failure: Failure, report: MonthReport) -> None:
        report.refused.append(Refusal(ref, failure))
        self._listener(ManifestRefused(bucket=ref.bucket, key=ref.key, wrong=failure.wrong))


def _building(body: object) -> Json:
    """Return an index's body marked as just being filled; it is refreshed when that is done."""
    layout = dict(body) if isinstance(body, Mapping) else {}
    mappings, settings = dict(layout["mappings"]), dict(layout["settings"]["index"])
    mappings["_meta"] = {**template.meta(), template.BUILDING: True}
    settings["refresh_interval"] = "-1"
    return {"mappings": mappings, "settings": {"index": settings}}


def documents_of_manifest(manifest: Manifest, index: str | None = None) -> Iterator[Document]:
    """Yield the documents that a manifest calls for, as they go into `index`, by default the one of its month."""
    documents = Documents(manifest.record, index)
    for ordinal, member in enumerate(manifest.members()):
        yield documents.of(member, ordinal)


def _fewer(old: Batches, new: Batches) -> list[str]:
    return sorted(f"{bucket}/{batch}" for (bucket, batch), count in old.items() if new.get((bucket, batch), 0) < count)
