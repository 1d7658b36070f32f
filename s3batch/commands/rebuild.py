"""`rebuild`: fill the catalogue from the manifests in S3."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Protocol

from s3batch.catalogue.rebuild import RebuildProgress, RebuildReport, Replaceable, rebuild
from s3sync.errors import Exit, Usage
from s3sync.events import Event, Listener, Listeners
from s3sync.output import Output
from s3sync.store.contract import Reads

HELP = "Fill the catalogue from the manifests in S3, here or on a new host."
EPILOG = """Reads every manifest, believes it only if its archive is there with the same size and checksum, and adds what the
catalogue lacks or corrects what differs. May run while the agent does, may be interrupted, and may be run again. Without
--bucket it takes the configured buckets, or those the catalogue knows; with --manifest-bucket, all that are in there.
Exit code 3: some manifests were refused, the others are in.

examples:
  s3batch rebuild --bucket customer-uploads --bucket media
  s3batch rebuild --manifest-bucket our-manifests
"""


class Settings(Protocol):
    """The settings the command reads."""

    @property
    def buckets(self) -> Sequence[str] | None:
        """The configured buckets."""

    @property
    def manifest_bucket(self) -> str | None:
        """The configured bucket of manifests."""


class Needs(Protocol):
    """What the command takes from the application."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def store(self) -> Reads:
        """Where the manifests are."""

    @property
    def catalogue(self) -> Replaceable:
        """What is filled."""

    @property
    def listener(self) -> Listener:
        """Who is told of what happens."""

    @property
    def output(self) -> Output:
        """Where to answer."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--bucket", action="append", default=[], help="only this bucket's archives; may be repeated")
    parser.add_argument("--manifest-bucket", help="the bucket manifests were sent to (default: as configured, or each its own)")


def run(args: argparse.Namespace, app: Needs) -> Exit:
    """Rebuild and say what became of it."""
    manifest_bucket = args.manifest_bucket or app.settings.manifest_bucket
    buckets = args.bucket or app.settings.buckets or ()
    if not buckets and manifest_bucket is None:
        buckets = app.catalogue.buckets()
    if not buckets and manifest_bucket is None:
        raise Usage("rebuild", "knows no bucket to look into", "Name it with --bucket or --manifest-bucket")
    listener = Listeners((app.listener, _progress_to(app.output)))
    report = rebuild(app.store, app.catalogue, tuple(buckets), manifest_bucket, listener)
    _show(report, app.output)
    return report.exit


def _progress_to(output: Output) -> Listener:
    """Return a listener that says how far it is."""

    def tell(event: Event) -> None:
        if isinstance(event, RebuildProgress):
            output.progress(f"{event.done:,} of {event.found:,} manifests")

    return tell


def _show(report: RebuildReport, output: Output) -> None:
    for refusal in report.refused:
        output.record({"manifest": str(refusal.ref), "wrong": refusal.failure.wrong, "hint": refusal.failure.hint})
        output.text(f"left out {refusal.ref}: {refusal.failure.wrong}")
    counts = {"found": report.found, "added": report.added, "replaced": report.replaced, "unchanged": report.unchanged}
    output.record({**counts, "refused": len(report.refused)})
    output.text(
        f"{report.found} manifests: {report.added} added, {report.replaced} corrected, {report.unchanged} unchanged,"
        f" {len(report.refused)} left out"
    )
