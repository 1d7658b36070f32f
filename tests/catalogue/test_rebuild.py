from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from s3batch.catalogue import manifest
from s3batch.catalogue.contract import Query, manifest_ref
from s3batch.catalogue.rebuild import ManifestRefused, RebuildProgress, rebuild
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3sync.errors import Exit, Transient
from s3sync.events import Event
from s3sync.store.contract import Denied, ObjectRef, StorageClass
from tests.catalogue.examples import BEGIN, add, contents, members, opened, stored
from tests.doubles.clock import FakeClock
from tests.doubles.faulty import Faulty
from tests.doubles.memory_store import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty store of three buckets."""
    return MemoryStore(FakeClock(BEGIN), buckets=("bucket", "other", "manifests"))


def rows(path: Path) -> list[tuple[object, ...]]:
    """Return every row that means something, by content: without our own numbers."""
    with closing(sqlite3.connect(path)) as db, db:
        found = db.execute(
            """SELECT b.name, a.key, a.version_id, a.size, a.crc64nvme, a.storage_class, a.batch, a.created, a.host, a.tool,
                a.manifest_bucket, a.manifest_key, a.members, a.content_bytes, m.id - a.id, m.key, m.offset, m.size, m.sha256,
                m.mtime, o.mode, o.uid, o.gid, o.user, o.grp
            FROM archives a JOIN buckets b ON b.id = a.bucket JOIN members m ON m.archive = a.id JOIN owners o ON o.id = m.owner
            ORDER BY b.name, a.created, a.batch, m.id"""
        ).fetchall()
    db.close()
    return found


def test_rebuilt_equals_lost(store: MemoryStore, tmp_path: Path) -> None:
    """A catalogue made from manifests alone equals the lost one, row for row, and finds the same."""
    odd = members("o")[0]._replace(key=b"\xff", mtime_ns=10**25, user="\udcff", size=0)
    with opened(tmp_path, "lost.db") as lost, opened(tmp_path, "rebuilt.db") as rebuilt:
        for day, bucket in ((2, "bucket"), (0, "other"), (1, "bucket"), (3, "bucket")):
            inside = [*members("in/a.txt", f"in/{day}.txt", content=str(day)), odd._replace(offset=1 << 20)]
            inside = [
                member._replace(size=min(member.size, 100), offset=512 + place * 1024) for place, member in enumerate(inside)
            ]
            lost.add(stored(store, f"b{day}", inside, bucket=bucket, day=day), inside)

        report = rebuild(store, rebuilt, ["bucket", "other"], None)

        assert (4, 4, 0, Exit.DONE) == (report.found, report.added, len(report.refused), report.exit)
        assert lost.find(Query(words=("txt",))) == rebuilt.find(Query(words=("txt",)))
    assert rows(tmp_path / "lost.db") == rows(tmp_path / "rebuilt.db")


def test_archives_are_added_oldest_first(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """Over all buckets, archives come in the order of their creation, so that a search has one stretch to read."""
    for day in range(40):
        bucket = ("bucket", "other")[day % 2]
        stored(store, f"b{day:02}", members(f"{day}.txt"), bucket=bucket, day=day)

    rebuild(store, catalogue, ["bucket", "other"], None)

    with catalogue._db.read() as db:
        assert 1 == db.execute("SELECT count(*) FROM stretches").fetchone()[0]


def test_again_changes_nothing(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """A second rebuild finds everything as it is."""
    stored(store, "one", members("a", "b"))
    rebuild(store, catalogue, ["bucket"], None)
    before = contents(catalogue)

    report = rebuild(store, catalogue, ["bucket"], None)

    assert (0, 0, 1) == (report.added, report.replaced, report.unchanged)
    assert before == contents(catalogue)


def test_what_differs_is_corrected(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """An archive that the catalogue knows otherwise than its manifest is replaced."""
    made = stored(store, "one", members("right.txt"))
    catalogue.add(made, members("wrong.txt"))

    report = rebuild(store, catalogue, ["bucket"], None)

    assert 1 == report.replaced
    assert [b"right.txt"] == [entry.member.key for entry in catalogue.find(Query(words=("txt",))).entries]


def test_what_no_manifest_says_is_kept(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """An archive without a manifest stays: the catalogue may be the last to know it."""
    add(catalogue, "orphan", members("orphan.txt"))

    rebuild(store, catalogue, ["bucket"], None)

    assert catalogue.versions(b"orphan.txt")


def test_bad_manifests_are_left_out(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """Manifests that are damaged, lie, or stand in the wrong place are reported, each for itself; the others are in."""
    stored(store, "good", members("good.txt"))
    torn = stored(store, "torn", members("torn.txt"), day=1)
    store.seed(torn.manifest, store.data(torn.manifest)[:-20])
    gone = stored(store, "gone", members("gone.txt"), day=2)
    store.delete(gone.ref)
    foreign = stored(store, "foreign", members("foreign.txt"), bucket="other", day=3)
    store.seed(manifest_ref("bucket", "foreign", foreign.created, "bucket"), store.data(foreign.manifest))
    store.seed(ObjectRef("bucket", "s3-batch/manifests/bucket/notes.txt"), b"hello")
    cold = stored(store, "cold", members("cold.txt"), day=4)
    store.seed(cold.manifest, store.data(cold.manifest), storage_class=StorageClass.DEEP_ARCHIVE)
    told: list[Event] = []

    report = rebuild(store, catalogue, ["bucket"], None, told.append)

    assert ["good.txt"] == [entry.member.key.decode() for entry in catalogue.find(Query(words=("txt",))).entries]
    assert (6, 1, 5, Exit.PARTIAL) == (report.found, report.added, len(report.refused), report.exit)
    refused = {event.key.rpartition("/")[2]: event.wrong for event in told if isinstance(event, ManifestRefused)}
    assert {"torn.json.gz", "gone.json.gz", "foreign.json.gz", "notes.txt", "cold.json.gz"} == set(refused)
    assert "its archive s3://bucket/in/gone.tar is not there" == refused["gone.json.gz"]


def test_from_the_manifest_bucket(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """With a manifest bucket, all buckets it has manifests of are read, or only the named ones."""
    for batch, bucket in (("one", "bucket"), ("two", "other")):
        made = stored(store, batch, members(f"{batch}.txt"), bucket=bucket)
        store.seed(manifest_ref(bucket, batch, made.created, "manifests"), store.data(made.manifest))

    assert 1 == rebuild(store, catalogue, ["other"], "manifests").added
    assert ["other"] == catalogue.buckets()
    assert (1, 1) == ((report := rebuild(store, catalogue, [], "manifests")).added, report.unchanged)
    assert ["manifests", "manifests"] == [
        entry.archive.manifest.bucket for entry in catalogue.find(Query(words=("txt",))).entries
    ]


def test_a_bucket_that_cannot_be_listed(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """A bucket that refuses to be listed is reported, and the others are read."""
    stored(store, "one", members("a.txt"), bucket="other")
    faulty = Faulty(store)
    faulty.on("list").fail(Denied("s3://bucket", "may not be listed"))

    report = rebuild(faulty, catalogue, ["bucket", "other"], None)

    assert (1, ["may not be listed"]) == (report.added, [refusal.failure.wrong for refusal in report.refused])


def test_all_refused_is_failed(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """Where nothing could be done, that is a failure and not a part."""
    report = rebuild(store, catalogue, ["nobody"], None)

    assert Exit.FAILED == report.exit


def test_a_store_that_is_away(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """Where the store answers nothing any more, the rebuild ends; what was added stays, and running again does the rest."""
    for number in range(40):
        stored(store, f"b{number:02}", members(f"{number}.txt"), day=number / 100)
    faulty = Faulty(store)
    faulty.on("read").let_through(times=16).fail(Transient("s3", "does not answer"), times=16)

    with pytest.raises(Transient):
        rebuild(faulty, catalogue, ["bucket"], None)

    assert 16 == catalogue.statistics()["archives"]
    assert 24 == rebuild(store, catalogue, ["bucket"], None).added


def test_progress_is_told(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """How far it is, is told as it goes."""
    for number in range(20):
        stored(store, f"b{number:02}", members("a"), day=number)
    told: list[Event] = []

    rebuild(store, catalogue, ["bucket"], None, told.append)

    assert [(16, 20), (20, 20)] == [(event.done, event.found) for event in told if isinstance(event, RebuildProgress)]


def test_twins_of_a_lost_journal(store: MemoryStore, catalogue: SqliteCatalogue) -> None:
    """Twins that a lost journal made are rebuilt as two archives and shown as one version."""
    for day in (1, 2):
        stored(store, f"b{day}", members("a.txt"), day=day)

    rebuild(store, catalogue, ["bucket"], None)

    assert 2 == catalogue.statistics()["archives"]
    assert ["b2"] == [entry.archive.batch for entry in catalogue.versions(b"a.txt")]


def test_a_manifest_too_large_is_not_fetched(
    store: MemoryStore, catalogue: SqliteCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest larger than any of ours is not even read."""
    stored(store, "one", members("a.txt"))
    monkeypatch.setattr(manifest, "MOST_COMPRESSED_BYTES", 10)

    report = rebuild(store, catalogue, ["bucket"], None)

    assert (["it is too large for a manifest"], 0) == ([one.failure.wrong for one in report.refused], store.calls["read"])
