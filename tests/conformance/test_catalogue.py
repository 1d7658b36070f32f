"""What every catalogue must answer, whichever one it is: the same suite on catalogue.db and on the fleet's index."""

from __future__ import annotations

from datetime import timedelta

import pytest

from s3batch.catalogue.contract import Listed, Query
from s3sync.errors import Usage
from tests.catalogue.examples import BEGIN, Addable, add, found, listed, members, pages
from tests.conformance.catalogues import catalogue

__all__ = ["catalogue"]


def test_added_is_found(catalogue: Addable) -> None:
    """Everything that was added of a member comes back."""
    inside = members("in/a.txt", "in/b.txt")

    archive = add(catalogue, "one", inside)

    assert inside == [entry.member for entry in catalogue.members("bucket", archive.ref.key)]
    assert [archive, archive] == [entry.archive for entry in catalogue.find(Query(words=("txt",))).entries]
    assert archive == catalogue.archive("bucket", archive.ref.key)


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
def test_find_by_words(catalogue: Addable, words: tuple[str, ...], expected: list[str]) -> None:
    """All words must be in the key, anywhere, in any case, short ones too; nothing in them is special."""
    add(catalogue, "one", members("in/Report-March.PDF", "in/annual report.pdf", "in/café/menu.txt", 'in/"quo"te.txt'))

    assert sorted(expected) == sorted(found(catalogue, *words))


def test_letters_that_fold_into_two(catalogue: Addable) -> None:
    """A capital that is two letters without its case is found by both."""
    add(catalogue, "one", members("in/\u0130stanbul.txt", "in/i\u0307stan.txt"))

    for word in ("i\u0307stan", "\u0130STAN"):
        assert ["in/i\u0307stan.txt", "in/\u0130stanbul.txt"] == found(catalogue, word)


def test_trigrams_alone_are_no_hit(catalogue: Addable) -> None:
    """A key that holds all trigrams of a word, but not the word, is not found."""
    add(catalogue, "one", members("abcd-bcda-cdab"))

    assert [] == found(catalogue, "abcda")
    assert ["abcd-bcda-cdab"] == found(catalogue, "abcd")


def test_long_words(catalogue: Addable) -> None:
    """A word far longer than the trigrams asked for must still be there to its last letter."""
    key = "folder/" + "".join(f"{number:03}" for number in range(300))
    add(catalogue, "one", members(key))

    assert [key] == found(catalogue, key)
    assert [] == found(catalogue, key[:-1] + "x")
    assert [] == found(catalogue, key[:400] + "x" + key[401:])


def test_find_a_name_that_is_not_utf8(catalogue: Addable) -> None:
    """A key that is not UTF-8 is found by what is shown of it, and by what is typed of it; its raw bytes come back."""
    add(catalogue, "one", members(b"in/caf\xe9.txt", "in/caf\\xe9.txt"))

    hits = catalogue.find(Query(words=("caf\\xe9.t",))).entries

    assert {b"in/caf\xe9.txt", b"in/caf\\xe9.txt"} == {entry.member.key for entry in hits}
    assert [b"in/caf\xe9.txt"] == [entry.member.key for entry in catalogue.versions(b"in/caf\xe9.txt")]
    assert 2 == len(catalogue.find(Query(words=("caf\udce9",))).entries)


def test_find_narrowed(catalogue: Addable) -> None:
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
def test_pages(catalogue: Addable, words: tuple[str, ...], limit: int) -> None:
    """Pages of any size hold every hit once, newest archive first; only the last names no next."""
    for day in range(5):
        add(catalogue, f"b{day}", members(*(f"{day}/{number}.txt" for number in range(3))), day=day)

    read = pages(catalogue, Query(words=words, limit=limit))

    assert [f"{day}/{number}.txt" for day in (4, 3, 2, 1, 0) for number in (2, 1, 0)] == [key for page in read for key in page]
    assert {limit} >= {len(page) for page in read[:-1]}


def test_old_archives_catalogued_late(catalogue: Addable) -> None:
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


def test_same_time_is_ordered_by_batch(catalogue: Addable) -> None:
    """Two archives of one moment are ordered by their batch ids, whichever was catalogued first."""
    for batch in ("b", "c", "a"):
        add(catalogue, batch, members("key", content=batch))

    assert ["c", "b", "a"] == [entry.archive.batch for entry in catalogue.versions(b"key")]
    assert ["c", "b", "a"] == [entry.archive.batch for entry in catalogue.find(Query(words=("key",))).entries]


def test_cursor_of_somebody_else(catalogue: Addable) -> None:
    """A cursor that is none of ours is refused as the caller's mistake."""
    for wrong in ("x", "!!", "WzEsMiwzXQ", "é", "eyJhIjoxfQ"):
        with pytest.raises(Usage, match="is no cursor of a search"):
            catalogue.find(Query(after=wrong))


def test_twins_are_one(catalogue: Addable) -> None:
    """The same key with the same bytes and time in two archives is shown once, as the archive reserved last."""
    add(catalogue, "late", members("in/a.txt", "in/b.txt"), day=3)
    add(catalogue, "early", members("in/a.txt", "in/b.txt"), day=1)

    assert ["late"] == [entry.archive.batch for entry in catalogue.versions(b"in/a.txt")]
    assert [(b"in/a.txt", 1), (b"in/b.txt", 1)] == listed(catalogue, "in/")
    assert ["in/b.txt", "in/a.txt"] == found(catalogue, "txt")
    assert ["late", "late"] == [entry.archive.batch for entry in catalogue.below("bucket", b"", every_version=True)]
    assert 2 == len(list(catalogue.members("bucket", "in/early.tar")))


