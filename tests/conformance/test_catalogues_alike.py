"""One world in both catalogues: whatever is asked, and typed, is answered alike to the letter."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from s3batch.catalogue.contract import Entry, Lookup, Query
from s3batch.catalogue.documents import Document
from s3batch.catalogue.fleet_read import DocumentLeftOut
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.catalogue.targets import parse, resolve, uri
from s3batch.catalogue.template import ALIAS
from s3batch.commands import find, ls, show
from s3sync.errors import NotFound, Transient
from tests.catalogue.examples import BEGIN, documents_of, members, opened, record
from tests.catalogue.test_commands import Ran
from tests.conformance.catalogues import BOTH, IndexedCatalogue

pytestmark = pytest.mark.slow

HOSTILE = [
    b"in/caf\xe9.txt",
    b"in/caf\\xe9.txt",
    "in/café.txt".encode(),
    "in/cafe\u0301.txt".encode(),
    "in/\u0130stanbul/\u039f\u0394\u039f\u03a3.pdf".encode(),
    "in/\u1e9e\U00010400\uffff.txt".encode(),
    b"in/\xff/\xfe",
    b"in/\xff/a",
    b"in/\xed\xa0\x80",
    b"in/*?\\[x]\"'{}.txt",
    b"in/ line\nbreak\r\t\x1b[31m",
    b"in/../../etc/passwd",
    b"//double//slash",
    b"in/",
    b"in/base64:aGk=",
    b"a" * 1024,
    "ä".encode() * 512,
    b"in/x.tar#y",
]

WORDS = ["", "caf\udce9", "CAFÉ", "i\u0307st", "οδος", "ΟΔΟΣ", "\u0307", "ß", "*?\\", "\\xe9", "line\nbreak", "a" * 900]


class Twice:
    """The same archives in both."""

    def __init__(self, local: SqliteCatalogue, fleet: IndexedCatalogue) -> None:
        self.local = local
        self.fleet = fleet

    def add(self, batch: str, *keys: str | bytes, content: str = "", bucket: str = "bucket", day: float = 0) -> None:
        """Put an archive into both."""
        inside = members(*keys, content=content)
        for catalogue in (self.local, self.fleet):
            catalogue.add(record(batch, len(inside), bucket=bucket, day=day), inside)


@pytest.fixture(params=BOTH[1:])
def twice(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Twice]:
    """Return both, empty."""
    with opened(tmp_path) as local:
        yield Twice(local, IndexedCatalogue(request.getfixturevalue(request.param)))


def _hits(catalogue: Lookup, query: Query) -> list[Entry]:
    found: list[Entry] = []
    while True:
        page = catalogue.find(query)
        found += page.entries
        if page.next is None:
            return found
        query = replace(query, after=page.next)


def _answers(catalogue: Lookup, prefix: bytes, words: tuple[str, ...], day: int) -> list[Any]:
    """Return everything a catalogue says about a prefix, some words and a moment."""
    moment = BEGIN + timedelta(days=day)
    return [
        catalogue.buckets(),
        list(catalogue.ls("bucket", prefix)),
        list(catalogue.below("bucket", prefix)),
        list(catalogue.below("bucket", prefix, moment, every_version=True)),
        _hits(catalogue, Query(words=words, prefix=prefix, limit=7)),
        _hits(catalogue, Query(words=words, until=moment)),
        _hits(catalogue, Query(words=words, since=moment, bucket="bucket")),
    ]


def test_hostile_names(twice: Twice) -> None:
    """Names of any bytes, in several versions and twins, are found, listed, resolved and shown alike."""
    chance = random.Random(5)
    for day in range(4):
        keys = sorted(chance.sample(HOSTILE, 12))
        twice.add(f"b{day}", *keys, content=str(day % 3), day=day)
    twice.add("o1", *HOSTILE, bucket="other", day=1)

    starts = [key[:length] for key in HOSTILE for length in (0, 4, 6, len(key))]
    for number, prefix in enumerate(dict.fromkeys(starts)):
        asked = prefix, (WORDS[number % len(WORDS)],), number % 5
        assert _answers(twice.local, *asked) == _answers(twice.fleet, *asked), asked
    for word in WORDS:
        assert _hits(twice.local, Query(words=(word,))) == _hits(twice.fleet, Query(words=(word,))), word
    for key in HOSTILE:
        assert twice.local.versions(key) == twice.fleet.versions(key)
        name = key.decode("utf-8", "surrogateescape").rpartition("/")[2] or "in/"
        for text in (uri("bucket", key), uri("nobody", key), name):
            assert resolve(twice.local, parse(text)) == resolve(twice.fleet, parse(text)), text
    assert [] == twice.fleet.told


def test_ten_thousand_hits_and_more(twice: Twice) -> None:
    """Beyond the most a server gives in one answer, every hit comes once, in pages and in listings, newest first."""
    for day in range(3):
        twice.add(f"b{day}", *(f"many/{day}/{number:05}.bin" for number in range(4_000)), day=day * 20)

    assert 12_000 == len(found := _hits(twice.fleet, Query(words=("bin",), limit=500)))
    assert _hits(twice.local, Query(words=("bin",), limit=500)) == found
    assert list(twice.local.below("bucket", b"many/")) == list(twice.fleet.below("bucket", b"many/"))
    assert list(twice.local.ls("bucket", b"many/1/")) == list(twice.fleet.ls("bucket", b"many/1/"))
    assert list(twice.local.members("bucket", "in/b2.tar")) == list(twice.fleet.members("bucket", "in/b2.tar"))
    assert resolve(twice.local, parse("00007.bin")) == resolve(twice.fleet, parse("00007.bin"))
    assert resolve(twice.local, parse("nowhere.bin")) == resolve(twice.fleet, parse("nowhere.bin"))


def test_cursor_goes_on_in_the_other(twice: Twice) -> None:
    """A page of one catalogue is followed by a page of the other, and a cursor beyond all bounds is an empty page."""
    for day in range(3):
        twice.add(f"b{day}", "a.txt", "b.txt", "c.txt", content=str(day), day=day)
    one, other = twice.local.find(Query(limit=4)), twice.fleet.find(Query(limit=4))

    assert one == other
    assert twice.local.find(Query(after=one.next)) == twice.fleet.find(Query(after=one.next))
    for far in ("Wzk5OTk5OTk5OTk5OTk5OTk5LCJiIiwiYiIsOTk5OTk5OTk5OTk5XQ", "Wy0xLCJiIiwiYiIsLTFd"):
        assert twice.local.find(Query(after=far)) == twice.fleet.find(Query(after=far))


@pytest.mark.parametrize("as_json", [False, True])
def test_commands(twice: Twice, as_json: bool) -> None:
    """What the commands print, and end with, is the same; with the fleet's this host's catalogue is not even opened."""
    twice.add("b1", "in/a.txt", "in/sub/report.pdf", "x/report.pdf", b"in/caf\xe9.txt")
    twice.add("b2", "in/a.txt", content="2", day=1)
    twice.add("o1", "in/a.txt", "in/o.txt", bucket="other", day=2)

    for command, *argv in (
        (find, "TXT"),
        (find, "txt", "--limit", "2"),
        (find, "txt", "--since", "9d", "--bucket", "bucket"),
        (find, "nowhere"),
        (ls,),
        (ls, "s3://bucket/in/"),
        (show, "s3://bucket/in/a.txt"),
        (show, "in/a.txt"),
        (show, "report.pdf"),
        (show, "--members", "s3://bucket/in/b1.tar"),
        (show, "in/b1.tar#base64:aW4vY2Fm6S50eHQ="),
    ):
        expected = Ran(command, twice.local, *argv, as_json=as_json)
        untouched: Any = None
        seen = Ran(command, untouched, *argv, "--catalogue", "opensearch", as_json=as_json, fleet=twice.fleet)
        assert (expected.exit, expected.out, expected.err) == (seen.exit, seen.out, seen.err)
    with pytest.raises(NotFound):
        Ran(ls, twice.local, "s3://bucket/no/", "--catalogue", "opensearch", fleet=twice.fleet)


def test_documents_of_strangers_are_left_out(twice: Twice) -> None:
    """What is no document of ours, or a copy under another id, is told and left out; the others are found."""
    twice.add("b1", "in/a.txt", "in/b.txt")
    (entry, _) = twice.local.members("bucket", "in/b1.tar")
    honest = documents_of(entry, 0)
    forged = [
        replace(honest, id="copy"),
        replace(honest, id="far", source=honest.source.replace('"offset":512', '"offset":99999999999999')),
        replace(honest, id="escape", source=honest.source.replace("s3://bucket/s3-batch", "https://bucket/s3-batch")),
        replace(honest, id="poor", source='{"key":"in/a.txt","bucket":"bucket","ordinal":0}'),
    ]
    twice.fleet.cluster.bulk("".join(map(_line, forged)))
    twice.fleet.cluster.refresh(ALIAS)

    assert _hits(twice.local, Query(words=("in/",))) == _hits(twice.fleet, Query(words=("in/",)))
    assert twice.local.versions(b"in/a.txt") == twice.fleet.versions(b"in/a.txt")
    told = {one.document for one in twice.fleet.told if isinstance(one, DocumentLeftOut)}
    assert {"copy", "far", "escape", "poor"} == told


def test_half_an_archive_is_not_the_archive(twice: Twice) -> None:
    """Members of an archive that the index has only a part of end in a failure that says so."""
    inside = members("a", "b", "c")
    twice.fleet.add(record("b1", 3), inside[:2])

    reading = twice.fleet.members("bucket", "in/b1.tar")
    with pytest.raises(Transient, match="has 2 of its 3 members"):
        list(reading)


def test_point_in_time_that_is_lost(twice: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing whose point in time is gone in the middle goes on with another."""
    monkeypatch.setattr("s3batch.catalogue.fleet_catalogue.PAGE", 10)
    twice.add("b1", *(f"{number:03}" for number in range(100)))

    listing = twice.fleet.below("bucket", b"")
    begun = [next(listing) for _ in range(5)]
    twice.fleet.cluster.ask("DELETE", "/_search/point_in_time/_all")

    assert list(twice.local.below("bucket", b"")) == begun + list(listing)


def test_nothing_is_there_yet(twice: Twice) -> None:
    """Where no document was ever sent, nothing is found, and nothing fails."""
    assert _answers(twice.local, b"in/", ("x",), 1) == _answers(twice.fleet, b"in/", ("x",), 1)
    assert twice.fleet.archive("bucket", "in/b1.tar") is None


def _line(document: Document) -> str:
    action = f'{{"create":{{"_index":"{document.index}","_id":"{document.id}"}}}}'
    return f"{action}\n{document.source}\n"
