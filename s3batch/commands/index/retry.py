"""`index retry`: send refused documents, and whatever waits, again now."""

from __future__ import annotations

import argparse

from s3batch.app import App
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.outbox import Outbox
from s3batch.operate.agents import running_agent
from s3sync.errors import Exit
from s3sync.output import counted


def setup(group: argparse._ArgumentGroup) -> None:
    """Add nothing: it has no arguments of its own."""
    del group


def run(args: argparse.Namespace, app: App, cluster: OpenSearchCluster) -> Exit:
    """Put everything in again, and send it unless an agent runs, which does so within seconds. Ends as `index status` does."""
    del args
    refused = Outbox(app.journal_db).retry()
    app.output.text(f"{refused:,} refused documents are sent again, each with its archive.")
    if running_agent(app.settings.state, app.settings.folder) is not None:
        app.output.record({"retried": refused, "sent_by": "agent"})
        app.output.text("The agent sends them within seconds: s3batch index status")
        return Exit.DONE
    report = app.drain_into(cluster).drain(app.now())
    app.output.record(
        {
            "retried": refused,
            "sent_by": "command",
            "archives": report.archives,
            "documents": report.documents,
            "set_aside": report.set_aside,
            "archives_behind": report.behind.archives,
            "away": None if report.failure is None else str(report.failure),
        }
    )
    app.output.text(f"{report.documents:,} documents sent, {report.set_aside:,} refused again.")
    if report.failure is not None:
        app.output.text(f"behind by {counted(report.behind.archives, 'archive')}: {report.failure}")
        return Exit.INDEX_BEHIND
    return Exit.INDEX_BEHIND if report.behind.archives else Exit.PARTIAL if report.behind.set_aside else Exit.DONE
