from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3batch.catalogue.contract import Catalogue, Listed, Query
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3sync.errors import Permanent, Usage
from tests.catalogue.examples import BEGIN, add, contents, members, opened, record


def found(catalogue: SqliteCatalogue, *words: str, **bounds: object) -> list[str]:
    """Return the keys of all pages of a search."""
    return [key for page in pages(catalogue, Query(words=words, **bounds)) for key in page]  # type: ignore[arg-type]


def pages(catalogue: SqliteCatalogue, query: Query) -> list[list[str]]:
    """Return the keys of each page."""
    read = []
    while True:
        page = catalogue.find(query)
        read.append([entry.member.key.decode(errors="replace") for entry in page.entries])
        if page.next is None:
            return read
        query = replace(query, after=page.next)


def listed(catalogue: SqliteCatalogue, prefix: str = "", bucket: str = "bucket") -> list[tuple[bytes, int]]:
    """Return the keys of a listing, each with the number of its versions."""
    return [(one.key, one.versions) for one in catalogue.ls(bucket, prefix.encode())]


def test_it_is_a_catalogue(catalogue: SqliteCatalogue) -> None:
    """The type checker holds it to the contract."""
    as_contract: Catalogue = catalogue

    assert [] == as_contract.buckets()


def test_added_is_found(catalogue: SqliteCatalogue) -> None:
    """Everything that was added of a member comes back."""
    inside = members("in/a.txt", "in/b.txt")

    archive = add(catalogue, "one", inside)

    assert inside == [entry.member for entry in catalogue.members("bucket", archive.ref.key)]
    assert [archive, archive] == [entry.archive for entry in catalogue.find(Query(words=("txt",))).entries]
    assert archive == catalogue.archive("bucket", archive.ref.key)


def test_adding_again_changes_nothing(catalogue: SqliteCatalogue) -> None:
    """A batch that is there already is left as it is."""
    add(catalogue, "one", members("a"))
    before = contents(catalogue)

    add(catalogue, "one", members("a", "b"))

    assert before == contents(catalogue)


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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("report",), ["in/Report-March.PDF", "in/annual report.pdf"]),
        (("REPORT", "march"), ["in/Report-March.PDF"]),
        (("ort m",), []),
        (("ort-m",), ["in/Report-March.PDF"]),
        (("march", "report"), ["in/Report-March.PDF"]),
        (("é",), ["in/café/menu.txt"]),
        (("CAFÉ",), ["in/café/menu.txt"]),
        (("fé",), ["in/café/menu.txt"]),
        (("al", "re"), ["in/annual report.pdf"]),
        (("rch", "x"), []),
        (('"quo"',), ['in/"quo"te.txt']),
        (("AND",), []),
        (("*",), []),
        (("_",), []),
        (("%",), []),
        (("",), ["in/Report-March.PDF", 'in/"quo"te.txt', "in/annual report.pdf", "in/café/menu.txt"]),
        ((), ["in/Report-March.PDF", 'in/"quo"te.txt', "in/annual report.pdf", "in/café/menu.txt"]),
    ],
)
def test_find_by_words(catalogue: SqliteCatalogue, words: tuple[str, ...], expected: list[str]) -> None:
    """All words must be in the key, anywhere, in any case, short ones too; nothing in them is special."""
    add(catalogue, "one", members("in/Report-March.PDF", "in/annual report.pdf", "in/café/menu.txt", 'in/"quo"te.txt'))

    assert sorted(expected) == sorted(found(catalogue, *words))


def test_trigrams_alone_are_no_hit(catalogue: SqliteCatalogue) -> None:
    """A key that holds all trigrams of a word, but not the word, is not found."""
    add(catalogue, "one", members("abcd-bcda-cdab"))

    assert [] == found(catalogue, "abcda")
    assert ["abcd-bcda-cdab"] == found(catalogue, "abcd")


def test_long_words(catalogue: SqliteCatalogue) -> None:
    """A word far longer than the trigrams asked for must still be there to its last letter."""
    key = "folder/" + "".join(f"{number:03}" for number in range(300))
    add(catalogue, "one", members(key))

    assert [key] == found(catalogue, key)
    assert [] == found(catalogue, key[:-1] + "x")
    assert [] == found(catalogue, key[:400] + "x" + key[401:])


def test_find_a_name_that_is_not_utf8(catalogue: SqliteCatalogue) -> None:
    """A key that is not UTF-8 is found by what is shown of it, and by what is typed of it; its raw bytes come back."""
    add(catalogue, "one", members(b"in/caf\xe9.txt", "in/caf\\xe9.txt"))

    hits = catalogue.find(Query(words=("caf\\xe9.t",))).entries

    assert {b"in/caf\xe9.txt", b"in/caf\\xe9.txt"} == {entry.member.key for entry in hits}
    assert [b"in/caf\xe9.txt"] == [entry.member.key for entry in catalogue.versions(b"in/caf\xe9.txt")]
    assert 2 == len(catalogue.find(Query(words=("caf\udce9",))).entries)


