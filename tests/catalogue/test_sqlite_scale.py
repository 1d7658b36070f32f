from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from s3batch.catalogue import sqlite, sqlite_find
from s3batch.catalogue.contract import Query
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.model import Member
from tests.catalogue.examples import BEGIN, opened, record

ARCHIVES = 20
EACH = 10_000
OWNER = (0o644, 1000, 100, "alice", "users")


def key_of(archive: int, number: int) -> bytes:
    """Return a key such as customers have."""
    return f"big/folder-{archive % 4}/customer/{archive:03}/2026/report-{number:06}-{number * 7919 % 1000:03}.pdf".encode()


def many(archive: int) -> Iterator[Member]:
    """Yield the members of one archive."""
    for number in range(EACH):
        digest = hashlib.sha256(b"%d %d" % (archive, number)).hexdigest()
        mtime_ns = 1_700_000_000_000_000_000 + number * 1_000_003
        yield Member(key_of(archive, number), 512 + number * 4608, 4096, digest, mtime_ns, *OWNER)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteCatalogue]:
    """Return a catalogue of 200,000 members."""
    with opened(tmp_path_factory.mktemp("large")) as catalogue:
        for archive in range(ARCHIVES):
            catalogue.add(record(f"b{archive:03}", EACH, day=archive), many(archive))
        yield catalogue


@contextmanager
def steps(catalogue: SqliteCatalogue) -> Iterator[list[int]]:
    """Count, in hundreds, the instructions SQLite's machine runs: what a query reads, whatever the machine's speed."""
    counted = [0]

    def tick() -> int:
        counted[0] += 1
        return 0

    with catalogue._db.read() as db:
        db.set_progress_handler(tick, 100)
        try:
            yield counted
        finally:
            db.set_progress_handler(None, 0)


def plan(catalogue: SqliteCatalogue, query: str, values: object) -> str:
    """Return how SQLite means to answer a query."""
    with catalogue._db.read() as db:
        return "\n".join(row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "values", "used"),
    [
        (sqlite.VERSIONS, None, "SEARCH m USING INDEX members_by_key (bucket=? AND key=?)"),
        (
            sqlite.KEY_AFTER_ROWS,
            ("bucket", b"a", b"b", 9),
            "SEARCH members USING COVERING INDEX members_by_key (bucket=? AND key>?",
        ),
        (sqlite.KEYS_BETWEEN, ("bucket", b"a", b"b", 9), "SEARCH m USING INDEX members_by_key (bucket=? AND key>? AND key<?)"),
        (sqlite.ARCHIVE_BY_KEY, ("bucket", "key"), "SEARCH a USING INDEX sqlite_autoindex_archives_2 (bucket=? AND key=?)"),
        (sqlite.MEMBERS_BY_ID, (1, 2), "SEARCH m USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (sqlite_find.BY_ID, (1, 2), "SEARCH m USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (sqlite_find.BY_TRIGRAMS, (1, 2, '"abc"'), "SCAN names VIRTUAL TABLE INDEX"),
        (
            sqlite_find.NEWEST_BELOW,
            (1, "a", 1, 1, 2),
            "SEARCH archives USING INDEX archives_by_age ((created,batch,bucket)<(?,?,?))",
        ),
        (sqlite_find.NEWER_TWIN, None, "SEARCH t USING INDEX members_by_key (bucket=? AND key=?)"),
    ],
)
def test_queries_use_their_indexes(large: SqliteCatalogue, query: str, values: tuple[object, ...] | None, used: str) -> None:
    """No query of the catalogue reads a table from end to end, nor sorts more than the versions of one key."""
    names = ("bucket", "key", "limit", "sha256", "mtime", "until", "created", "batch", "id")
    planned = plan(large, query, dict.fromkeys(names, 1) if values is None else values)

    assert used in planned
    assert "SCAN m" not in planned.replace("SCAN names", "")
    assert "USE TEMP B-TREE FOR ORDER BY" not in planned or query == sqlite.VERSIONS


@pytest.mark.parametrize(
    ("query", "hundreds"),
    [
        (Query(words=("report",)), 200),
        (Query(words=("REPORT", "2026")), 200),
        (Query(words=("customer/013", "report-007777")), 200),
        (Query(words=("nowhere",)), 10),
        (Query(words=("customer/003", "0042"), until=BEGIN), 50),
    ],
)
def test_find_reads_little(large: SqliteCatalogue, query: Query, hundreds: int) -> None:
    """A page of a search runs a small and known number of steps, be the words common, rare or nowhere."""
    with steps(large) as counted:
        large.find(query)

    assert counted[0] < hundreds


def test_listing_folders_reads_no_members(large: SqliteCatalogue) -> None:
    """Naming the folders above 200,000 files does not read the files."""
    with steps(large) as counted:
        top = [one.key for one in large.ls("bucket", b"")]
        folders = [one.key for one in large.ls("bucket", b"big/")]

    assert ([b"big/"], [b"big/folder-%d/" % number for number in range(4)]) == (top, folders)
    assert counted[0] < 200


def test_exact_look_up_reads_little(large: SqliteCatalogue) -> None:
    """One key is found without reading its neighbours."""
    with steps(large) as counted:
        versions = large.versions(key_of(7, 1234))

    assert ["b007"] == [entry.archive.batch for entry in versions]
    assert counted[0] < 10


def test_a_member_costs_less_than_300_bytes(large: SqliteCatalogue) -> None:
    """The catalogue with its full-text index stays below 300 bytes a member, for keys of some 55 bytes."""
    with large._db.read() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    assert large.statistics()["disk_bytes"] / (ARCHIVES * EACH) < 300


def test_pages_to_the_end(large: SqliteCatalogue) -> None:
    """All pages of a common word hold every member once, even where the newest archives have none of it."""
    query = Query(words=("folder-0",), limit=5_000)
    seen: set[bytes] = set()
    while True:
        page = large.find(query)
        seen.update(entry.member.key for entry in page.entries)
        if page.next is None:
            break
        query = Query(words=query.words, limit=5_000, after=page.next)

    assert {key_of(archive, number) for archive in range(0, ARCHIVES, 4) for number in range(EACH)} == seen


def test_a_catalogue_of_many_small_archives(tmp_path: Path) -> None:
    """A search in thousands of archives, catalogued in any order, still pages newest first."""
    with opened(tmp_path) as catalogue:
        for place in range(1_000):
            day = place * 377 % 1_000
            one = Member(b"in/%04d.txt" % day, 512, 1, "0" * 64, day, *OWNER)
            catalogue.add(record(f"b{day:04}", 1, day=day), [one])

        page = catalogue.find(Query(words=("txt",), limit=3))
        rest = catalogue.find(Query(words=("txt",), limit=2_000, after=page.next))

    assert [b"in/0999.txt", b"in/0998.txt", b"in/0997.txt"] == [entry.member.key for entry in page.entries]
    assert [b"in/%04d.txt" % day for day in range(996, -1, -1)] == [entry.member.key for entry in rest.entries]
