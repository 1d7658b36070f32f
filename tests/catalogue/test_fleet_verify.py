"""The fleet's index against manifests and listings, on a real node: everything amiss is named, and mended where it can be."""

from __future__ import annotations

import argparse
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3batch.catalogue.fleet_catalogue import FleetCatalogue
from s3batch.catalogue.fleet_verify import VerifyProgress
from s3batch.catalogue.inventory import InventoryRowLeftOut, objects
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3batch.catalogue.template import ALIAS
from s3batch.commands import index
from s3batch.settings import Where
from s3sync.errors import Exit, Usage
from s3sync.events import Event
from s3sync.output import Output
from tests.catalogue.examples import BEGIN, stored
from tests.catalogue.examples import members as made_members
from tests.catalogue.fleet_world import World, world
from tests.catalogue.test_commands import Settings
from tests.test_readme import explained


class App:
    """What the command takes from the application."""

    catalogue = None
    settings = Settings(buckets=("bucket",), catalogue=Where.OPENSEARCH)

    def __init__(self, host: World) -> None:
        self.store, self.cluster, self.fleet = host.store, host.cluster, FleetCatalogue(host.cluster)
        self.stdout = io.StringIO()
        self.output = Output(as_json=True, stdout=self.stdout, stderr=io.StringIO())
        self.listener = host.told.append
        self.sleep = lambda _seconds: None

    def now(self) -> Any:  # noqa: ANN401
        return BEGIN


def said(host: World, *argv: str) -> tuple[Exit, list[dict[str, Any]]]:
    """Run `index` and return its exit code and records."""
    parser = argparse.ArgumentParser()
    index.setup(parser)
    app: Any = App(host)
    code = index.run(parser.parse_args(list(argv)), app)
    return code, [json.loads(line) for line in app.stdout.getvalue().splitlines()]


def findings(records: list[dict[str, Any]]) -> Counter[str]:
    """Return how many findings there are of each kind."""
    return Counter(record["finding"] for record in records if "finding" in record)


@pytest.fixture
def host(tmp_path: Path, opensearch: OpenSearchCluster) -> Iterator[World]:
    """Return a host that has sent three archives."""
    with world(tmp_path, opensearch.reach.urls[0]) as made:
        for number in range(3):
            made.archive(f"20260301T12000{number}-0123456789ab", 10, day=number)
        made.settle()
        yield made


def spoil(host: World) -> None:
    """Take two documents away, change one, add one of a batch that no manifest knows, and one too many of an archive."""
    found = sorted(host.indexed())
    sources = host.indexed()
    lines = [{"delete": {"_index": name, "_id": one}} for name, one in found[:2]]
    name, one = found[2]
    text = [json.dumps(line) for line in lines]
    text += [json.dumps({"index": {"_index": name, "_id": one}}), json.dumps({**_dict(sources[found[2]]), "size": 4711})]
    text += [json.dumps({"create": {"_index": name, "_id": "copy"}}), json.dumps(sources[found[3]])]
    strange = {**_dict(sources[found[4]]), "batch": "nobody", "archive": "in/nobody.tar"}
    text += [json.dumps({"create": {"_index": name, "_id": "strange"}}), json.dumps(strange)]
    assert {""} == {reply.kind for reply in host.cluster.bulk("\n".join(text) + "\n")}


