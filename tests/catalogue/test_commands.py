from __future__ import annotations

import argparse
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from s3batch.catalogue.contract import Lookup
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.commands import find, ls, rebuild, show
from s3batch.commands._moments import first_moment, last_moment
from s3batch.legacy.former import Former
from s3batch.settings import Where
from s3sync.errors import Exit, NotFound, Usage
from s3sync.events import Listener, silent
from s3sync.output import Output
from tests.catalogue.examples import BEGIN, add, members, stored
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore

ODD = b"in/caf\xe9.txt"


@dataclass
class Settings:
    """The settings the commands read."""

    buckets: tuple[str, ...] | None = None
    manifest_bucket: str | None = None
    catalogue: Where = Where.AUTO


@dataclass
class App:
    """What commands take from the application, in memory."""

    catalogue: SqliteCatalogue
    output: Output
    store: MemoryStore = field(default_factory=lambda: MemoryStore(FakeClock(BEGIN), buckets=("bucket", "other")))
    settings: Settings = field(default_factory=Settings)
    listener: Listener = silent
    fleet: Lookup | None = None
    former: Former | None = None

    def now(self) -> datetime:
        return BEGIN + timedelta(days=10)


class Ran:
    """A command that was run: its exit code and what it said."""

    def __init__(self, command: Any, catalogue: SqliteCatalogue, *argv: str, as_json: bool = False, **given: Any) -> None:  # noqa: ANN401
        out, err = io.StringIO(), io.StringIO()
        parser = argparse.ArgumentParser()
        command.setup(parser)
        app = App(catalogue, Output(as_json=as_json, stdout=out, stderr=err), **given)
        self.exit = command.run(parser.parse_args(argv), app)
        self.out, self.err = out.getvalue(), err.getvalue()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def catalogue(catalogue: SqliteCatalogue) -> SqliteCatalogue:
    """Return a catalogue with a few keys in two buckets."""
    add(catalogue, "b1", members("in/a.txt", "in/sub/report.pdf", "in/é \n.txt", ODD), day=1)
    add(catalogue, "b2", members("in/a.txt", content="2", size=2000), day=2)
    add(catalogue, "o1", members("in/a.txt", "in/o.txt"), bucket="other", day=3)
    return catalogue


def test_find_record(catalogue: SqliteCatalogue) -> None:
    """A found member is one object with the published fields."""
    ran = Ran(find, catalogue, "REPORT", "sub", as_json=True)

    (member,) = members("in/a.txt", "in/sub/report.pdf")[1:]
    assert [
        {
            "bucket": "bucket",
            "key": "in/sub/report.pdf",
            "archive": "in/b1.tar",
            "offset": member.offset,
            "size": 100,
            "sha256": member.sha256,
            "mtime": "2023-11-14T22:13:20Z",
            "archived_at": "2026-03-02T12:00:00.000000Z",
        }
    ] == ran.records
    assert Exit.DONE == ran.exit


def test_find_of_a_key_that_is_not_utf8(catalogue: SqliteCatalogue) -> None:
    """A key that is not UTF-8 has its raw bytes beside it."""
    (record,) = Ran(find, catalogue, "caf", as_json=True).records

    assert ("in/caf\\xe9.txt", "aW4vY2Fm6S50eHQ=") == (record["key"], record["key_base64"])


def test_find_for_people(catalogue: SqliteCatalogue) -> None:
    """People see time, size and a name that can be typed back, one line each whatever is in the name."""
    ran = Ran(find, catalogue, "txt", "--bucket", "bucket")

    assert [
        "2023-11-14 22:13:20 UTC     2.0 KiB  archived 2026-03-03  s3://bucket/in/a.txt",
        "2023-11-14 22:13:20 UTC       100 B  archived 2026-03-02  s3://bucket/base64:aW4vY2Fm6S50eHQ=",
        "2023-11-14 22:13:20 UTC       100 B  archived 2026-03-02  s3://bucket/base64:aW4vw6kgCi50eHQ=",
        "2023-11-14 22:13:20 UTC       100 B  archived 2026-03-02  s3://bucket/in/a.txt",
    ] == ran.out.splitlines()


def test_a_catalogue_that_there_is_none_of(catalogue: SqliteCatalogue, capsys: pytest.CaptureFixture[str]) -> None:
    """Those there are are named, as they are typed."""
    with pytest.raises(SystemExit):
        Ran(find, catalogue, "x", "--catalogue", "nowhere")

    assert "invalid choice: 'nowhere' (choose from 'auto', 'local', 'opensearch')" in capsys.readouterr().err


