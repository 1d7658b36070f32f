"""Archives against S3: what is found, who is looked at when, and what is remembered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3batch.catalogue import manifest
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.model import ArchiveRecord
from s3batch.operate.sample import RING, place_of, sample
from s3batch.operate.verification import AT_ONCE, Finding, Kind, Looked, verify
from s3batch.operate.verified import Verification, Verifications
from s3sync.errors import Transient
from s3sync.statedb import StateDb
from s3sync.store.contract import Denied, ObjectRef, StorageClass
from s3sync.store.proof import BATCH_MARK
from tests.catalogue.examples import BEGIN, members, opened, stored
from tests.doubles.clock import FakeClock
from tests.doubles.faulty import Faulty
from tests.doubles.memory_store import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore(FakeClock(BEGIN), buckets=("bucket", "versioned"))


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[SqliteCatalogue]:
    """An empty catalogue."""
    with opened(tmp_path) as empty:
        yield empty


def kept(store: MemoryStore, catalogue: SqliteCatalogue, batch: str = "one", day: float = 0) -> ArchiveRecord:
    """Store an archive, and catalogue it."""
    made = stored(store, batch, members(f"{batch}/a.txt", f"{batch}/b.txt"), day=day)
    catalogue.add(made, members(f"{batch}/a.txt", f"{batch}/b.txt"))
    return made


def kinds(store: MemoryStore, catalogue: SqliteCatalogue) -> list[Kind]:
    """Return what is found about all archives."""
    return [found.kind for looked in verify(store, catalogue, list(catalogue.archives_since())) for found in looked.findings]


def test_an_archive_as_it_should_be(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """Frozen archives are compared, and nothing is thawed: only heads, and the reading of manifests."""
    made = kept(store, catalogue)
    info = store.head(made.ref)

    assert [] == kinds(store, catalogue)
    assert info == store.head(made.ref)


def _other_bytes(store: MemoryStore, made: ArchiveRecord) -> None:
    store.delete(made.ref)
    store.seed(made.ref, b"x" * made.size, storage_class=StorageClass.DEEP_ARCHIVE, metadata={BATCH_MARK: made.batch})


def _other_class(store: MemoryStore, made: ArchiveRecord) -> None:
    data = store.data(made.ref)
    store.delete(made.ref)
    store.seed(made.ref, data, storage_class=StorageClass.STANDARD, metadata={BATCH_MARK: made.batch})


def _other_mark(store: MemoryStore, made: ArchiveRecord) -> None:
    data = store.data(made.ref)
    store.delete(made.ref)
    store.seed(made.ref, data, storage_class=StorageClass.DEEP_ARCHIVE, metadata={BATCH_MARK: "another"})


def _other_manifest(store: MemoryStore, made: ArchiveRecord) -> None:
    store.delete(made.manifest)
    store.seed(made.manifest, manifest.render(made, members("one/a.txt", "one/c.txt")))


def _no_gzip(store: MemoryStore, made: ArchiveRecord) -> None:
    store.delete(made.manifest)
    store.seed(made.manifest, b"no gzip")


def _frozen_manifest(store: MemoryStore, made: ArchiveRecord) -> None:
    data = store.data(made.manifest)
    store.delete(made.manifest)
    store.seed(made.manifest, data, storage_class=StorageClass.DEEP_ARCHIVE)


@pytest.mark.parametrize(
    ("spoil", "kind", "word"),
    [
        (lambda store, made: store.delete(made.ref), Kind.MISSING_ARCHIVE, "not there"),
        (lambda store, made: store.delete(made.manifest), Kind.MISSING_MANIFEST, "not there"),
        (_other_bytes, Kind.ARCHIVE_DIFFERS, "CRC64NVME"),
        (_other_class, Kind.ARCHIVE_DIFFERS, "storage class"),
        (_other_mark, Kind.ARCHIVE_DIFFERS, BATCH_MARK),
        (_other_manifest, Kind.MANIFEST_DIFFERS, "something else"),
        (_no_gzip, Kind.MANIFEST_DAMAGED, "gzip"),
        (_frozen_manifest, Kind.MANIFEST_DAMAGED, ""),
    ],
)
def test_what_is_amiss_is_found(
    store: MemoryStore,
    catalogue: SqliteCatalogue,
    spoil: Callable[[MemoryStore, ArchiveRecord], None],
    kind: Kind,
    word: str,
) -> None:
    """Each way to be amiss has its name and says what differs; the archive beside it is well."""
    made = kept(store, catalogue)
    kept(store, catalogue, "two", day=1)
    spoil(store, made)
    looked = list(verify(store, catalogue, list(catalogue.archives_since())))
    amiss = [each for each in looked if each.findings]

    assert [(made, [kind])] == [(each.record, [found.kind for found in each.findings]) for each in amiss]
    assert word in amiss[0].findings[0].detail


def test_another_version_is_not_ours(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """In a versioned bucket the very version that was proved has to be there."""
    made = dataclasses.replace(kept(store, catalogue), ref=ObjectRef("bucket", "in/one.tar", "gone"))
    found = next(iter(verify(store, catalogue, [made]))).findings

    assert Kind.MISSING_ARCHIVE is found[0].kind
    assert "in version gone" in found[0].detail


@pytest.mark.parametrize("failure", [Denied("bucket", "no right"), Transient("bucket", "is away")])
def test_what_cannot_be_looked_at_is_not_called_amiss(
    store: MemoryStore, catalogue: SqliteCatalogue, failure: Exception
) -> None:
    """A refusal says nothing about the archive, and the others are looked at."""
    kept(store, catalogue)
    faulty = Faulty(store)
    faulty.on("head").fail(failure)
    (looked,) = verify(faulty, catalogue, list(catalogue.archives_since()))

    assert [Kind.UNSEEN] == [found.kind for found in looked.findings]


def test_an_outage_ends_it(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """Where nothing can be reached, a hundred thousand archives are not asked one by one."""
    for number in range(AT_ONCE):
        kept(store, catalogue, f"b{number}", day=number)
    faulty = Faulty(store)
    faulty.on("head").fail(Transient("s3", "is away"), times=AT_ONCE)

    with pytest.raises(Transient):
        list(verify(faulty, catalogue, list(catalogue.archives_since())))


@given(
    st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=60),
    st.fractions(Fraction(1, 50), Fraction(1)),
    st.integers(0, RING - 1),
)
def test_every_archive_has_its_turn(batches: set[str], share: Fraction, start: int) -> None:
    """Wherever it begins, samples of any share have seen everything after one round; a sample is never empty."""
    placed = [(place_of("bucket", batch), batch) for batch in batches]
    seen: set[str] = set()
    turns = 0
    while turns * share < 1:
        chosen = sample(placed, start=start, share=share)
        assert chosen.chosen
        seen.update(chosen.chosen)
        start, turns = chosen.next_place, turns + 1

    assert batches == seen


def test_one_that_comes_meanwhile_has_its_turn_too() -> None:
    """Places do not move when archives come: nobody is passed over."""
    placed = [(place_of("bucket", f"b{number}"), f"b{number}") for number in range(1_000)]
    start, seen = 0, list[str]()
    for turn in range(10):
        chosen = sample(placed[: 500 + turn * 50], start=start, share=Fraction(1, 10))
        seen += chosen.chosen
        start = chosen.next_place

    assert len(seen) == len(set(seen))
    assert {f"b{number}" for number in range(500)} <= set(seen)


def test_samples_are_of_about_the_size_that_was_asked_for() -> None:
    """Places are evenly spread."""
    placed = [(place_of("bucket", f"b{number}"), number) for number in range(10_000)]

    assert 50 < len(sample(placed, start=12345, share=Fraction(1, 100)).chosen) < 150


def test_what_was_found_is_remembered_until_it_is_well(store: MemoryStore, catalogue: SqliteCatalogue, tmp_path: Path) -> None:
    """Another sample does not make it forgotten; one that could not look changes nothing; finding it well does."""
    made = kept(store, catalogue)
    with StateDb.open(tmp_path / "journal.db") as db:
        verifications = Verifications(db)
        verifications.note(Looked(made, (Finding(Kind.MISSING_ARCHIVE, "it is not there"),)), BEGIN)
        verifications.ended(Verification(ended=BEGIN, sample="1%", archives=1, of=9, amiss=1, unseen=0, next_place=RING - 1))
        verifications.ended(
            Verification(ended=BEGIN + timedelta(days=1), sample="all --bucket x", archives=3, of=3, amiss=0, unseen=0)
        )
        verifications.note(Looked(made, (Finding(Kind.UNSEEN, "s3 is away"),)), BEGIN)
        still, place = verifications.known(), verifications.next_place()
        verifications.note(Looked(made, ()), BEGIN)

        assert (1, RING - 1, 0) == (still.amiss, place, verifications.known().amiss)
        assert still.last is not None
        assert ("all --bucket x", 3) == (still.last.sample, still.last.archives)


def test_all_archives_are_listed(store: MemoryStore, catalogue: SqliteCatalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read in pieces; `since` leaves out what is older."""
    monkeypatch.setattr("s3batch.catalogue.sqlite._READ_ROWS", 2)
    made = [kept(store, catalogue, f"b{day}", day=day) for day in range(5)]

    assert made == list(catalogue.archives_since())
    assert made[3:] == list(catalogue.archives_since(BEGIN + timedelta(days=3)))