def test_find_narrowed(catalogue: SqliteCatalogue) -> None:
    """Bucket, prefix, archive time and size narrow the search; bounds are inclusive."""
    add(catalogue, "one", members("in/a.txt", "out/a.txt", size=10))
    add(catalogue, "two", members("in/b.txt", size=20), bucket="other", day=1)
    add(catalogue, "three", members("in/c.txt", size=30), day=2)

    assert ["in/c.txt", "out/a.txt", "in/a.txt"] == found(catalogue, "txt", bucket="bucket")
    assert ["in/c.txt", "in/b.txt", "in/a.txt"] == found(catalogue, "txt", prefix=b"in/")
    assert ["in/c.txt", "in/b.txt"] == found(catalogue, "txt", since=BEGIN + timedelta(days=1))
    assert ["in/b.txt", "out/a.txt", "in/a.txt"] == found(catalogue, "txt", until=BEGIN + timedelta(days=1))
    assert ["in/c.txt", "in/b.txt"] == found(catalogue, larger=20)
    assert ["in/b.txt", "out/a.txt", "in/a.txt"] == found(catalogue, smaller=20)
    assert [] == found(catalogue, prefix=b"IN/")
    assert [] == found(catalogue, bucket="nobody")


@pytest.mark.parametrize("words", [("txt",), ("t",), ()])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages(catalogue: SqliteCatalogue, words: tuple[str, ...], limit: int) -> None:
    """Pages of any size hold every hit once, newest archive first; only the last names no next."""
    for day in range(5):
        add(catalogue, f"b{day}", members(*(f"{day}/{number}.txt" for number in range(3))), day=day)

    read = pages(catalogue, Query(words=words, limit=limit))

    assert [f"{day}/{number}.txt" for day in (4, 3, 2, 1, 0) for number in (2, 1, 0)] == [key for page in read for key in page]
    assert {limit} >= {len(page) for page in read[:-1]}


def test_old_archives_catalogued_late(catalogue: SqliteCatalogue) -> None:
    """Age is the archive's creation time, in whatever order archives were catalogued, on every page."""
    days = [5, 3, 8, 1, 9, 2, 2.5, 7]
    for day in days:
        add(catalogue, f"b{day}", members(f"{day}/a.txt", "same.txt", content=str(day)), day=day)

    newest_first = sorted(days, reverse=True)
    assert [f"{day}/a.txt" for day in newest_first] == found(catalogue, "/a.txt", limit=3)
    assert [f"b{day}" for day in newest_first] == [entry.archive.batch for entry in catalogue.versions(b"same.txt")]
    assert ["8/a.txt", "7/a.txt", "5/a.txt"] == found(
        catalogue, "/a", limit=1, since=BEGIN + timedelta(days=5), until=BEGIN + timedelta(days=8)
    )


def test_same_time_is_ordered_by_batch(catalogue: SqliteCatalogue) -> None:
    """Two archives of one moment are ordered by their batch ids, whichever was catalogued first."""
    for batch in ("b", "c", "a"):
        add(catalogue, batch, members("key", content=batch))

    assert ["c", "b", "a"] == [entry.archive.batch for entry in catalogue.versions(b"key")]
    assert ["c", "b", "a"] == [entry.archive.batch for entry in catalogue.find(Query(words=("key",))).entries]


@settings(max_examples=40, deadline=None)
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


def test_cursor_of_somebody_else(catalogue: SqliteCatalogue) -> None:
    """A cursor that is none of ours is refused as the caller's mistake."""
    for wrong in ("x", "!!", "WzEsMiwzXQ", "é", "eyJhIjoxfQ"):
        with pytest.raises(Usage, match="is no cursor of a search"):
            catalogue.find(Query(after=wrong))


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


def test_twins_are_one(catalogue: SqliteCatalogue) -> None:
    """The same key with the same bytes and time in two archives is shown once, as the archive reserved last."""
    add(catalogue, "late", members("in/a.txt", "in/b.txt"), day=3)
    add(catalogue, "early", members("in/a.txt", "in/b.txt"), day=1)

    assert ["late"] == [entry.archive.batch for entry in catalogue.versions(b"in/a.txt")]
    assert [(b"in/a.txt", 1), (b"in/b.txt", 1)] == listed(catalogue, "in/")
    assert ["in/b.txt", "in/a.txt"] == found(catalogue, "txt")
    assert ["late", "late"] == [entry.archive.batch for entry in catalogue.below("bucket", b"", every_version=True)]
    assert 2 == len(list(catalogue.members("bucket", "in/early.tar")))


