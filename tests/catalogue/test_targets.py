from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3batch.catalogue import targets
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.catalogue.targets import Kind, Resolution, parse, resolve
from s3sync.errors import Usage
from tests.catalogue.examples import BEGIN, add, members

ODD = b"in/caf\xe9.txt"


def looked_up(catalogue: SqliteCatalogue, text: str, **how: object) -> Resolution:
    """Parse and resolve in one go."""
    return resolve(catalogue, parse(text), **how)  # type: ignore[arg-type]


def places(found: Resolution) -> list[str]:
    """Return the found versions as `batch:key`."""
    return [f"{entry.archive.batch}:{entry.member.key.decode()}" for entry in found.entries]


@pytest.fixture
def catalogue(catalogue: SqliteCatalogue) -> SqliteCatalogue:
    """Return a catalogue with a key in three versions, a name in several folders, and a key that is not UTF-8."""
    add(catalogue, "b1", members("in/a.txt", "in/sub/report.pdf", "x/report.pdf", "x/only.pdf", ODD), day=1)
    add(catalogue, "b2", members("in/a.txt", "in/b#c.txt", content="2"), day=2)
    add(catalogue, "b3", members("in/a.txt", content="3"), day=3)
    add(catalogue, "o1", members("in/b.txt", "x/only-here/z"), bucket="other", day=4)
    add(catalogue, "o2", members("in/b.txt"), bucket="third", day=5)
    return catalogue


@pytest.mark.parametrize(
    ("text", "kind", "bucket", "key"),
    [
        ("s3://bucket/a/b.txt", Kind.OBJECT, "bucket", b"a/b.txt"),
        ("s3://bucket/a/", Kind.PREFIX, "bucket", b"a/"),
        ("s3://bucket/", Kind.PREFIX, "bucket", b""),
        ("s3://bucket", Kind.PREFIX, "bucket", b""),
        ("s3://bucket//a", Kind.OBJECT, "bucket", b"/a"),
        ("s3://bucket/x.tar#a/b", Kind.OBJECT, "bucket", b"x.tar#a/b"),
        ("a/b.txt", Kind.BARE, None, b"a/b.txt"),
        ("a/", Kind.PREFIX, None, b"a/"),
        ("base64:/w==", Kind.BARE, None, b"\xff"),
        ("s3://bucket/base64:/w==", Kind.OBJECT, "bucket", b"\xff"),
        ("caf\udce9", Kind.BARE, None, b"caf\xe9"),
        ("ä#b?c=%20", Kind.BARE, None, "ä#b?c=%20".encode()),
    ],
)
def test_parse(text: str, kind: Kind, bucket: str | None, key: bytes) -> None:
    """WHAT is taken apart by its shape alone; nothing in a key is special but what the shapes say."""
    parsed = parse(text)

    assert (kind, bucket, key, text) == (parsed.kind, parsed.bucket, parsed.key, parsed.text)


@pytest.mark.parametrize("text", ["", "s3://", "s3:///key", "base64:!", "s3://bucket/base64:!"])
def test_parse_refuses(text: str) -> None:
    """What names nothing is the caller's mistake."""
    with pytest.raises(Usage):
        parse(text)


@given(st.binary(min_size=1).filter(lambda key: not key.endswith(b"/")))
def test_uri_is_parsed_back(key: bytes) -> None:
    """Any key's URI can be typed back, whatever bytes it has."""
    assert (Kind.OBJECT, "bucket", key) == (
        (parsed := parse(targets.uri("bucket", key))).kind,
        parsed.bucket,
        parsed.key,
    )


def test_a_key_is_its_newest_version(catalogue: SqliteCatalogue) -> None:
    """A key means its newest version, and says that there are others."""
    found = looked_up(catalogue, "s3://bucket/in/a.txt")

    assert (["b3:in/a.txt"], 2) == (places(found), found.other_versions)


def test_all_versions(catalogue: SqliteCatalogue) -> None:
    """All versions come newest first, and then there are no others."""
    found = looked_up(catalogue, "s3://bucket/in/a.txt", all_versions=True)

    assert (["b3:in/a.txt", "b2:in/a.txt", "b1:in/a.txt"], 0) == (places(found), found.other_versions)


def test_as_of(catalogue: SqliteCatalogue) -> None:
    """A moment means the newest version archived no later."""
    found = looked_up(catalogue, "s3://bucket/in/a.txt", as_of=BEGIN + timedelta(days=2))

    assert (["b2:in/a.txt"], 1) == (places(found), found.other_versions)


def test_as_of_too_early(catalogue: SqliteCatalogue) -> None:
    """A moment before the first version finds nothing and says since when there is one."""
    found = looked_up(catalogue, "s3://bucket/in/a.txt", as_of=BEGIN)

    assert ([], "its first version was archived at 2026-03-02T12:00:00.000000Z") == (places(found), found.why)


def test_an_archive_is_all_its_members(catalogue: SqliteCatalogue) -> None:
    """An archive is every member of it, in the order they lie in it, old versions too."""
    found = looked_up(catalogue, "s3://bucket/in/b2.tar")

    assert ["b2:in/a.txt", "b2:in/b#c.txt"] == places(found)
    assert found.archive is not None
    assert "b2" == found.archive.batch


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/in/b1.tar#in/a.txt", ["b1:in/a.txt"]),
        ("in/b1.tar#in/a.txt", ["b1:in/a.txt"]),
        ("s3://bucket/in/b2.tar#in/b#c.txt", ["b2:in/b#c.txt"]),
        ("s3://bucket/in/b3.tar#in/b.txt", []),
        ("s3://other/in/b1.tar#in/a.txt", []),
    ],
)
def test_a_member_of_an_archive(catalogue: SqliteCatalogue, text: str, expected: list[str]) -> None:
    """`archive#key` is exactly that version."""
    assert expected == places(looked_up(catalogue, text))


