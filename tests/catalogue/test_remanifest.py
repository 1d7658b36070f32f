"""Manifests that S3 has lost are stored again from a catalogue: the same bytes, and only where they may be believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from s3batch.catalogue.rebuild import rebuild
from s3batch.catalogue.remanifest import Fate, Remanifest, Told
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3sync.store.contract import ObjectRef
from tests.catalogue.examples import BEGIN, contents, members, opened, stored
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore


def fates(told: list[Told]) -> dict[str, Fate]:
    """Return what became of each batch."""
    return {one.record.batch: one.fate for one in told}


def packed(store: MemoryStore, ref: ObjectRef) -> bytes:
    """Return the bytes of an object."""
    info = store.head(ref)
    assert info is not None
    with store.read(ref, offset=0, length=info.size, etag=info.etag) as chunks:
        return b"".join(chunks)


def test_lost_manifests_are_the_same_again(catalogue: SqliteCatalogue, tmp_path: Path) -> None:
    """Byte for byte, and a new catalogue made of them is equal; the ones that are there are left."""
    store = MemoryStore(FakeClock(BEGIN), buckets=("bucket", "other"))
    made = [stored(store, f"b{n}", members(f"in/{n}.txt", b"in/caf\xe9.txt", content=str(n)), day=n) for n in range(3)]
    rebuild(store, catalogue, ("bucket",), None)
    before = [packed(store, one.manifest) for one in made]
    for one in made[:2]:
        store.delete(one.manifest)
    puts = store.calls["put"]
    dry = list(Remanifest(store, catalogue, None, dry_run=True).run("bucket"))
    unwritten = store.calls["put"] - puts
    told = list(Remanifest(store, catalogue, None, dry_run=False).run("bucket"))

    assert ({"b2": Fate.THERE, "b1": Fate.MISSING, "b0": Fate.MISSING}, 0) == (fates(dry), unwritten)
    assert {"b2": Fate.THERE, "b1": Fate.WRITTEN, "b0": Fate.WRITTEN} == fates(told)
    assert before == [packed(store, one.manifest) for one in made]
    with opened(tmp_path, "rebuilt.db") as rebuilt:
        rebuild(store, rebuilt, ("bucket",), None)
        assert contents(catalogue) == contents(rebuilt)


def test_into_another_bucket(catalogue: SqliteCatalogue) -> None:
    """Where the bucket of manifests is gone they go to a new one, and the catalogue learns it by a rebuild from there."""
    store = MemoryStore(FakeClock(BEGIN), buckets=("bucket", "other"))
    stored(store, "b0", members("a"))
    rebuild(store, catalogue, ("bucket",), None)
    told = list(Remanifest(store, catalogue, "other", dry_run=False).run("bucket"))
    report = rebuild(store, catalogue, (), "other")

    assert {"b0": Fate.WRITTEN} == fates(told)
    assert (1, ()) == (report.replaced, report.refused)
    assert ["other"] == [record.manifest.bucket for record in catalogue.archives("bucket")]


def test_refused_where_it_could_not_be_believed(catalogue: SqliteCatalogue) -> None:
    """An archive that is gone, or another one, gets no manifest; one that is damaged is not replaced; others are written."""
    store = MemoryStore(FakeClock(BEGIN))
    gone, other, torn, good = (stored(store, name, members(name), day=day) for day, name in enumerate(("g", "o", "t", "w")))
    rebuild(store, catalogue, ("bucket",), None)
    for one in (gone, other, good):
        store.delete(one.manifest)
    store.delete(gone.ref)
    store.seed(replace(other.ref, version_id=None), b"else")
    store.seed(torn.manifest, b"torn")
    told = list(Remanifest(store, catalogue, None, dry_run=False).run("bucket"))

    assert {"g": Fate.REFUSED, "o": Fate.REFUSED, "t": Fate.REFUSED, "w": Fate.WRITTEN} == fates(told)
    wrong = {one.record.batch: one.failure.wrong for one in told if one.failure is not None}
    assert "is not there" in wrong["g"]
    assert "differs" in wrong["o"]
    assert b"torn" == packed(store, torn.manifest)
