"""`python -m tests.bench.rebuild`: `index rebuild` beside a plain loop of bulk calls with the same documents, on a real node.

Both fill an index of the same layout, in turn, a warm-up first; the ratio is of each pair. The loop's bodies are made before
its clock runs: what is compared is all that a rebuild does besides (manifests read, checked and believed, documents made, the
count at the end, the alias), with S3 in memory. Quoted are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from s3batch.catalogue.arrange import arrange
from s3batch.catalogue.bulks import BulkIndex
from s3batch.catalogue.documents import bulks
from s3batch.catalogue.fleet_rebuild import MonthRebuild, Wishes, documents_of_manifest, manifests_by_month
from s3batch.catalogue.manifest_source import fetch
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.rebuild import MANIFESTS
from s3batch.catalogue.template import index_body
from s3sync.output import Output
from s3sync.store.contract import ObjectRef
from tests.bench.search import node_running, some_member
from tests.catalogue.examples import BEGIN, stored
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore

MONTH, LOOP = "s3-batch-2026.03", "loop"
MEMBERS = 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rebuild", description=__doc__)
    parser.add_argument("--archives", type=int, default=60, help=f"of {MEMBERS} members each (default: 60)")
    parser.add_argument("--runs", type=int, default=5, help="counted pairs (default: 5)")
    args = parser.parse_args()
    store = MemoryStore(FakeClock(BEGIN))
    for number in range(args.archives):
        stored(store, f"b{number:05}", some_member(number, MEMBERS), day=number / args.archives)
    with tempfile.TemporaryDirectory(prefix="s3batch-bench-") as folder, node_running(Path(folder)) as cluster:
        arrange(cluster)
        pairs = [_pair(store, cluster) for _ in range(args.runs + 1)][1:]
    count = args.archives * MEMBERS
    say = Output().text
    ours, loop = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = statistics.median(our / other for our, other in pairs)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    say(f"{count:,} documents, {os.cpu_count()} processors, load {load}; medians of {args.runs}, ratio pair by pair")
    for name, seconds in (("index rebuild", ours), ("bulk calls alone", loop)):
        say(f"{name}: {seconds:.1f} s, {count / seconds:,.0f} a second")
    say(f"ratio {ratio:.2f}")


def _pair(store: MemoryStore, cluster: OpenSearchCluster) -> tuple[float, float]:
    """Return the seconds of a rebuild, and of the loop."""
    refs = manifests_by_month(store, [ObjectRef("bucket", f"{MANIFESTS}bucket/")])[MONTH]
    begun = time.perf_counter()
    wishes = Wishes(stamp="20261125t000000", sleep=time.sleep)
    report = MonthRebuild(store, cluster, wishes).run(MONTH, lambda: refs)
    ours = time.perf_counter() - begun
    cluster.delete_index(f"{MONTH}-r{wishes.stamp}")
    bodies = [BulkIndex.body(group) for ref in refs for group in bulks(documents_of_manifest(fetch(store, ref), LOOP))]
    body = {name: said for name, said in index_body(wildcard=True).items() if name != "aliases"}
    cluster.create_index(LOOP, body)
    cluster.settings(LOOP, {"index": {"refresh_interval": "-1"}})
    begun = time.perf_counter()
    for one in bodies:
        cluster.bulk(one)
    cluster.refresh(LOOP)
    loop = time.perf_counter() - begun
    if cluster.count(LOOP) != report.documents:
        raise AssertionError(f"{cluster.count(LOOP)} documents instead of {report.documents}")
    cluster.delete_index(LOOP)
    return ours, loop


if __name__ == "__main__":
    main()