def test_find_limit_and_after(catalogue: SqliteCatalogue) -> None:
    """A limit stops the search and says how to go on; going on finds the rest and says nothing more."""
    first = Ran(find, catalogue, "txt", "--limit", "2", as_json=True)
    cursor = first.err.removeprefix("There may be more: --after ").strip()

    second = Ran(find, catalogue, "txt", "--after", cursor, as_json=True)

    assert (2, 4, "") == (len(first.records), len(second.records), second.err)
    assert 6 == len(Ran(find, catalogue, "txt", "--limit", "0", as_json=True).records)


@pytest.mark.parametrize(
    ("argv", "count"),
    [
        (["--since", "2026-03-03"], 3),
        (["--since", "9d"], 7),
        (["--since", "8d"], 3),
        (["--until", "2026-03-02"], 4),
        (["--until", "2026-03-02T11:00:00Z"], 0),
        (["--larger", "1KiB"], 1),
        (["--smaller", "1000"], 6),
        (["--prefix", "in/sub/"], 1),
        (["--prefix", "base64:aW4vY2Fm6Q=="], 1),
    ],
)
def test_find_narrowed(catalogue: SqliteCatalogue, argv: list[str], count: int) -> None:
    """Times, sizes and prefixes narrow the search as people write them."""
    ran = Ran(find, catalogue, *argv, as_json=True)

    assert (count, Exit.DONE if count else Exit.NOT_FOUND) == (len(ran.records), ran.exit)


def test_find_nothing(catalogue: SqliteCatalogue) -> None:
    """Nothing found is an exit code of its own and no record."""
    ran = Ran(find, catalogue, "nowhere", as_json=True)

    assert (Exit.NOT_FOUND, "", "Nothing found.\n") == (ran.exit, ran.out, ran.err)


def test_ls(catalogue: SqliteCatalogue) -> None:
    """A listing names folders, and files with their newest version and how many there are."""
    ran = Ran(ls, catalogue, "s3://bucket/in/")

    assert [
        "2023-11-14 22:13:20 UTC     2.0 KiB  in/a.txt  (2 versions)",
        "2023-11-14 22:13:20 UTC       100 B  in/caf\\xe9.txt",
        "                 folder              in/sub/",
        "2023-11-14 22:13:20 UTC       100 B  in/é \\n.txt",
    ] == ran.out.splitlines()


def test_ls_records(catalogue: SqliteCatalogue) -> None:
    """Listed files are the objects `find` gives, with the number of versions; folders are marked."""
    records = Ran(ls, catalogue, "s3://bucket/in/", as_json=True).records

    assert [("in/a.txt", False, 2), ("in/caf\\xe9.txt", False, 1), ("in/sub/", True, None), ("in/é \n.txt", False, 1)] == [
        (record["key"], record["folder"], record.get("versions")) for record in records
    ]
    assert "in/b2.tar" == records[0]["archive"]


def test_ls_without_a_bucket(catalogue: SqliteCatalogue) -> None:
    """Without an argument the buckets are listed; a prefix without a bucket is a mistake; what is not there is not found."""
    assert ["s3://bucket/", "s3://other/"] == Ran(ls, catalogue).out.splitlines()
    with pytest.raises(Usage, match="names no bucket"):
        Ran(ls, catalogue, "in/")
    with pytest.raises(NotFound):
        Ran(ls, catalogue, "s3://bucket/out/")


def test_show_a_key(catalogue: SqliteCatalogue) -> None:
    """A key is shown with all its versions, newest first, and the lines that bring each back."""
    records = Ran(show, catalogue, "s3://bucket/in/a.txt", as_json=True).records

    assert ["b2", "b1"] == [record["batch"] for record in records]
    assert {"0644"} == {record["mode"] for record in records}
    assert "--range bytes=512-2511 a.txt" in records[0]["commands"][2]


def test_show_for_people(catalogue: SqliteCatalogue) -> None:
    """People see everything known, a line each, and the commands as they can be copied."""
    lines = Ran(show, catalogue, "in/sub/report.pdf").out.splitlines()

    assert "s3://bucket/in/b1.tar#in/sub/report.pdf" == lines[0]
    assert "  storage_class       DEEP_ARCHIVE" in lines
    assert "    aws s3api get-object --bucket bucket --key in/b1.tar archive.tar" in lines


