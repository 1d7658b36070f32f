"""`index rebuild`: months of the fleet's index made anew from the manifests in S3."""

from __future__ import annotations

import argparse

from s3batch.app import App
from s3batch.catalogue.fleet_rebuild import MonthProgress, MonthRebuild, MonthReport, Wishes, manifests_by_month
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.commands.index._places import manifest_places, setup_places, wanted
from s3sync.errors import Exit, NotFound, gravest
from s3sync.events import Event, Listener, Listeners
from s3sync.output import Output
from s3sync.store.contract import ObjectRef

MOST_SHOWN = 20


def setup(group: argparse._ArgumentGroup) -> None:
    """Add the arguments."""
    setup_places(group)
    help_text = "put the new index in place although the old one knows archives that it does not"
    group.add_argument("--drop-unknown", action="store_true", help=help_text)


def run(args: argparse.Namespace, app: App, cluster: OpenSearchCluster) -> Exit:
    """Rebuild month by month.

    Ends with 3 where something was left out or an old index was kept. Raises `NotFound`, and `Transient` for later.
    """
    places = manifest_places(args, app)
    wishes = Wishes(
        stamp=f"{app.now():%Y%m%dt%H%M%S}",
        sleep=app.sleep,
        drop_unknown=args.drop_unknown,
        dry_run=args.dry_run,
    )
    month = MonthRebuild(app.store, cluster, wishes, Listeners((app.listener, _progress_to(app.output))))
    indices = [index for index in manifests_by_month(app.store, places) if wanted(args, index)]
    if not indices:
        raise NotFound("index rebuild", "there are no manifests there", "Name other buckets or months")
    exits = []
    for index in indices:

        def listed(index: str = index) -> list[ObjectRef]:
            return manifests_by_month(app.store, places).get(index, [])

        report = month.run(index, listed)
        _show(report, app.output, dry_run=args.dry_run)
        exits.append(report.exit)
    return gravest(exits)


def _progress_to(output: Output) -> Listener:
    def tell(event: Event) -> None:
        if isinstance(event, MonthProgress):
            told = f"{event.done:,} of {event.found:,} manifests, {event.documents:,} documents"
            output.progress(f"{event.index}: {told}")

    return tell


def _show(report: MonthReport, output: Output, *, dry_run: bool) -> None:
    for refusal in report.refused:
        output.record({"manifest": str(refusal.ref), "wrong": refusal.failure.wrong, "hint": refusal.failure.hint})
        output.text(f"left out {refusal.ref}: {refusal.failure.wrong}")
    for reason in report.set_aside[:MOST_SHOWN]:
        output.record({"index": report.index, "refused": reason})
        output.text(f"refused document in {report.index}: {reason}")
    for batch in report.lost:
        output.record({"index": report.index, "only_in_old": batch})
    for batch in report.lost[:MOST_SHOWN]:
        output.text(f"only the old index has all of {batch}")
    output.record(
        {
            "index": report.index,
            "manifests": report.manifests,
            "documents": report.documents,
            "resumed": report.resumed,
            "refused": len(report.refused),
            "only_in_old": len(report.lost),
            "swapped": report.swapped,
        }
    )
    output.text(f"{report.index}: {report.manifests:,} manifests, {report.documents:,} documents; {_end(report, dry_run)}")


def _end(report: MonthReport, dry_run: bool) -> str:  # noqa: FBT001 - a private word
    if report.swapped:
        return "the new index is in its place"
    if not report.lost:
        return "would be made anew" if dry_run else "left as it is"
    kept = f"{len(report.lost):,} archives are known to the old index alone"
    return f"{kept}; --drop-unknown would drop them" if dry_run else f"{kept}: it stays; --drop-unknown drops them"
