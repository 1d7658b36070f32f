from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3batch.catalogue.contract import Entry
from s3batch.restore.fetch import GAP_BYTES, Outcome, Sink, Source, confirm, fetch, spans
from s3batch.restore.requests import Part, State
from s3batch.restore.thaw import State as ThawState
from s3batch.restore.thaw import Thaw
from s3sync.errors import Failure, Mismatch, Permanent, Transient
from s3sync.store.contract import Missing, ObjectStore, Stopped, StorageClass
from tests.doubles.faulty import Faulty
from tests.restore.house import BLOCK, House


@dataclass
class Box:
    """A destination in memory."""

    got: dict[bytes, bytes] = field(default_factory=dict)
    refusing: set[bytes] = field(default_factory=set)
    opened: list[bytes] = field(default_factory=list)

    def open(self, part: Part) -> Sink:
        self.opened.append(part.key)
        return Slot(self, part)


@dataclass
class Slot:
    """One member's place in the box."""

    box: Box
    part: Part
    data: bytes = b""

    def write(self, block: memoryview, /) -> None:
        if self.part.key in self.box.refusing:
            raise Permanent("slot", "is refused")
        self.data += block

    def finish(self) -> str:
        self.box.got[self.part.key] = self.data
        return self.part.key.decode()

    def discard(self) -> None:
        pass


def part_of(number: int, entry: Entry) -> Part:
    """Return a thawed part for a member."""
    member = entry.member
    return Part(
        id=number,
        request="r1",
        thaw=1,
        bucket=entry.bucket,
        archive=entry.archive.ref.key,
        key=member.key,
        place=member.key,
        offset=member.offset,
        size=member.size,
        sha256=member.sha256,
        mtime_ns=member.mtime_ns,
        state=State.THAWED,
        error=None,
        mismatch=False,
        delivered=None,
        attempts=0,
        upload_id=None,
    )


def thaw_of(entry: Entry) -> Thaw:
    """Return a thawed archive's row."""
    record = entry.archive
    return Thaw(
        id=1,
        ref=record.ref,
        size=record.size,
        crc64nvme=record.crc64nvme,
        batch=record.batch,
        storage_class=record.storage_class,
        state=ThawState.THAWED,
        tier=None,
        days=None,
        asked_at=None,
        until=None,
        asks=0,
        extensions=0,
        upgraded=False,
        overdue=False,
        refused_reads=0,
        failures=0,
        error=None,
    )


def parts_of(entries: list[Entry]) -> list[Part]:
    """Return a part for each member."""
    return [part_of(number, entry) for number, entry in enumerate(entries)]


def fetched(store: ObjectStore, entries: list[Entry], parts: list[Part], box: Box, *, stop: bool = False) -> list[Outcome]:
    """Prove the archive, then fetch one span."""
    info = store.head(entries[0].archive.ref)
    source = Source.of(thaw_of(entries[0]), confirm(thaw_of(entries[0]), info))
    return list(fetch(store, source, parts, box.open, lambda: stop))


def failures(outcomes: list[Outcome]) -> dict[bytes, type[Failure]]:
    """Return what failed and how."""
    return {outcome.part.key: type(outcome.failure) for outcome in outcomes if outcome.failure is not None}


def readable(house: House, members: dict[bytes, bytes]) -> list[Entry]:
    """Return the members of an archive that needs no thaw."""
    return house.archive(members, storage_class=StorageClass.STANDARD)


def test_neighbours_come_as_one_range(house: House) -> None:
    """Members side by side are one request, split while it streams."""
    members = {b"a": b"1" * 700, b"b": b"", b"c": b"2" * 200_000, b"d": b"3"}
    entries = readable(house, members)
    box = Box()
    (span,) = spans(parts_of(entries))

    outcomes = fetched(house.store, entries, span, box)

    assert members == box.got
    assert {} == failures(outcomes)
    assert 1 == house.store.calls["read"]


def test_lone_member_is_exactly_its_bytes(house: House) -> None:
    """A member far from the others is fetched as its own bytes and no more."""
    entries = readable(house, {b"a": b"1" * 10_000, b"b": b"2" * 10_000, b"c": b"3" * 10_000})
    asked: list[tuple[int, int]] = []
    store = Faulty(house.store)
    original = store.read

    def watched(ref: object, *, offset: int, length: int, etag: str) -> object:
        asked.append((offset, length))
        return original(ref, offset=offset, length=length, etag=etag)  # type: ignore[arg-type]

    store.read = watched  # type: ignore[assignment,method-assign]
    wanted = [part_of(0, entries[0]), part_of(2, entries[2])]
    box = Box()

    for span in spans(wanted):
        fetched(store, entries, span, box)

    assert [(part.offset, part.size) for part in wanted] == asked


@given(st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 9_000)), max_size=40), st.integers(0, GAP_BYTES))
def test_spans_hold_every_part_once_in_order(places: list[tuple[int, int]], gap: int) -> None:
    """However parts lie, even on top of each other, each is in one span, in order, and no span skips more than the gap."""
    template = Part(
        id=0,
        request="r",
        thaw=1,
        bucket="b",
        archive="a",
        key=b"k",
        place=b"k",
        offset=0,
        size=0,
        sha256="",
        mtime_ns=0,
        state=State.THAWED,
        error=None,
        mismatch=False,
        delivered=None,
        attempts=0,
        upload_id=None,
    )
    parts = [replace(template, id=number, offset=offset, size=size) for number, (offset, size) in enumerate(places)]

    found = list(spans(parts, gap))

    assert sorted(part.id for part in parts) == sorted(part.id for span in found for part in span)
    for span in found:
        for one, other in pairwise(span):
            assert 0 <= other.offset - (one.offset + one.size) <= gap