def test_show_an_archive(catalogue: SqliteCatalogue) -> None:
    """An archive is shown with what is known of it, its members if asked for."""
    ran = Ran(show, catalogue, "s3://bucket/in/b1.tar", "--members", as_json=True)

    archive, *inside = ran.records
    assert (4, "s3://bucket/s3-batch/manifests/bucket/2026/03/02/b1.json.gz") == (archive["members"], archive["manifest"])
    assert 4 == len(inside)
    assert "tar xf archive.tar" == archive["commands"][-1]


def test_show_refuses_to_guess(catalogue: SqliteCatalogue) -> None:
    """A name that fits several keys lists them."""
    ran = Ran(show, catalogue, "in/a.txt")

    assert (Exit.USAGE, ["  s3://bucket/in/a.txt", "  s3://other/in/a.txt"]) == (ran.exit, ran.out.splitlines()[1:])


@pytest.mark.parametrize("what", ["nothing", "s3://bucket/nothing", "s3://bucket/in/", "s3://bucket/in/b9.tar"])
def test_show_nothing(catalogue: SqliteCatalogue, what: str) -> None:
    """What is not there, or is no single key, is not found."""
    with pytest.raises(NotFound):
        Ran(show, catalogue, what)


def test_rebuild_command(catalogue: SqliteCatalogue) -> None:
    """The command rebuilds from the buckets it is told of and sums up in one record."""
    store = MemoryStore(FakeClock(BEGIN), buckets=("bucket", "other"))
    stored(store, "new", members("new.txt"), day=5)
    torn = stored(store, "torn", members("torn.txt"), day=6)
    store.seed(torn.manifest, b"torn")

    ran = Ran(rebuild, catalogue, "--bucket", "bucket", as_json=True, store=store)

    refused, summary = ran.records
    assert {"found": 2, "added": 1, "replaced": 0, "unchanged": 0, "refused": 1} == summary
    assert str(torn.manifest) == refused["manifest"]
    assert Exit.PARTIAL == ran.exit
    assert "left out s3://bucket/s3-batch/manifests/bucket/2026/03/07/torn.json.gz: it is not whole gzip" in ran.err


@pytest.mark.parametrize(
    ("argv", "settings", "added"),
    [
        ([], Settings(buckets=("bucket",)), 1),
        ([], Settings(), 2),
        (["--bucket", "other"], Settings(buckets=("bucket",)), 1),
        ([], Settings(manifest_bucket="other"), 1),
        (["--manifest-bucket", "bucket"], Settings(), 1),
    ],
)
def test_rebuild_where(catalogue: SqliteCatalogue, argv: list[str], settings: Settings, added: int) -> None:
    """Buckets come from the arguments, else from the settings, else from what the catalogue knows."""
    store = MemoryStore(FakeClock(BEGIN), buckets=("bucket", "other"))
    for bucket in ("bucket", "other"):
        stored(store, f"new-{bucket}", members("new.txt"), bucket=bucket, day=5)

    assert added == Ran(rebuild, catalogue, *argv, as_json=True, store=store, settings=settings).records[-1]["added"]


def test_rebuild_of_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """On an empty host somebody must say where to look."""
    empty = SqliteCatalogue.open(tmp_path_factory.mktemp("empty") / "catalogue.db")
    with pytest.raises(Usage, match="knows no bucket"):
        Ran(rebuild, empty)
    empty.close()


@pytest.mark.parametrize("command", [find, ls, show, rebuild])
def test_help(command: ModuleType) -> None:
    """Each command says what it is for in one line and shows two examples."""
    assert "\n" not in command.HELP
    assert 2 == command.EPILOG.count("\n  s3batch ")


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 21, 23, 59, 59, 999999, tzinfo=UTC)),
        (
            "2026-11-21T10:48:55Z",
            datetime(2026, 11, 21, 10, 48, 55, tzinfo=UTC),
            datetime(2026, 11, 21, 10, 48, 55, tzinfo=UTC),
        ),
        ("7d", BEGIN - timedelta(days=7), BEGIN - timedelta(days=7)),
    ],
)
def test_moments(text: str, first: datetime, last: datetime) -> None:
    """A date means its whole day, a time itself, a duration that long ago."""
    assert (first, last) == (first_moment(text, BEGIN), last_moment(text, BEGIN))


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-11-21T10", "99999999999d"])
def test_no_moment(text: str) -> None:
    """Anything else is the caller's mistake, and the hint shows how to write it."""
    with pytest.raises(Usage, match="is no moment"):
        first_moment(text, BEGIN)
