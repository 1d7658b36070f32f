"""Archives of the original program become like ours, and nothing of them is touched."""

from __future__ import annotations

import argparse
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from s3batch.app import App
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.rebuild import rebuild
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.commands import import_legacy
from s3batch.legacy.sources import Known, from_index
from s3batch.restore.requests import State
from s3sync.errors import CostLimit, Exit, Permanent, Usage
from s3sync.output import Output
from s3sync.store.contract import ObjectRef, StorageClass
from s3sync.store.proof import BATCH_MARK
from tests.catalogue import legacy
from tests.catalogue.examples import contents, opened
from tests.doubles.memory_store import MemoryStore
from tests.legacy.test_tarscan import tar
from tests.restore.house import House

FILES = {"IMG 1.JPG": b"picture" * 200, "Zahlung.pdf": b"paid"}
REF = ObjectRef("invoices", legacy.ARCHIVE)
COLD = StorageClass.DEEP_ARCHIVE


@dataclass
class Settings:
    """Where manifests go."""

    manifest_bucket: str | None = None


@dataclass
class Desk:
    """What the command takes from the application, in memory."""

    store: MemoryStore
    catalogue: SqliteCatalogue
    out: io.StringIO = field(default_factory=io.StringIO)
    settings: Settings = field(default_factory=Settings)
    host: str = "h"
    outbox: None = None
    cluster: OpenSearchCluster | None = None

    @property
    def output(self) -> Output:
        return Output(as_json=True, stdout=self.out, stderr=io.StringIO())

    def stop(self) -> bool:
        return False

    def run(self, *words: str) -> tuple[Exit, dict[str, Any]]:
        """Run the command and return its exit code and the last record."""
        parser = argparse.ArgumentParser()
        import_legacy.setup(parser)
        code = import_legacy.run(parser.parse_args(words), cast(App, self))
        return code, json.loads(self.out.getvalue().splitlines()[-1])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A store and a journal."""
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def desk(house: House, tmp_path: Path) -> Iterator[Desk]:
    """The command, beside an empty catalogue."""
    with opened(tmp_path) as catalogue:
        yield Desk(house.store, catalogue)


def fallback(desk: Desk, documents: list[dict[str, object]]) -> None:
    """Leave a fallback manifest as the original program did: the documents of a bulk."""
    bulk = [{"_id": str(number), "_index": legacy.INDEX, "_type": "_doc", **said} for number, said in enumerate(documents)]
    ref = ObjectRef("back", "s3-batch/manifests/2021-03-05.json.gz")
    desk.store.seed(ref, gzip.compress(json.dumps(bulk).encode()))


def test_an_archive_becomes_like_ours(desk: Desk, house: House, tmp_path: Path) -> None:
    """Found under its full key, restored byte for byte, known again from its manifest alone; the object is as it was."""
    seeded = desk.store.seed(REF, tar(FILES))
    fallback(desk, legacy.documents("invoices"))
    code, counts = desk.run("--manifests", "back")
    entries = [one for key in FILES for one in desk.catalogue.versions(b"in/2021/" + key.encode())]
    engine = house.engine()
    request = house.work(engine, house.ask(engine, entries))
    with opened(tmp_path, "rebuilt.db") as rebuilt:
        report = rebuild(desk.store, rebuilt, ("invoices",), None)
        assert contents(desk.catalogue) == contents(rebuilt)

    assert (Exit.DONE, 1, 0) == (code, counts["imported"], counts["odd_documents"])
    assert (1, ()) == (report.added, report.refused)
    assert 2 == len(entries)
    assert State.DELIVERED == request.state
    below = Path(str(house.folder)) / "invoices" / "in/2021"
    assert FILES == {path.name: path.read_bytes() for path in below.iterdir()}
    assert seeded == desk.store.head(REF)


def test_importing_again_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    """Neither object nor manifest is written again, nor the archive read; a catalogue that was lost is told again."""
    desk.store.seed(REF, tar(FILES))
    desk.run("--bucket", "invoices")
    keys, puts = desk.store.keys("invoices"), desk.store.calls["put"]
    reads = desk.store.calls["read"]
    code, counts = desk.run("--bucket", "invoices")

    assert (Exit.DONE, 0, 1) == (code, counts["imported"], counts["already"])
    assert (keys, puts) == (desk.store.keys("invoices"), desk.store.calls["put"])
    assert reads + 1 == desk.store.calls["read"]
    with opened(tmp_path, "other.db") as other:
        Desk(desk.store, other).run("--bucket", "invoices")
        assert contents(desk.catalogue) == contents(other)


def test_frozen_archives_are_thawed_only_for_a_price(desk: Desk, house: House) -> None:
    """Never unasked, never above the limit; imported when they can be read."""
    desk.store.seed(REF, tar(FILES), storage_class=COLD)
    code, counts = desk.run("--bucket", "invoices")
    desk.run("--bucket", "invoices", "--thaw", "standard", "--dry-run")
    with pytest.raises(Usage, match="no limit"):
        desk.run("--bucket", "invoices", "--thaw", "standard")
    with pytest.raises(CostLimit):
        desk.run("--bucket", "invoices", "--thaw", "standard", "--max-cost", "0")

    assert (Exit.PARTIAL, 1, []) == (code, counts["frozen"], desk.store.thaws_paid)

    desk.run("--bucket", "invoices", "--thaw", "standard", "--max-cost", "1")
    waiting = desk.run("--bucket", "invoices", "--thaw", "standard", "--max-cost", "1")[1]
    assert (1, [REF]) == (waiting["thawing"], desk.store.thaws_paid)
    house.clock.advance(timedelta(hours=13))
    code, counts = desk.run("--bucket", "invoices")
    assert (Exit.DONE, 1) == (code, counts["imported"])


def test_what_is_wrong_with_one_stops_no_other(desk: Desk) -> None:
    """A tar that is none, an archive that is gone, documents of something else, a file the tar has not."""
    other = REF.key.replace("0f4e", "1111")
    desk.store.seed(REF, tar({"IMG 1.JPG": b"1"}))
    desk.store.seed(ObjectRef("invoices", other), b"no tar" * 500)
    strange: list[dict[str, object]] = [
        {"bucket": "invoices", "url": "/0f4e1d9c.tar"},
        {"bucket": 3},
        {"url": "https://else/where.tar"},
    ]
    gone = legacy.documents("invoices", REF.key.replace("0f4e", "2222"))
    fallback(desk, [*legacy.documents("invoices"), *strange, *gone])
    code, counts = desk.run("--manifests", "back", "--bucket", "invoices")
    said = desk.out.getvalue()

    assert Exit.PARTIAL == code
    assert (1, 1, 1, 3) == (counts["imported"], counts["failed"], counts["missing"], counts["odd_documents"])
    assert "Zahlung.pdf is in the former index and not in the archive" in said
    assert "it is no tar" in said


@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip", gzip.compress(b"{}"), gzip.compress(b"[1")[:-9], gzip.compress(b"[" * 100_000)],
    ids=["empty", "no gzip", "no list", "torn", "nested without end"],
)
def test_a_manifest_that_is_none_is_named(desk: Desk, body: bytes) -> None:
    """Nothing is imported on a guess."""
    desk.store.seed(ObjectRef("back", "s3-batch/manifests/2021-03-05.json.gz"), body)
    with pytest.raises(Permanent, match="none of the original program"):
        desk.run("--manifests", "back")


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_daily_indices_know_the_archives(opensearch: OpenSearchCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, with the names of what is in them, and nothing of our own indices."""
    monkeypatch.setattr("s3batch.legacy.sources.PAGE", 1)
    legacy.index(opensearch)
    known = Known()
    from_index(opensearch, known)

    assert {ObjectRef("bucket", legacy.ARCHIVE): set(legacy.NAMES)} == known.archives
    assert 0 == known.odd


def test_an_object_of_ours_is_never_imported(desk: Desk, tmp_path: Path) -> None:
    """Whatever it is called: it bears our mark, and a manifest that calls it imported is not believed."""
    desk.store.seed(REF, tar(FILES))
    desk.run("--bucket", "invoices")
    desk.store.seed(REF, tar(FILES), metadata={BATCH_MARK: "ours"})
    code, counts = desk.run("--bucket", "invoices")
    with opened(tmp_path, "rebuilt.db") as rebuilt:
        report = rebuild(desk.store, rebuilt, ("invoices",), None)

    assert (Exit.PARTIAL, 1) == (code, counts["failed"])
    assert ["its archive differs: s3batch-id is ours instead of None"] == [one.failure.wrong for one in report.refused]
