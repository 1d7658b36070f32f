"""`s3batch index`: arranged on a real node, how far it is behind, what was refused and sent again."""

from __future__ import annotations

import json

import pytest

from s3batch.app import App
from s3batch.catalogue.contract import Entry
from s3batch.catalogue.manifest import render
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.outbox import Outbox, Waiting, enqueue
from s3batch.model import ArchiveRecord
from s3sync.errors import Exit, Usage
from tests.catalogue.examples import documents_of, members, record, reserved
from tests.operate.conftest import Host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def url(opensearch: OpenSearchCluster) -> str:
    """Where an empty OpenSearch answers."""
    return opensearch.reach.urls[0]


def test_init_makes_what_is_missing_and_says_it(host: Host, url: str) -> None:
    """First only said, then made, then there is nothing left to make."""
    planned, made, again = (host.ask("index", "init", *words, opensearch_url=url) for words in (["--dry-run"], [], []))

    templates = ["component template s3-batch-members", "index template s3-batch"]
    assert [(Exit.DONE, templates)] * 2 == [
        (answer.code, [each["change"] for each in answer.records]) for answer in (planned, made)
    ]
    assert (False, True) == (planned.records[0]["done"], made.records[0]["done"])
    assert (Exit.DONE, []) == (again.code, again.records)


def test_a_stranger_in_the_alias_is_a_problem(host: Host, url: str, opensearch: OpenSearchCluster) -> None:
    """It is named with what to do, by exit code 3 too, and left alone."""
    opensearch.create_index("strangers", {"aliases": {"s3-batch": {}}})

    answer = host.ask("index", "init", opensearch_url=url)
    text = host.ask("index", "status", as_json=False, opensearch_url=url).text

    assert Exit.PARTIAL == answer.code
    assert "strangers" in answer.records[-1]["wrong"]
    assert "remove strangers from s3-batch" in text


def test_refused_documents_are_shown_and_sent_again(host: Host, url: str) -> None:
    """With document and reason; retry sends them with their archive, as no agent runs."""
    archive = record("20260301T120000-3fa9c2d1a2b3", 1)
    with host.app(opensearch_url=url) as app:
        refuse_described(app, archive)

    shown = host.ask("index", "status", opensearch_url=url)
    for_people = host.ask("index", "status", as_json=False, opensearch_url=url)
    retried = host.ask("index", "retry", opensearch_url=url)
    after = host.ask("index", "status", opensearch_url=url)

    assert (Exit.PARTIAL, 1, "it was odd", "in/odd") == (
        shown.code,
        shown.records[0]["set_aside"],
        shown.records[1]["refused"],
        shown.records[1]["document"]["key"],
    )
    assert "#in/odd: it was odd" in for_people.text
    assert (Exit.DONE, 1, 1, 0) == (
        retried.code,
        retried.record["retried"],
        retried.record["documents"],
        retried.record["set_aside"],
    )
    assert (Exit.DONE, 0) == (after.code, after.record["set_aside"])


def test_behind_where_nobody_answers(host: Host) -> None:
    """Status says so and ends with 5; without an index there is nothing to ask."""
    with host.app(opensearch_url="http://127.0.0.1:1") as app:
        Outbox(app.journal_db)
        assert app.catalogue.buckets() == []

    answer = host.ask("index", "status", opensearch_url="http://127.0.0.1:1")

    assert Exit.INDEX_BEHIND == answer.code
    assert "cannot be reached" in answer.record["away"]
    with pytest.raises(Usage, match="S3BATCH_OPENSEARCH_URL"):
        host.ask("index", "status")


def test_a_retry_where_nobody_answers(host: Host) -> None:
    """What is to be sent again waits, and the command ends with 5, as status does: not with a failure of its own."""
    archive = record("20260301T120000-3fa9c2d1a2b3", 1)
    with host.app(opensearch_url="http://127.0.0.1:1") as app:
        refuse_described(app, archive)

    answer = host.ask("index", "retry", opensearch_url="http://127.0.0.1:1")
    for_people = host.ask("index", "retry", as_json=False, opensearch_url="http://127.0.0.1:1")

    assert (Exit.INDEX_BEHIND, 1, 0, 1) == (
        answer.code,
        answer.record["retried"],
        answer.record["documents"],
        answer.record["archives_behind"],
    )
    assert "cannot be reached" in answer.record["away"]
    assert "behind by 1 archive: " in for_people.text


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-1", "march"])
def test_what_is_no_month_is_refused(host: Host, month: str) -> None:
    """It is the writer's to correct, and not taken for a month without archives."""
    with pytest.raises(SystemExit) as ended:
        host.ask("index", "rebuild", "--month", month, opensearch_url="http://127.0.0.1:1")

    assert Exit.USAGE == ended.value.code


def refuse_described(app: App, archive: ArchiveRecord) -> None:
    """Have the only document of an archive refused whose manifest lies in the spool."""
    refuse(Outbox(app.journal_db), archive)
    assert app.catalogue.buckets() == []
    (app.settings.spool / archive.batch).mkdir(parents=True)
    (app.settings.spool / archive.batch / "manifest.json.gz").write_bytes(render(archive, members("in/odd")))


def refuse(outbox: Outbox, archive: ArchiveRecord) -> None:
    """Have the only document of an archive refused."""
    with outbox._db.write() as connection:
        enqueue(connection, reserved(archive))
    waiting = outbox.next_due(archive.created, ())
    assert isinstance(waiting, Waiting)
    document = documents_of(Entry(members("in/odd")[0], archive), 0)
    assert json.loads(document.source)["key"] == "in/odd"
    outbox.note(waiting, 1, {0: ("it was odd", document.source)})
    outbox.done(waiting)
