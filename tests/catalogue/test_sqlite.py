from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3batch.catalogue.contract import Catalogue, Query
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.catalogue.sqlite_schema import ROOM, STEPS
from s3sync.errors import Permanent, Preflight
from s3sync.statedb import StateDb
from tests.catalogue.examples import add, contents, found, listed, members, opened, pages, record


def test_it_is_a_catalogue(catalogue: SqliteCatalogue) -> None:
    """The type checker holds it to the contract."""
    as_contract: Catalogue = catalogue

    assert [] == as_contract.buckets()


def test_adding_again_changes_nothing(catalogue: SqliteCatalogue) -> None:
    """A batch that is there already is left as it is."""
    add(catalogue, "one", members("a"))
    before = contents(catalogue)

    add(catalogue, "one", members("a", "b"))

    assert before == contents(catalogue)


def test_full_text_gathers_an_archive_before_it_writes(catalogue: SqliteCatalogue, tmp_path: Path) -> None:
    """Tens of thousands of members become one segment, not several that would have to be merged."""
    keys = (f"customer/{number * 7919:08x}-{number:05}-{number * 31:07}.pdf" for number in range(30_000))
    add(catalogue, "one", members(*keys))
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as db, db:
        (segments,) = db.execute("SELECT count(DISTINCT segid) FROM names_idx").fetchone()

    assert 1 == segments


def test_a_catalogue_that_is_refused_is_closed(tmp_path: Path) -> None:
    """The file of a newer program is not left open: SQLite's log goes with the last who had it open."""
    with StateDb.open(tmp_path / "catalogue.db") as newer:
        newer.migrate(ROOM, [*STEPS, "CREATE TABLE later (x INTEGER) STRICT;"])

    with pytest.raises(Preflight, match="knows versions up to") as refused:
        SqliteCatalogue.open(tmp_path / "catalogue.db")

    assert ["catalogue.db"] == os.listdir(tmp_path)
    assert refused.value.subject == str(tmp_path / "catalogue.db")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_count_adds_nothing(catalogue: SqliteCatalogue, count: int) -> None:
    """An archive whose members are not as many as its record says is not catalogued at all."""
    with pytest.raises(Permanent, match=r"[02] members came") as refused:
        catalogue.add(record("one", count), members("a", "b") if count else [])

    assert refused.value.subject == "archive s3://bucket/in/one.tar"
    assert {"archives": 0, "members": 0, "bytes": 0} == {
        name: count for name, count in catalogue.statistics().items() if name != "disk_bytes"
    }
    assert [] == found(catalogue)


def test_failing_source_adds_nothing(catalogue: SqliteCatalogue) -> None:
    """Where the members break off with an error, no part of the archive stays."""

    def breaking() -> object:
        yield from members("a")
        raise Permanent("list", "is torn")

    with pytest.raises(Permanent):
        catalogue.add(record("one", 2), breaking())  # type: ignore[arg-type]

    assert [] == found(catalogue)
    assert catalogue.archive("bucket", "in/one.tar") is None


def test_two_batches_under_one_key(catalogue: SqliteCatalogue) -> None:
    """A second batch that claims the key of a catalogued archive is refused."""
    archive = add(catalogue, "one", members("a"))

    with pytest.raises(Permanent, match="another batch's archive"):
        catalogue.add(replace(archive, batch="two"), members("a"))


@settings(max_examples=40)
@given(
    days=st.permutations(range(6)),
    limit=st.integers(1, 5),
    word=st.sampled_from(["k/", "key", "y1", "ey0", ""]),
    twins=st.sets(st.integers(0, 5)),
)
def test_find_agrees_with_reading_everything(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], limit: int, word: str, twins: set[int]
) -> None:
    """Whatever the order of arrival, the pages together are what sorting all members by hand gives."""
    with opened(tmp_path_factory.mktemp("catalogue")) as catalogue:
        for day in days:
            content = "same" if day in twins else str(day)
            add(catalogue, f"b{day}", members("k/key0", f"k/key{day}", content=content), day=day)
        expected, seen = [], set()
        for day in sorted(days, reverse=True):
            for key in (f"k/key{day}", "k/key0"):
                content = "same" if day in twins else str(day)
                if word in key and (key, content) not in seen:
                    seen.add((key, content))
                    expected.append(key)

        assert expected == found(catalogue, word, limit=limit)


