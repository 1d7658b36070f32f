"""A manifest by somebody who may write to the bucket: believed of its own archive only, never a way out of a destination."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from s3batch.catalogue import manifest
from s3batch.catalogue.contract import manifest_ref
from s3batch.catalogue.rebuild import rebuild
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.restore.requests import State
from s3sync.store.contract import ObjectRef, StorageClass
from tests.restore.house import House
from tests.support import files

HOSTILE = (
    b"../../outside/file",
    b"/outside/file",
    b"a/../../../outside/file",
    b"..",
    b"a/..",
    b".",
    b"a//b",
    b"a/",
    b"n" * 256,
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A store, a journal, and a destination `out` beside a folder nobody may reach."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"canary")
    made = House(tmp_path)
    yield made
    made.close()


def _forge(house: House, keys: tuple[bytes, ...], *, path_bucket: str = "invoices") -> None:
    """Store an archive with members of these keys, rightly marked, and a manifest that says so below `path_bucket`."""
    entries = house.archive({key: hashlib.sha256(key).digest() for key in keys})
    record = entries[0].archive
    place = manifest_ref(path_bucket, record.batch, record.created, "invoices")
    packed = io.BytesIO()
    manifest.write(packed, replace(record, manifest=place), [entry.member for entry in entries])
    house.store.seed(place, packed.getvalue(), storage_class=StorageClass.STANDARD)


def _rebuilt(house: House, folder: Path) -> SqliteCatalogue:
    catalogue = SqliteCatalogue.open(folder / "rebuilt.db")
    rebuild(house.store, catalogue, ["invoices", "back"], None)
    return catalogue


def test_hostile_names_of_a_forged_manifest_are_never_written_outside(house: House, tmp_path: Path) -> None:
    """Restoring everything of a forged manifest delivers the honest name and refuses each of the others by name."""
    _forge(house, (*HOSTILE, b"honest/name"))
    catalogue = _rebuilt(house, tmp_path)
    engine = house.engine()
    request = house.ask(engine, list(catalogue.below("invoices", b"")))
    for _ in range(3):
        house.work(engine, request, hours=48)
    delivered = {key for key, state in house.states(engine, request).items() if state is State.DELIVERED}
    catalogue.close()

    assert {b"honest/name"} == delivered
    assert {*HOSTILE} == {*house.errors(engine, request)}
    assert {b"file": b"canary"} == files(tmp_path / "outside")
    assert [b"invoices/honest/name"] == [*files(tmp_path / "out")]


def test_manifest_below_another_buckets_prefix_is_not_believed(house: House, tmp_path: Path) -> None:
    """Who may write manifests of one bucket cannot speak for another's archives."""
    _forge(house, (b"key",), path_bucket="back")
    catalogue = _rebuilt(house, tmp_path)
    known = catalogue.statistics()["archives"]
    catalogue.close()

    assert 0 == known


def test_manifest_of_bytes_that_are_no_archive_is_not_believed(house: House, tmp_path: Path) -> None:
    """A manifest whose archive is missing, or bears no batch id, is refused: nothing is catalogued on its word alone."""
    _forge(house, (b"key",))
    (archive,) = [key for key in house.store.keys("invoices") if key.endswith(".tar")]
    house.store.delete(ObjectRef("invoices", archive))
    house.store.seed(ObjectRef("invoices", archive), b"somebody's own", storage_class=StorageClass.STANDARD)
    catalogue = _rebuilt(house, tmp_path)
    known = catalogue.statistics()["archives"]
    catalogue.close()

    assert 0 == known


@pytest.mark.slow
def test_destination_swapped_for_a_link_all_the_time(house: House, tmp_path: Path) -> None:
    """While a folder of the destination is swapped for a link in a loop, nothing is written where the link points."""
    entries = house.archive({f"folder/{number}".encode(): b"%d" % number for number in range(400)})
    engine = house.engine()
    request = house.ask(engine, entries)
    house.work(engine, request)
    house.clock.advance(timedelta(hours=49))
    folder = tmp_path / "out/invoices/folder"
    folder.mkdir(parents=True)
    link, aside = tmp_path / "link", tmp_path / "aside"
    link.symlink_to(tmp_path / "outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with suppress(OSError):
                os.rename(folder, aside)
                os.rename(link, folder)
                os.rename(folder, link)
                os.rename(aside, folder)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(5):
            house.work(engine, request, hours=1)
    finally:
        stop.set()
        swapping.join()

    assert State.DELIVERED in house.states(engine, request).values()
    assert {b"file": b"canary"} == files(tmp_path / "outside")