def test_broken_reply_is_resumed(house: House) -> None:
    """A reply that breaks off is asked for again from where it ended."""
    members = {b"a": b"1" * 300_000, b"b": b"2" * 300_000}
    entries = readable(house, members)
    box = Box()
    with Faulty(house.store) as store:
        store.on("read").cut_after(100_000).cut_after(350_000)

        outcomes = fetched(store, entries, parts_of(entries), box)

    assert members == box.got
    assert {} == failures(outcomes)


def test_reply_that_brings_nothing_is_not_hammered(house: House) -> None:
    """A reply without a byte rises to the caller, who waits."""
    entries = readable(house, {b"a": b"1" * 1000})
    with Faulty(house.store) as store:
        store.on("read").cut_after(0)

        with pytest.raises(Transient):
            fetched(store, entries, parts_of(entries), Box())


def test_flipped_bit_is_read_again_and_never_delivered(house: House) -> None:
    """Bytes that are not the recorded ones are read once more and then refused; the others are delivered."""
    members = {b"a": b"1" * 100, b"b": b"2" * 100, b"c": b"3" * 100}
    entries = readable(house, members)
    data = bytearray(house.store.data(entries[0].archive.ref))
    data[entries[1].member.offset] ^= 1
    house.store.corrupt(entries[0].archive.ref, bytes(data))
    box = Box()

    outcomes = fetched(house.store, entries, parts_of(entries), box)

    assert {b"b": Mismatch} == failures(outcomes)
    assert {b"a", b"c"} == set(box.got)
    assert [b"a", b"b", b"b", b"c"] == box.opened
    assert 2 == house.store.calls["read"]


def test_passing_damage_is_cured_by_the_second_read(house: House) -> None:
    """Bytes damaged on the way once are right when they are read again."""
    entries = readable(house, {b"a": b"1" * 100})
    box = Box()

    class Damaged:
        def __init__(self, opened: object) -> None:
            self.opened = opened

        def __enter__(self) -> object:
            return iter([b"x" * 100])

        def __exit__(self, *_: object) -> None:
            pass

    with Faulty(house.store) as store:
        store.on("read").change(Damaged)

        outcomes = fetched(store, entries, parts_of(entries), box)

    assert {} == failures(outcomes)
    assert {b"a": b"1" * 100} == box.got


def test_refusing_sink_holds_back_no_other(house: House) -> None:
    """A member that cannot be written is skipped in the stream."""
    members = {b"a": b"1" * 200_000, b"b": b"2" * 200_000, b"c": b"3" * 200_000}
    entries = readable(house, members)
    box = Box(refusing={b"a", b"b"})

    outcomes = fetched(house.store, entries, parts_of(entries), box)

    assert {b"a": Permanent, b"b": Permanent} == failures(outcomes)
    assert {b"c": members[b"c"]} == box.got


def test_empty_members_ask_nobody(house: House) -> None:
    """Members without bytes are delivered without a read."""
    entries = readable(house, {b"a": b"", b"b": b""})
    box = Box()

    fetched(house.store, entries, parts_of(entries), box)

    assert {b"a": b"", b"b": b""} == box.got
    assert 0 == house.store.calls["read"]


def test_stopping_ends_the_read(house: House) -> None:
    """Whoever is asked to stop stops between chunks."""
    entries = readable(house, {b"a": b"1" * 1000})

    with pytest.raises(Stopped):
        fetched(house.store, entries, parts_of(entries), Box(), stop=True)


def test_gap_holds_a_header_and_padding() -> None:
    """Neighbours in a tar are always close enough to be read as one."""
    assert 3 * BLOCK <= GAP_BYTES


@pytest.mark.parametrize("field_name", ["size", "crc64nvme", "batch"])
def test_archive_must_be_the_recorded_one(house: House, field_name: str) -> None:
    """An object of another size, checksum or batch under the archive's key is not read."""
    entry = readable(house, {b"a": b"1"})[0]
    changes: dict[str, object] = {"size": 7, "crc64nvme": "AAAAAAAAAAA=", "batch": "another"}
    wrong = replace(thaw_of(entry), **{field_name: changes[field_name]})  # type: ignore[arg-type]

    with pytest.raises(Mismatch):
        confirm(wrong, house.store.head(entry.archive.ref))


def test_archive_that_is_gone_is_missing(house: House) -> None:
    """An archive that is not there is said to be missing."""
    entry = readable(house, {b"a": b"1"})[0]

    with pytest.raises(Missing):
        confirm(thaw_of(entry), None)


def test_checksum_of_parts_says_nothing(house: House) -> None:
    """A copied archive whose checksum is of its parts is believed for its size and mark; members still have their SHA-256."""
    entry = readable(house, {b"a": b"1"})[0]
    info = house.store.head(entry.archive.ref)
    assert info is not None
    copied = replace(info, checksum_type="COMPOSITE", crc64nvme="AAAAAAAAAAA=-2")

    assert copied == confirm(thaw_of(entry), copied)
