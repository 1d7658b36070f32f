"""`index verify`: the fleet's index against the manifests in S3, and these against what S3 lists."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from s3batch.app import App
from s3batch.catalogue.fleet_rebuild import manifests_by_month
from s3batch.catalogue.fleet_verify import Finding, Kind, Mending, Verify, VerifyProgress, buckets_listed
from s3batch.catalogue.inventory import COLUMNS, objects
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.template import ALIAS
from s3batch.commands.index._places import buckets_of, manifest_places, wanted
from s3sync.errors import Exit, Usage
from s3sync.events import Event, Listener, Listeners, silent
from s3sync.output import Output


def setup(group: argparse._ArgumentGroup) -> None:
    """Add the arguments (which archives: those of rebuild)."""
    group.add_argument("--repair", action="store_true", help="make missing documents, correct those that differ")
    group.add_argument("--remove", action="store_true", help="with --repair: delete documents that no manifest calls for")
    group.add_argument(
        "--inventory",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a .csv or .csv.gz of an S3 Inventory, instead of listing the buckets; may be repeated",
    )
    group.add_argument("--inventory-columns", default=COLUMNS, metavar="SCHEMA", help="its fileSchema (default: Bucket, Key)")


def run(args: argparse.Namespace, app: App, cluster: OpenSearchCluster) -> Exit:
    """Name all that is not as it should be. Ends with 3 where something is left of it. Raises `Usage`, `Transient`."""
    if args.remove and not args.repair:
        raise Usage("--remove", "is a part of --repair", "Add --repair, or leave it out to see what there is")
    places = manifest_places(args, app)
    months = {index: refs for index, refs in manifests_by_month(app.store, places).items() if wanted(args, index)}
    refs = [ref for listed in months.values() for ref in listed]
    mends = args.repair and not args.dry_run
    listener = Listeners((app.listener, _progress_to(app.output)))
    verify = Verify(app.store, cluster, Mending(repair=mends, remove=mends and args.remove), listener)
    buckets = frozenset(buckets_of(args, app))
    listed = buckets
    if args.inventory and not args.month:  # read to its end before all else: what is wrong with it is known at once
        listed = buckets.intersection(bucket for bucket, _ in objects(args.inventory, args.inventory_columns, silent))
    cluster.refresh(ALIAS)
    only = frozenset(args.bucket) or (None if app.settings.manifest_bucket or args.manifest_bucket else buckets)
    findings: Iterator[Finding] = chain(
        verify.manifests(refs),
        verify.strangers(refs, args.month or [ALIAS], only),
    )
    if not args.month:  # what S3 lists is of all months
        held = (
            objects(args.inventory, args.inventory_columns, listener)
            if args.inventory
            else buckets_listed(app.store, sorted(buckets))
        )
        findings = chain(findings, verify.listed(held, listed), map(_not_in_inventory, sorted(buckets - listed)))
    return _told(findings, verify, app.output)


def _not_in_inventory(bucket: str) -> Finding:
    wrong = "the inventory says nothing of this bucket; its archives were not looked for"
    return Finding(Kind.GONE, f"s3://{bucket}/", wrong)


def _told(findings: Iterator[Finding], verify: Verify, output: Output) -> Exit:
    counts: Counter[Kind] = Counter()
    left = 0
    for finding in findings:
        counts[finding.kind] += 1
        left += not finding.mended
        output.record(
            {
                "finding": finding.kind.value,
                "subject": finding.subject,
                "detail": finding.detail,
                "mended": finding.mended,
            }
        )
        detail = f": {finding.detail}" if finding.detail else ""
        output.text(f"{finding.kind.value:<8} {finding.subject}{detail}{' (mended)' if finding.mended else ''}")
    totals = {kind.value: counts[kind] for kind in Kind}
    output.record({"archives": verify.archives, "documents": verify.documents, **totals, "left": left})
    found = ", ".join(f"{count:,} {name}" for name, count in totals.items() if count) or "nothing amiss"
    output.text(f"{verify.archives:,} archives compared, {verify.documents:,} documents as they should be; {found}")
    return Exit.PARTIAL if left else Exit.DONE


def _progress_to(output: Output) -> Listener:
    def tell(event: Event) -> None:
        if isinstance(event, VerifyProgress) and (event.done % 16 == 0 or event.done == event.found):
            output.progress(f"{event.done:,} of {event.found:,} archives")

    return tell
