"""Which manifests a command goes by: the same for `rebuild` and `verify`, and the same arguments."""

from __future__ import annotations

import argparse
import re

from s3batch.app import App
from s3batch.catalogue.documents import INDEX_PREFIX
from s3batch.catalogue.rebuild import places_of
from s3sync.errors import Usage
from s3sync.store.contract import ObjectRef

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)


def setup_places(group: argparse._ArgumentGroup) -> None:
    """Add the arguments."""
    group.add_argument("--bucket", action="append", default=[], help="only this bucket's archives; may be repeated")
    group.add_argument("--manifest-bucket", help="the bucket manifests were sent to (default: as configured, or each its own)")
    group.add_argument("--month", action="append", default=[], type=_month, help="only archives of this month, 2026-11; repeat")


def buckets_of(args: argparse.Namespace, app: App) -> tuple[str, ...]:
    """Return the buckets that are named, configured, or known to the index, in this order of preference."""
    return tuple(args.bucket or app.settings.buckets or (() if app.fleet is None else app.fleet.buckets()))


def manifest_places(args: argparse.Namespace, app: App) -> list[ObjectRef]:
    """Return the prefixes that manifests are listed below. Raises `Usage` where nobody knows a bucket."""
    manifest_bucket = args.manifest_bucket or app.settings.manifest_bucket
    buckets = tuple(args.bucket) if manifest_bucket is not None else buckets_of(args, app)
    if not buckets and manifest_bucket is None:
        raise Usage("index", "knows no bucket to look into", "Name it with --bucket or --manifest-bucket")
    return places_of(buckets, manifest_bucket)


def wanted(args: argparse.Namespace, index: str) -> bool:
    """Tell whether a month's index is one of those asked for."""
    return not args.month or index in args.month


def _month(text: str) -> str:
    if not _MONTH.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no month such as 2026-11")
    return INDEX_PREFIX + text.replace("-", ".")
