"""The fleet's index beside a plain loop of bulk calls with the same documents, on a real node: rebuilt, or filled by an outbox.

Each turn is a process of its own, `python -m tests.bench.rebuild WHAT URL ARCHIVES`, with S3 in its memory. Its clock runs from
the first request to the last: of ours over manifests read and checked, archives believed, documents made, what is noted; of the
loop over nothing but `opensearchpy.OpenSearch().bulk`, as that comes, with bodies that are all there before. The index has the
same layout and is made before the loop's clock runs. The node's own CPU time is counted too: it shares the processors.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory

from opensearchpy import OpenSearch

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue.bulks import BulkIndex
from s3batch.catalogue.documents import bulks
from s3batch.catalogue.drain import Drain
from s3batch.catalogue.fleet import FleetIndex
from s3batch.catalogue.fleet_rebuild import MonthRebuild, Wishes, documents_of_manifest, manifests_by_month
from s3batch.catalogue.manifest_source import ManifestSource, fetch
from s3batch.catalogue.opensearch import OpenSearchCluster, Reach
from s3batch.catalogue.outbox import Outbox, enqueue
from s3batch.catalogue.rebuild import MANIFESTS
from s3batch.catalogue.template import index_body
from s3batch.model import ArchiveRecord
from s3sync.output import table
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectInfo, ObjectRef, StorageClass, ThawState, ThawStatus
from s3sync.store.proof import BATCH_MARK
from tests.bench.search import some_member
from tests.catalogue.examples import BEGIN, record, reserved
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore
from tests.live.opensearch import Node

MONTH, LOOP = "s3-batch-2026.03", "loop"
STAMP = "20261125t000000"
MEMBERS = 1_000
TIMEOUT_SECONDS = 300.0
WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Sent:
    """One turn."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    node_seconds: float
    """Of CPU, in the node."""


class Manifested(MemoryStore):
    """Holds manifests; of archives it knows what a HEAD answers and has no bytes."""

    def __init__(self, archives: int) -> None:
        """Make up so many archives of one month, of `MEMBERS` members each."""
        super().__init__(FakeClock(BEGIN))
        self.archives: list[ArchiveRecord] = []
        self._heads: dict[ObjectRef, ObjectInfo] = {}
        for number in range(archives):
            inside = some_member(number, MEMBERS)
            size = inside[-1].offset + inside[-1].size + 1_024
            made = replace(record(f"b{number:05}", MEMBERS, day=20 * number / archives), size=size)
            self.archives.append(made)
            self._heads[made.ref] = _head(made)
            self.seed(made.manifest, manifest_format.render(made, inside))

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        """Answer."""
        return self._heads.get(ref) or super().head(ref)