def test_reading_far_is_done_in_pieces(catalogue: SqliteCatalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that reads much and finds little gives a short page and goes on from there."""
    monkeypatch.setattr("s3batch.catalogue.sqlite_find.MOST_READ", 10)
    add(catalogue, "old", members("needle.txt"))
    add(catalogue, "new", members(*(f"{number:03}.txt" for number in range(45))), day=1)

    read = pages(catalogue, Query(words=("ee",)))

    assert [[], [], [], [], ["needle.txt"]] == read


def test_cursor_outlives_a_rebuild(tmp_path: Path) -> None:
    """A cursor goes on in another catalogue with the same archives, in whatever order it got them."""
    with opened(tmp_path, "one.db") as first, opened(tmp_path, "two.db") as second:
        for catalogue, days in ((first, range(4)), (second, (2, 0, 3, 1))):
            for day in days:
                add(catalogue, f"b{day}", members(f"{day}.txt", f"{day}.csv"), day=day)
        page = first.find(Query(limit=3))

        rest = second.find(Query(after=page.next))

        assert [b"2.txt", b"1.csv", b"1.txt", b"0.csv", b"0.txt"] == [entry.member.key for entry in rest.entries]


@settings(max_examples=60)
@given(
    keys=st.lists(st.binary(min_size=1, max_size=6).filter(lambda key: b"\0" not in key), min_size=1, max_size=30, unique=True),
    prefix=st.binary(max_size=2).filter(lambda key: b"\0" not in key),
)
def test_ls_agrees_with_a_plain_listing(tmp_path_factory: pytest.TempPathFactory, keys: list[bytes], prefix: bytes) -> None:
    """Any keys, any prefix: the listing is what S3's delimiter would make of them."""
    keys = [key.replace(b"\x01", b"/") for key in keys]
    keys = sorted(set(keys))
    expected: dict[bytes, None] = {}
    for key in keys:
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            slash = rest.find(b"/")
            expected[key if slash < 0 else prefix + rest[: slash + 1]] = None
    with opened(tmp_path_factory.mktemp("catalogue")) as catalogue:
        add(catalogue, "one", members(*keys))

        assert list(expected) == [one.key for one in catalogue.ls("bucket", prefix)]
        assert [key for key in keys if key.startswith(prefix)] == [
            entry.member.key for entry in catalogue.below("bucket", prefix)
        ]


def test_listing_may_be_left_and_interleaved(catalogue: SqliteCatalogue) -> None:
    """A listing that is not read to its end keeps nobody waiting: others read and write meanwhile."""
    add(catalogue, "one", members(*(f"{number:05}" for number in range(3_000))))
    listing = catalogue.ls("bucket", b"")
    first = next(listing)

    writer = threading.Thread(target=add, args=(catalogue, "two", members("x")), kwargs={"day": 1})
    writer.start()
    writer.join()

    assert (b"00000", 1) == (first.key, len(catalogue.versions(b"x")))
    assert 3_000 == sum(1 for _ in listing)


def test_statistics(catalogue: SqliteCatalogue, tmp_path: Path) -> None:
    """The catalogue counts archives, members, their bytes, and its own size on the disk."""
    add(catalogue, "one", members("a", "b", size=100))
    add(catalogue, "two", members("a", size=50))

    counted = catalogue.statistics()

    disk_bytes = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert {"archives": 2, "members": 3, "bytes": 250, "disk_bytes": disk_bytes} == counted


def test_unknown_archive(catalogue: SqliteCatalogue) -> None:
    """What is not there is nothing, not an error."""
    assert catalogue.archive("bucket", "in/none.tar") is None
    assert [] == list(catalogue.members("bucket", "in/none.tar"))
    assert catalogue.find(Query(words=("any",))).next is None


def test_replace(catalogue: SqliteCatalogue) -> None:
    """An archive is replaced whole: its old members are not found any more, its new ones are, all others stay."""
    add(catalogue, "zero", members("kept.txt"))
    archive = add(catalogue, "one", members("wrong.txt", "also-wrong.txt"), day=1)
    add(catalogue, "two", members("later.txt"), day=2)

    right = replace(archive, members=1)
    catalogue.replace(right, members("right.txt"))

    assert ["later.txt", "right.txt", "kept.txt"] == found(catalogue, "txt")
    assert ["later.txt", "right.txt", "kept.txt"] == found(catalogue)
    assert [] == found(catalogue, "wrong")
    assert [(b"kept.txt", 1), (b"later.txt", 1), (b"right.txt", 1)] == listed(catalogue)
    assert right == catalogue.archive("bucket", archive.ref.key)
    assert catalogue.statistics()["members"] == 3


def test_holds(catalogue: SqliteCatalogue) -> None:
    """Only exactly the same record with exactly the same members counts as held."""
    archive = add(catalogue, "one", members("a", "b"))

    assert catalogue.holds(archive, members("a", "b"))
    assert not catalogue.holds(archive, members("a"))
    assert not catalogue.holds(archive, members("a", "b", "c"))
    assert not catalogue.holds(archive, members("a", "b", content="other"))
    assert not catalogue.holds(replace(archive, size=1), members("a", "b"))
    assert not catalogue.holds(replace(archive, batch="two", ref=replace(archive.ref, key="in/two.tar")), members("a", "b"))


def test_everything_stays_over_a_restart(tmp_path: Path) -> None:
    """A catalogue that was closed and opened again says the same."""
    with opened(tmp_path) as catalogue:
        add(catalogue, "one", members("a.txt", b"\xff"))
        before = contents(catalogue)

    with opened(tmp_path) as catalogue:
        assert before == contents(catalogue)
        assert ["a.txt"] == found(catalogue, "a.txt")


def test_odd_owners_and_times(catalogue: SqliteCatalogue) -> None:
    """Names that are not Unicode and times beyond 64 bits become the nearest thing a table and a manifest can hold."""
    odd = members("a")[0]._replace(user="\udcff", mtime_ns=10**30)

    add(catalogue, "one", [odd])

    (entry,) = catalogue.versions(b"a")
    assert ("\\udcff", 2**63 - 1) == (entry.member.user, entry.member.mtime_ns)
    assert catalogue.holds(entry.archive, [odd])
