"""`index init`: bring the cluster into the shape our documents need."""

from __future__ import annotations

import argparse

from s3batch.app import App
from s3batch.catalogue.arrange import arrange
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.commands.index._problems import show_problems
from s3sync.errors import Exit


def setup(group: argparse._ArgumentGroup) -> None:
    """Add nothing: it has no arguments of its own."""
    del group


def run(args: argparse.Namespace, app: App, cluster: OpenSearchCluster) -> Exit:
    """Arrange, and say what was done and what is left. Raises `Permanent` for an unsuitable server, `Transient`."""
    done = arrange(cluster, dry_run=args.dry_run)
    verb = "would make" if args.dry_run else "made"
    for change in done.changes:
        app.output.record({"change": change, "done": not args.dry_run})
        app.output.text(f"{verb} {change}")
    if not done.changes:
        app.output.text("Templates, fields and the alias are as they should be." if not done.problems else "Nothing to make.")
    show_problems(done.problems, app.output)
    return Exit.PARTIAL if done.problems else Exit.DONE