def test_twins_at_an_earlier_moment(catalogue: SqliteCatalogue) -> None:
    """At a moment between two twins the earlier one is there; it is not hidden by what came later."""
    add(catalogue, "early", members("a.txt"), day=1)
    add(catalogue, "late", members("a.txt"), day=3)
    between = BEGIN + timedelta(days=2)

    assert ["early"] == [entry.archive.batch for entry in catalogue.versions(b"a.txt", "bucket", between)]
    assert ["early"] == [entry.archive.batch for entry in catalogue.below("bucket", b"", between)]
    assert ["early"] == [entry.archive.batch for entry in catalogue.find(Query(words=("a.txt",), until=between)).entries]


def test_equal_bytes_of_another_bucket_are_no_twin(catalogue: SqliteCatalogue) -> None:
    """Buckets are apart: the same drop in two of them is two."""
    add(catalogue, "one", members("a.txt"))
    add(catalogue, "two", members("a.txt"), bucket="other")

    assert {"bucket", "other"} == {entry.bucket for entry in catalogue.versions(b"a.txt")}
    assert ["other"] == [entry.bucket for entry in catalogue.versions(b"a.txt", "other")]
    assert ["a.txt", "a.txt"] == found(catalogue, "a.txt")


def test_versions_newest_first(catalogue: SqliteCatalogue) -> None:
    """A key dropped three times has three versions, ordered by when their archives were reserved."""
    for day in (1, 3, 2):
        add(catalogue, f"b{day}", members("a.txt", content=str(day)), day=day)

    assert ["b3", "b2", "b1"] == [entry.archive.batch for entry in catalogue.versions(b"a.txt")]
    assert ["b2", "b1"] == [entry.archive.batch for entry in catalogue.versions(b"a.txt", as_of=BEGIN + timedelta(days=2))]
    assert [] == catalogue.versions(b"A.txt")


def test_ls(catalogue: SqliteCatalogue) -> None:
    """A listing shows folders once and files with their versions, in the order of their bytes, as S3 does."""
    add(catalogue, "one", members("a-b", "a/x", "a/y/z", "a0", "b/", b"b/\xff", "c"))
    add(catalogue, "two", members("a/x", "c", content="new"), day=1)

    assert [(b"a-b", 1), (b"a/", 0), (b"a0", 1), (b"b/", 0), (b"c", 2)] == listed(catalogue)
    assert [(b"a/x", 2), (b"a/y/", 0)] == listed(catalogue, "a/")
    assert [(b"b/", 1), (b"b/\xff", 1)] == listed(catalogue, "b/")
    assert [(b"a-b", 1), (b"a/", 0), (b"a0", 1)] == listed(catalogue, "a")
    assert [] == listed(catalogue, "d")
    assert [] == listed(catalogue, bucket="nobody")


def test_ls_of_many(catalogue: SqliteCatalogue) -> None:
    """A folder of many files is listed whole, across all pieces it is read in."""
    keys = [f"many/{number:05}" for number in range(5_000)]
    add(catalogue, "one", members(*keys))

    assert [(key.encode(), 1) for key in keys] == listed(catalogue, "many/")


def test_ls_of_a_key_with_many_versions(catalogue: SqliteCatalogue) -> None:
    """A key with more versions than are read at once is one line."""
    for day in range(40):
        add(catalogue, f"b{day}", members("a", "b", "c", content=str(day)), day=day)

    assert [(b"a", 40), (b"b", 40), (b"c", 40)] == listed(catalogue)


@settings(max_examples=60, deadline=None)
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


def test_ls_says_which_is_newest(catalogue: SqliteCatalogue) -> None:
    """A listed file is its newest version."""
    add(catalogue, "new", members("a", content="new"), day=1)
    add(catalogue, "old", members("a", content="old"))

    (line,) = catalogue.ls("bucket", b"")

    assert isinstance(line, Listed)
    assert line.entry is not None
    assert line.entry.archive.batch == "new"


def test_below(catalogue: SqliteCatalogue) -> None:
    """Below a prefix lie the newest versions of its keys, in key order; of a moment, those of then; or all."""
    add(catalogue, "old", members("in/a", "in/b", "out/c"))
    add(catalogue, "new", members("in/b", "in/d", content="new"), day=2)

    def below(**how: object) -> list[tuple[bytes, str]]:
        entries = catalogue.below("bucket", b"in/", **how)  # type: ignore[arg-type]
        return [(entry.member.key, entry.archive.batch) for entry in entries]

    assert [(b"in/a", "old"), (b"in/b", "new"), (b"in/d", "new")] == below()
    assert [(b"in/a", "old"), (b"in/b", "old")] == below(as_of=BEGIN + timedelta(days=1))
    assert [(b"in/a", "old"), (b"in/b", "new"), (b"in/b", "old"), (b"in/d", "new")] == below(every_version=True)


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


def test_buckets(catalogue: SqliteCatalogue) -> None:
    """Buckets that have an archive are named in order."""
    for bucket in ("zoo", "ape", "bee"):
        add(catalogue, bucket, members("a"), bucket=bucket)

    assert ["ape", "bee", "zoo"] == catalogue.buckets()


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
