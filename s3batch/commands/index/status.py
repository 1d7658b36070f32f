"""`index status`: how far the index is behind and why, what it refused, what is not as it should be."""

from __future__ import annotations

import argparse

from s3batch.app import App
from s3batch.catalogue.arrange import Arrangement, arrange
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.outbox import Behind, SetAside
from s3batch.catalogue.template import ALIAS
from s3batch.commands._counts import read_count
from s3batch.commands._records import open_records
from s3batch.commands.index._problems import show_problems
from s3sync.errors import Exit, Failure
from s3sync.keys import printable
from s3sync.output import Output, human_time
from s3sync.times import rfc3339

MOST_SHOWN = 20


def setup(group: argparse._ArgumentGroup) -> None:
    """Add the arguments."""
    group.add_argument("--limit", type=read_count, default=MOST_SHOWN, metavar="N", help="show at most N refused documents")


def run(args: argparse.Namespace, app: App, cluster: OpenSearchCluster) -> Exit:
    """Say it. Ends with 5 where the index is behind, with 3 where it refused documents or needs a person."""
    outbox = open_records(app).outbox
    behind = Behind(0, None, 0) if outbox is None else outbox.behind()
    refused = [] if outbox is None else list(outbox.set_aside(args.limit))
    documents, arrangement, away = _asked(cluster)
    app.output.record(_record(behind, documents, away))
    app.output.text(f"cluster     {away or cluster.subject}")
    app.output.text(f"documents   {'unknown' if documents is None else f'{documents:,}'}")
    app.output.text(f"this host   {_sentence(behind)}")
    for one in refused:
        _show_refused(one, app.output)
    if arrangement.changes:
        app.output.text(f"Not in shape yet: {', '.join(arrangement.changes)}. Run s3batch index init.")
    show_problems(arrangement.problems, app.output)
    if behind.archives or away:
        return Exit.INDEX_BEHIND
    return Exit.PARTIAL if behind.set_aside or arrangement.problems else Exit.DONE


def _asked(cluster: OpenSearchCluster) -> tuple[int | None, Arrangement, str | None]:
    """Ask the cluster how many documents it has and what is to be arranged; or say why it cannot be asked."""
    try:
        arrangement = arrange(cluster, dry_run=True)
        return cluster.count(ALIAS), arrangement, None
    except Failure as failure:
        return None, Arrangement(), str(failure)


def _record(behind: Behind, documents: int | None, away: str | None) -> dict[str, object]:
    return {
        "documents": documents,
        "archives_behind": behind.archives,
        "since": None if behind.since is None else rfc3339(behind.since),
        "why": behind.why,
        "set_aside": behind.set_aside,
        "away": away,
    }


def _sentence(behind: Behind) -> str:
    refused = f"; {behind.set_aside:,} documents refused" if behind.set_aside else ""
    if behind.since is None:
        return f"everything is sent{refused}"
    why = "" if behind.why is None else f": {printable(behind.why)}"
    return f"behind by {behind.archives:,} archives since {human_time(behind.since)}{why}{refused}"


def _show_refused(one: SetAside, output: Output) -> None:
    output.record(
        {
            "bucket": one.bucket,
            "archive": one.archive,
            "ordinal": one.ordinal,
            "refused": one.reason,
            "document": dict(one.document),
        }
    )
    key = printable(str(one.document.get("key")))
    output.text(f"  refused  s3://{printable(f'{one.bucket}/{one.archive}')}#{key}: {printable(one.reason)}")