def _dict(source: object) -> dict[str, Any]:
    assert isinstance(source, dict)
    return source


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_all_is_well(host: World) -> None:
    """Where nothing is amiss it says how much was compared."""
    code, records = said(host, "verify")

    assert (Exit.DONE, {}, 3, 30, 0) == (
        code,
        findings(records),
        records[-1]["archives"],
        records[-1]["documents"],
        records[-1]["left"],
    )


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_what_is_amiss_is_named_and_mended(host: World) -> None:
    """Missing, different and strange documents are named; a dry run changes nothing, --repair mends, --remove deletes."""
    spoil(host)
    amiss = {"missing": 2, "differs": 1, "phantom": 2}

    code, records = said(host, "verify")
    assert (Exit.PARTIAL, amiss) == (code, findings(records))
    assert "size" == next(record["detail"] for record in records if record.get("finding") == "differs")
    assert amiss == findings(said(host, "verify", "--repair", "--remove", "--dry-run")[1])
    assert amiss == findings(said(host, "verify", "--repair")[1])
    assert {"phantom": 2} == findings(said(host, "verify")[1])
    code, records = said(host, "verify", "--repair", "--remove")
    assert (Exit.DONE, {"phantom": 2}) == (code, findings(records))
    assert (Exit.DONE, {}) == ((done := said(host, "verify"))[0], findings(done[1]))
    assert host.whole()


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_what_s3_lists(host: World, tmp_path: Path) -> None:
    """An archive that S3 lost, one that no manifest describes, and a damaged manifest are named; by an inventory as well."""
    orphan = stored(host.store, "20260301T120009-0123456789ab", made_members("x"), day=3)
    host.store.delete(orphan.manifest)
    host.store.delete(host.archives[0].ref)
    host.store.seed(host.archives[1].manifest, b"none")
    amiss = {"gone": 1, "orphan": 1, "unread": 1}

    code, records = said(host, "verify")
    assert (Exit.PARTIAL, amiss) == (code, findings(records))
    assert f"s3://bucket/{orphan.ref.key}" == next(one["subject"] for one in records if one.get("finding") == "orphan")

    inventory = tmp_path / "inventory.csv.gz"
    rows = [("bucket", key.replace("/", "%2F"), "false") for key in host.store.keys("bucket")]
    rows.append(("bucket", host.archives[0].ref.key, "true"))
    inventory.write_bytes(gzip.compress("".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows).encode()))
    columns = "Bucket, Key, IsDeleteMarker"
    code, records = said(host, "verify", "--inventory", str(inventory), "--inventory-columns", columns)
    assert (Exit.PARTIAL, amiss) == (code, findings(records))


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_rebuild_by_its_command(host: World) -> None:
    """`index rebuild` says what it did, month by month; a dry run only what it would do."""
    before = [facts.name for facts in host.cluster.indices("s3-batch-*")]
    code, records = said(host, "rebuild", "--dry-run")
    assert (Exit.DONE, False) == (code, records[-1]["swapped"])
    assert before == [facts.name for facts in host.cluster.indices("s3-batch-*")]

    code, records = said(host, "rebuild", "--month", "2026-03")

    expected = {"index": "s3-batch-2026.03", "manifests": 3, "documents": 30, "resumed": 0, "swapped": True}
    assert (Exit.DONE, expected) == (code, {name: records[-1][name] for name in expected})
    assert ["s3-batch-2026.03-r20260301t120000"] == [facts.name for facts in host.cluster.indices(ALIAS)]
    assert (Exit.DONE, {}) == ((done := said(host, "verify"))[0], findings(done[1]))


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_an_inventory_of_one_bucket_judges_no_other(host: World, tmp_path: Path) -> None:
    """Archives of a bucket that the inventory says nothing of are not gone one by one: the bucket is named, once."""
    inventory = tmp_path / "inventory.csv"
    inventory.write_text('"elsewhere","in/else.txt"\n')

    code, records = said(host, "verify", "--inventory", str(inventory))

    assert [("gone", "s3://bucket/")] == [(one["finding"], one["subject"]) for one in records[:-1]]
    assert (Exit.PARTIAL, True) == (code, "says nothing of this bucket" in records[0]["detail"])


@pytest.mark.slow
@pytest.mark.live("opensearch")
def test_an_inventory_that_cannot_be_read_is_told_at_once(host: World, tmp_path: Path) -> None:
    """Before anything is compared, which may take hours."""
    with pytest.raises(Usage, match="cannot be read"):
        said(host, "verify", "--inventory", str(tmp_path / "none.csv"))

    assert not any(isinstance(told, VerifyProgress) for told in host.told)


def test_inventory_rows(tmp_path: Path) -> None:
    """Keys are decoded, a row that is none is told and passed over, and a file that is none is the caller's mistake."""
    told: list[Event] = []
    file = tmp_path / "inventory.csv"
    file.write_text('"bucket","a%2Bb"\n"bucket"\n"bucket","%FF"\n')

    assert [("bucket", "a+b"), ("bucket", "\ufffd")] == list(objects([file], "Bucket, Key", told.append))
    assert [InventoryRowLeftOut(file=str(file), row=2, wrong="has 1 columns instead of 2")] == told
    with pytest.raises(Usage, match="cannot be read"):
        list(objects([tmp_path / "none.csv"], "Bucket, Key", told.append))
    with pytest.raises(Usage, match="does not begin with"):
        list(objects([file], "Key", told.append))


def test_the_fields_of_json(host: World) -> None:
    """Every field that `index rebuild` and `index verify` print with `--json` is explained in docs/formats.md."""
    spoil(host)
    host.store.seed(host.archives[1].manifest, b"torn")
    records = [*said(host, "verify")[1], *said(host, "rebuild")[1]]
    names = {name for record in records for name in record}

    assert {"finding", "left", "only_in_old", "swapped", "wrong"} < names
    assert set() == names - explained("index")