def test_member_of_an_archive_by_base64(catalogue: SqliteCatalogue) -> None:
    """A member that is not UTF-8 is named by base64, and its own URI names it."""
    (entry,) = looked_up(catalogue, f"s3://bucket/in/b1.tar#base64:{base64.b64encode(ODD).decode()}").entries

    assert ODD == entry.member.key
    assert (entry,) == looked_up(catalogue, targets.member_uri(entry)).entries


def test_missing_member_names_the_archive(catalogue: SqliteCatalogue) -> None:
    """Where the archive is known and the member is not, the reason says so."""
    found = looked_up(catalogue, "s3://bucket/in/b3.tar#in/b.txt")

    assert "s3://bucket/in/b3.tar has no such member" == found.why


def test_hash_in_a_key(catalogue: SqliteCatalogue) -> None:
    """A `#` is part of the key where no archive is named before it."""
    assert ["b2:in/b#c.txt"] == places(looked_up(catalogue, "s3://bucket/in/b#c.txt"))
    assert ["b2:in/b#c.txt"] == places(looked_up(catalogue, "in/b#c.txt"))


def test_a_prefix_is_every_key_below(catalogue: SqliteCatalogue) -> None:
    """A prefix is the newest version of each key below it, and counts the versions left out."""
    found = looked_up(catalogue, "s3://bucket/x/")

    assert (["b1:x/only.pdf", "b1:x/report.pdf"], 0) == (places(found), found.other_versions)
    assert 2 == looked_up(catalogue, "s3://bucket/in/").other_versions
    assert 7 == len(looked_up(catalogue, "s3://bucket/", all_versions=True).entries) - 1


def test_a_prefix_at_a_moment(catalogue: SqliteCatalogue) -> None:
    """A prefix at a moment is the folder as it was then."""
    found = looked_up(catalogue, "s3://bucket/in/", as_of=BEGIN + timedelta(days=2))

    assert ["b2:in/a.txt", "b2:in/b#c.txt", "b1:in/sub/report.pdf"] == [
        place for place in places_shown(found) if "caf" not in place
    ]


def places_shown(found: Resolution) -> list[str]:
    """Return the found versions as `batch:key`, also where a key is not UTF-8."""
    return [f"{entry.archive.batch}:{entry.member.key.decode(errors='replace')}" for entry in found.entries]


def test_a_bare_prefix_of_one_bucket(catalogue: SqliteCatalogue) -> None:
    """A bare prefix is taken where only one bucket has it."""
    assert ["o1:x/only-here/z"] == places(looked_up(catalogue, "x/only-here/"))


def test_a_bare_prefix_of_several_buckets(catalogue: SqliteCatalogue) -> None:
    """A bare prefix of several buckets is not guessed at."""
    found = looked_up(catalogue, "x/")

    assert (True, ("s3://bucket/x/", "s3://other/x/")) == (found.ambiguous, found.candidates)


def test_a_bare_key(catalogue: SqliteCatalogue) -> None:
    """A bare key is taken where only one bucket has it, with its versions."""
    assert ["b3:in/a.txt"] == places(looked_up(catalogue, "in/a.txt"))


def test_a_bare_key_of_several_buckets(catalogue: SqliteCatalogue) -> None:
    """A bare key of several buckets is not guessed at; each candidate can be typed."""
    found = looked_up(catalogue, "in/b.txt")

    assert (("s3://other/in/b.txt", "s3://third/in/b.txt"), ()) == (found.candidates, found.entries)
    assert ["o1:in/b.txt"] == places(looked_up(catalogue, found.candidates[0]))


def test_a_bare_name(catalogue: SqliteCatalogue) -> None:
    """A bare name is the last part of a key, where only one key ends in it, letter for letter."""
    assert ["b1:x/only.pdf"] == places(looked_up(catalogue, "only.pdf"))
    assert "the catalogue has no such key" == looked_up(catalogue, "ONLY.pdf").why
    assert "the catalogue has no such key" == looked_up(catalogue, "nly.pdf").why


def test_a_bare_name_of_several_keys(catalogue: SqliteCatalogue) -> None:
    """A bare name that several keys end in lists them and is not guessed at."""
    found = looked_up(catalogue, "report.pdf")

    assert ("s3://bucket/in/sub/report.pdf", "s3://bucket/x/report.pdf") == found.candidates
    assert not found.entries


def test_many_candidates_are_cut(catalogue: SqliteCatalogue) -> None:
    """More candidates than are worth showing are cut off, and that is said."""
    add(catalogue, "many", members(*(f"{number:03}/index.html" for number in range(50))), day=9)

    found = looked_up(catalogue, "index.html")

    assert (targets.MOST_CANDIDATES, True) == (len(found.candidates), found.cut)


@pytest.mark.parametrize("text", ["s3://bucket/nothing", "nothing", "s3://bucket/nothing/", "nothing/", "s3://nobody/a"])
def test_nothing(catalogue: SqliteCatalogue, text: str) -> None:
    """What is not there is said to be not there."""
    found = looked_up(catalogue, text)

    assert ((), False) == (found.entries, found.ambiguous)
    assert found.why.startswith("the catalogue has no")
