"""`dashboards`: the saved objects for OpenSearch Dashboards, written out or brought into an installation."""

from __future__ import annotations

import argparse

from s3batch.app import App
from s3batch.dashboards.installation import bring
from s3batch.dashboards.objects import ndjson, objects
from s3sync.errors import Exit, Usage

HELP = "Bring index patterns, searches, charts and the operators' page into OpenSearch Dashboards."
EPILOG = """  export  write the objects to standard output, one a line, for Dashboards' own import page
  import  bring them into the Dashboards of S3BATCH_DASHBOARDS_URL; --dry-run only names them

Objects of the same ids are replaced, and no others: importing again is harmless. S3BATCH_OPENSEARCH_CA is trusted here too.

examples:
  s3batch dashboards export > s3batch.ndjson
  s3batch dashboards import --dry-run
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Take an action."""
    parser.add_argument("action", choices=("export", "import"), help="export or import")
    parser.add_argument("--dry-run", action="store_true", help="import: only name what would be brought, and where")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Do it. Raises `Usage` where no installation is named, and what it answers."""
    if args.action == "export":
        for one in objects():
            app.output.record(one)
        for line in () if app.output.as_json else ndjson().splitlines():
            app.output.text(line)
        return Exit.DONE
    url = app.settings.dashboards_url
    if url is None:
        raise Usage("dashboards import", "no OpenSearch Dashboards is configured", "Set S3BATCH_DASHBOARDS_URL")
    count = 0 if args.dry_run else bring(ndjson(), url, app.settings.opensearch_ca)
    for one in objects():
        app.output.record({"type": one["type"], "id": one["id"], "imported": not args.dry_run})
        if args.dry_run:
            app.output.text(f"would import {one['type']} {one['id']}")
    if not args.dry_run:
        app.output.text(f"{count} objects are in: open the dashboard s3batch.")
    return Exit.DONE