def measure(node: Node, way: str, documents: int, runs: int) -> Iterator[str]:
    """Let `way` and the loop take turns, first one, then the other; yield lines with medians and the ratio, pair by pair.

    Two pairs warm up: the node compiles itself all the while, and took twice the CPU in its first turns.
    """
    archives = max(1, documents // MEMBERS)
    turns: dict[str, list[Sent]] = {way: [], f"{way}-loop": []}
    for run in range(runs + WARM_UP):
        for name in sorted(turns, reverse=bool(run % 2)):
            turn = _turn(node, name, archives)
            if run >= WARM_UP:
                turns[name].append(turn)
    yield f"{archives * MEMBERS:,} documents of {archives:,} archives, 1,000 a bulk; the node is on the same machine."
    rows = [_row(turns[way], sent, label, archives * MEMBERS) for sent, label in zip(turns.values(), LABELS[way], strict=True)]
    yield from table(rows, ("program", "wall s", "documents/s", "cpu s", "node cpu s", "peak MiB", "s3batch takes x"))


LABELS = {"rebuild": ("s3batch index rebuild", "bulk calls alone"), "drain": ("outbox, drained", "bulk calls alone")}


def _row(ours: list[Sent], others: list[Sent], label: str, documents: int) -> tuple[str, ...]:
    wall = statistics.median(one.wall_seconds for one in others)
    cpu = statistics.median(one.cpu_seconds for one in others)
    node = statistics.median(one.node_seconds for one in others)
    ratio = statistics.median(our.wall_seconds / other.wall_seconds for our, other in zip(ours, others, strict=True))
    peak = max(one.peak_bytes for one in others) / (1 << 20)
    return label, f"{wall:.2f}", f"{documents / wall:,.0f}", f"{cpu:.2f}", f"{node:.2f}", f"{peak:.0f}", f"{ratio:.2f}"


def _turn(node: Node, name: str, archives: int) -> Sent:
    """Take one turn in an index of its own. Raises `CalledProcessError`."""
    cluster = node.cluster(TIMEOUT_SECONDS)
    if name == "rebuild-loop":
        cluster.create_index(LOOP, _unrefreshed())
    elif name == "drain-loop":
        cluster.create_index(LOOP, _body())
    before = node.cpu_seconds()
    asked = [sys.executable, "-m", "tests.bench.rebuild", name.removeprefix("rebuild-").removeprefix("drain-")]
    said = json.loads(subprocess.run([*asked, node.endpoint, str(archives)], check=True, stdout=subprocess.PIPE).stdout)
    spent = node.cpu_seconds() - before
    for facts in cluster.indices(f"{MONTH}*,{LOOP}*"):
        cluster.refresh(facts.name)
        count = cluster.count(facts.name)
        if count != archives * MEMBERS:
            raise AssertionError(f"{facts.name} has {count} documents instead of {archives * MEMBERS}")
        cluster.delete_index(facts.name)
    cluster.close()
    return Sent(said["wall"], said["cpu"], said["peak"], spent)


def _rebuild(url: str, store: Manifested) -> None:
    cluster = OpenSearchCluster(Reach(urls=(url,), timeout_seconds=TIMEOUT_SECONDS))
    refs = manifests_by_month(store, [ObjectRef("bucket", f"{MANIFESTS}bucket/")])[MONTH]
    report = MonthRebuild(store, cluster, Wishes(stamp=STAMP, sleep=time.sleep)).run(MONTH, lambda: refs)
    cluster.close()
    if not report.swapped:
        raise AssertionError(report)


def _drain(url: str, store: Manifested) -> None:
    cluster = OpenSearchCluster(Reach(urls=(url,), timeout_seconds=TIMEOUT_SECONDS))
    with TemporaryDirectory(prefix="s3batch-bench-") as folder, StateDb.open(Path(folder) / "journal.db") as db:
        outbox = Outbox(db)
        with db.write() as connection:
            for archive in store.archives:
                enqueue(connection, reserved(archive))
        source = ManifestSource(store, Path(folder) / "spool")
        report = Drain(outbox, source, FleetIndex(cluster), archives_of=lambda _index: ()).drain(BEGIN + timedelta(days=30))
    cluster.close()
    if report.behind.archives:
        raise AssertionError(report)


def _loop(url: str, store: Manifested) -> Callable[[], None]:
    manifests = (fetch(store, archive.manifest) for archive in store.archives)
    bodies = [BulkIndex.body(group) for each in manifests for group in bulks(documents_of_manifest(each, LOOP))]

    def send() -> None:
        client = OpenSearch([url], timeout=TIMEOUT_SECONDS)
        for body in bodies:
            if client.bulk(body=body)["errors"]:
                raise AssertionError("a document was refused")
        client.indices.refresh(index=LOOP)
        client.close()

    return send


def _head(archive: ArchiveRecord) -> ObjectInfo:
    return ObjectInfo(
        ref=archive.ref,
        size=archive.size,
        etag="etag",
        crc64nvme=archive.crc64nvme,
        checksum_type="FULL_OBJECT",
        storage_class=StorageClass.DEEP_ARCHIVE,
        thaw=ThawStatus(ThawState.FROZEN),
        metadata={BATCH_MARK: archive.batch},
    )


def _body() -> dict[str, object]:
    return {name: said for name, said in index_body(wildcard=True).items() if name != "aliases"}


def _unrefreshed() -> dict[str, object]:
    body = json.loads(json.dumps(_body()))
    body["settings"]["index"]["refresh_interval"] = "-1"
    return dict(body)


WAYS: Mapping[str, Callable[[str, Manifested], Callable[[], None]]] = {
    "rebuild": lambda url, store: lambda: _rebuild(url, store),
    "drain": lambda url, store: lambda: _drain(url, store),
    "loop": _loop,
}


def main(way: str, url: str, archives: str) -> None:
    """Take a turn and say what it took, as JSON."""
    work = WAYS[way](url, Manifested(int(archives)))
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    took = {"wall": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
    sys.stdout.write(json.dumps(took | {"peak": getrusage(RUSAGE_SELF).ru_maxrss << 10}))


if __name__ == "__main__":
    main(*sys.argv[1:])