def test_twins_at_an_earlier_moment(catalogue: Addable) -> None:
    """At a moment between two twins the earlier one is there; it is not hidden by what came later."""
    add(catalogue, "early", members("a.txt"), day=1)
    add(catalogue, "late", members("a.txt"), day=3)
    between = BEGIN + timedelta(days=2)

    assert ["early"] == [entry.archive.batch for entry in catalogue.versions(b"a.txt", "bucket", between)]
    assert ["early"] == [entry.archive.batch for entry in catalogue.below("bucket", b"", between)]
    assert ["early"] == [entry.archive.batch for entry in catalogue.find(Query(words=("a.txt",), until=between)).entries]


def test_equal_bytes_of_another_bucket_are_no_twin(catalogue: Addable) -> None:
    """Buckets are apart: the same drop in two of them is two."""
    add(catalogue, "one", members("a.txt"))
    add(catalogue, "two", members("a.txt"), bucket="other")

    assert {"bucket", "other"} == {entry.bucket for entry in catalogue.versions(b"a.txt")}
    assert ["other"] == [entry.bucket for entry in catalogue.versions(b"a.txt", "other")]
    assert ["a.txt", "a.txt"] == found(catalogue, "a.txt")


def test_versions_newest_first(catalogue: Addable) -> None:
    """A key dropped three times has three versions, ordered by when their archives were reserved."""
    for day in (1, 3, 2):
        add(catalogue, f"b{day}", members("a.txt", content=str(day)), day=day)

    assert ["b3", "b2", "b1"] == [entry.archive.batch for entry in catalogue.versions(b"a.txt")]
    assert ["b2", "b1"] == [entry.archive.batch for entry in catalogue.versions(b"a.txt", as_of=BEGIN + timedelta(days=2))]
    assert [] == catalogue.versions(b"A.txt")


def test_ls(catalogue: Addable) -> None:
    """A listing shows folders once and files with their versions, in the order of their bytes, as S3 does."""
    add(catalogue, "one", members("a-b", "a/x", "a/y/z", "a0", "b/", b"b/\xff", "c"))
    add(catalogue, "two", members("a/x", "c", content="new"), day=1)

    assert [(b"a-b", 1), (b"a/", 0), (b"a0", 1), (b"b/", 0), (b"c", 2)] == listed(catalogue)
    assert [(b"a/x", 2), (b"a/y/", 0)] == listed(catalogue, "a/")
    assert [(b"b/", 1), (b"b/\xff", 1)] == listed(catalogue, "b/")
    assert [(b"a-b", 1), (b"a/", 0), (b"a0", 1)] == listed(catalogue, "a")
    assert [] == listed(catalogue, "d")
    assert [] == listed(catalogue, bucket="nobody")


def test_ls_of_many(catalogue: Addable) -> None:
    """A folder of many files is listed whole, across all pieces it is read in."""
    keys = [f"many/{number:05}" for number in range(5_000)]
    add(catalogue, "one", members(*keys))

    assert [(key.encode(), 1) for key in keys] == listed(catalogue, "many/")


def test_ls_of_a_key_with_many_versions(catalogue: Addable) -> None:
    """A key with more versions than are read at once is one line."""
    for day in range(40):
        add(catalogue, f"b{day}", members("a", "b", "c", content=str(day)), day=day)

    assert [(b"a", 40), (b"b", 40), (b"c", 40)] == listed(catalogue)


def test_ls_says_which_is_newest(catalogue: Addable) -> None:
    """A listed file is its newest version."""
    add(catalogue, "new", members("a", content="new"), day=1)
    add(catalogue, "old", members("a", content="old"))

    (line,) = catalogue.ls("bucket", b"")

    assert isinstance(line, Listed)
    assert line.entry is not None
    assert line.entry.archive.batch == "new"


def test_below(catalogue: Addable) -> None:
    """Below a prefix lie the newest versions of its keys, in key order; of a moment, those of then; or all."""
    add(catalogue, "old", members("in/a", "in/b", "out/c"))
    add(catalogue, "new", members("in/b", "in/d", content="new"), day=2)

    def below(**how: object) -> list[tuple[bytes, str]]:
        entries = catalogue.below("bucket", b"in/", **how)  # type: ignore[arg-type]
        return [(entry.member.key, entry.archive.batch) for entry in entries]

    assert [(b"in/a", "old"), (b"in/b", "new"), (b"in/d", "new")] == below()
    assert [(b"in/a", "old"), (b"in/b", "old")] == below(as_of=BEGIN + timedelta(days=1))
    assert [(b"in/a", "old"), (b"in/b", "new"), (b"in/b", "old"), (b"in/d", "new")] == below(every_version=True)


def test_buckets(catalogue: Addable) -> None:
    """Buckets that have an archive are named in order."""
    for bucket in ("zoo", "ape", "bee"):
        add(catalogue, bucket, members("a"), bucket=bucket)

    assert ["ape", "bee", "zoo"] == catalogue.buckets()


def test_archives_of_a_bucket(catalogue: Addable) -> None:
    """Every archive of one bucket is listed with all that is known of it, newest first."""
    first = add(catalogue, "one", members("a", "b"))
    second = add(catalogue, "two", members("a"), day=1)
    add(catalogue, "three", members("a"), bucket="other", day=2)

    assert [second, first] == list(catalogue.archives("bucket"))
    assert [] == list(catalogue.archives("nobodys"))
