from __future__ import annotations

import argparse
import getpass
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from s3batch.catalogue.contract import Entry, Lookup
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.commands import requests, restore
from s3batch.restore.engine import RestoreEngine
from s3batch.settings import Settings
from s3sync.errors import CostLimit, Exit, NotFound, Usage
from s3sync.output import Output
from s3sync.store.contract import ObjectRef, StorageClass, Tier
from tests.restore.house import House
from tests.support import assert_tree

MEMBERS = {b"2026/a.pdf": b"first" * 100, b"2026/b.pdf": b"second", b"2027/\xff.bin": b"third"}
DAY = timedelta(days=1)


@dataclass(slots=True)
class Desk:
    """The two commands on a small world: what was typed goes in, what was said comes out."""

    house: House
    catalogue: SqliteCatalogue
    restore_engine: RestoreEngine
    settings: Settings
    stdout: io.StringIO = field(default_factory=io.StringIO)
    stderr: io.StringIO = field(default_factory=io.StringIO)
    as_json: bool = True
    interrupt_after: int | None = None
    slept: int = 0
    fleet: Lookup | None = None

    @property
    def output(self) -> Output:
        return Output(as_json=self.as_json, stdout=self.stdout, stderr=self.stderr)

    def now(self) -> datetime:
        return self.house.clock.now()

    def sleep(self, seconds: float) -> None:
        """Let an hour pass, however short the nap: nobody wants to look at a thaw every five seconds."""
        self.slept += 1
        if self.interrupt_after is not None and self.slept > self.interrupt_after:
            raise KeyboardInterrupt
        self.house.clock.advance(timedelta(hours=1))

    @property
    def back(self) -> str:
        return str(self.house.root.resolve() / "back")

    def restore(self, *typed: str) -> Exit:
        return restore.run(_parsed(restore, ["--to", self.back, *typed]), self)

    def requests(self, *typed: str) -> Exit:
        return requests.run(_parsed(requests, list(typed)), self)

    def records(self) -> list[dict[str, Any]]:
        """Return the records said since the last time."""
        said = [json.loads(line) for line in self.stdout.getvalue().splitlines()]
        self.stdout.truncate(self.stdout.seek(0))
        return said

    def add(
        self,
        members: dict[bytes, bytes],
        *,
        batch: str = "20260301T000000-aaaa",
        storage_class: StorageClass = StorageClass.DEEP_ARCHIVE,
    ) -> list[Entry]:
        entries = self.house.archive(members, batch=batch, storage_class=storage_class)
        self.catalogue.add(entries[0].archive, [entry.member for entry in entries])
        return entries


def _parsed(command: ModuleType, typed: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.setup(parser)
    return parser.parse_args(typed)


@pytest.fixture
def desk(house: House, tmp_path: Path) -> Iterator[Desk]:
    """Both commands, with one cold archive in the catalogue."""
    catalogue = SqliteCatalogue.open(house.root / "catalogue.db")
    environment = {"S3BATCH_FOLDER": str(tmp_path / "drops"), "S3BATCH_STATE": str(house.root)}
    made = Desk(house, catalogue, house.engine(), Settings.read(environment=environment))
    made.add(MEMBERS)
    yield made
    catalogue.close()


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is no terminal."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))


def test_restore_and_wait(desk: Desk) -> None:
    """A prefix is asked back, waited for and delivered; one record a part, with exactly the promised names."""
    assert Exit.DONE is desk.restore("s3://invoices/2026/", "--wait")

    records = desk.records()
    assert_tree(desk.back.encode(), {"invoices/2026/a.pdf": b"first" * 100, "invoices/2026/b.pdf": b"second"})
    assert [{"request", "state", "bucket", "key", "archive", "destination", "sha256", "error"}] * 2 == [
        set(record) for record in records
    ]
    assert [("delivered", f"{desk.back}/invoices/2026/{name}.pdf", None) for name in "ab"] == [
        (record["state"], record["destination"], record["error"]) for record in records
    ]
    assert "thawing" in desk.stderr.getvalue()


def test_restore_without_waiting_is_accepted(desk: Desk) -> None:
    """Without --wait the request is filed, the thaw begun, and the command leaves content."""
    assert Exit.DONE is desk.restore("s3://invoices/2026/a.pdf")

    (record,) = desk.records()
    assert "thawing" == record["state"]
    assert 1 == len(desk.house.store.thaws_paid)
    assert f"requests wait {record['request']}" in desk.stderr.getvalue()


def test_key_that_is_not_utf8(desk: Desk) -> None:
    """A key that is not UTF-8 is typed in base64, shown in both ways, and delivered under its own bytes."""
    assert Exit.DONE is desk.restore("s3://invoices/base64:MjAyNy//LmJpbg==", "--wait")

    (record,) = desk.records()
    assert ("2027/\\xff.bin", "MjAyNy//LmJpbg==") == (record["key"], record["key_base64"])
    assert_tree(desk.back.encode(), {b"invoices/2027/\xff.bin": b"third"})


def test_unknown_names_do_not_hold_back_the_others(desk: Desk) -> None:
    """What is not found is said, the others are brought back, and the exit code tells."""
    assert Exit.PARTIAL is desk.restore("s3://invoices/none", "s3://invoices/2026/b.pdf", "--wait")

    unknown, found = desk.records()
    assert ("not_found", "none") == (unknown["state"], unknown["key"])
    assert ("delivered", "2026/b.pdf") == (found["state"], found["key"])


def test_only_unknown_names(desk: Desk) -> None:
    """Where nothing is found nothing is filed."""
    assert Exit.NOT_FOUND is desk.restore("s3://invoices/none")

    assert [] == desk.restore_engine.requests.newest_first()


def test_ambiguous_name_lists_candidates(desk: Desk) -> None:
    """A bare name that fits several keys lists them and guesses nothing."""
    desk.add({b"2027/a.pdf": b"x"}, batch="20260302T000000-bbbb")

    assert Exit.USAGE is desk.restore("a.pdf")

    (record,) = desk.records()
    assert ["s3://invoices/2026/a.pdf", "s3://invoices/2027/a.pdf"] == record["candidates"]
    assert 0 == desk.house.store.calls.total()


def test_list_of_names(desk: Desk, tmp_path: Path) -> None:
    """Names come from a file, one a line, with either line ending; the same name twice is wanted once."""
    listed = tmp_path / "list"
    listed.write_bytes(b"s3://invoices/2026/a.pdf\r\n\n2026/b.pdf\n2026/a.pdf")

    assert Exit.DONE is desk.restore("--from-file", str(listed), "--wait")

    assert ["2026/a.pdf", "2026/b.pdf"] == [record["key"] for record in desk.records()]


def test_missing_list(desk: Desk, tmp_path: Path) -> None:
    """A list that cannot be read is corrected by whoever named it."""
    with pytest.raises(Usage):
        desk.restore("--from-file", str(tmp_path / "none"))


def test_naming_nothing(desk: Desk) -> None:
    """A restore of nothing is a mistake."""
    with pytest.raises(Usage):
        desk.restore()


def test_dry_run_asks_nobody(desk: Desk) -> None:
    """A dry run names archives, bytes, tier, hours and dollars, calls nobody and files nothing."""
    entries = desk.add({b"2026/c.pdf": b"x"}, batch="20260302T000000-bbbb", storage_class=StorageClass.GLACIER_IR)

    assert Exit.DONE is desk.restore("s3://invoices/2026/", "--dry-run", "--tier", "standard")

    first, second, total = desk.records()
    assert {("20260301T000000-aaaa.tar", True, 2), ("20260302T000000-bbbb.tar", False, 1)} == {
        (record["archive"], record["thaw"], record["members"]) for record in (first, second)
    }
    assert {entries[0].archive.size, first["bytes"]} <= {first["bytes"], second["bytes"]}
    assert (2, 1, "standard", 12.0) == (total["archives"], total["thaws"], total["tier"], total["hours"])
    assert 0 < total["usd"] < 0.01
    assert 0 == desk.house.store.calls.total()
    assert [] == desk.restore_engine.requests.newest_first()


def test_dry_run_for_people(desk: Desk) -> None:
    """People read the same in sentences and a table."""
    desk.as_json = False
    desk.restore("s3://invoices/2026/", "--dry-run")

    said = desk.stdout.getvalue()
    for part in ("2 members", "1 archive", "bulk", "48 hours", "about $", "s3://invoices/20260301T000000-aaaa.tar"):
        assert part in said


def _dear(desk: Desk) -> None:
    """Put an archive into the catalogue that is dear to thaw."""
    entry = desk.house.archive({b"huge": b"x"}, batch="20260303T000000-huge")[0]
    desk.catalogue.add(replace(entry.archive, size=10 * 1024**4), [entry.member])


@pytest.mark.usefixtures("nobody_there")
def test_dear_restore_needs_a_yes(desk: Desk) -> None:
    """Above the limit, with nobody there to confirm, nothing is filed or asked."""
    _dear(desk)

    with pytest.raises(CostLimit):
        desk.restore("s3://invoices/huge")

    assert [] == desk.restore_engine.requests.newest_first()
    assert 0 == desk.house.store.calls.total()


@pytest.mark.usefixtures("nobody_there")
@pytest.mark.parametrize("consent", [("--yes",), ("--max-cost", "100")])
def test_dear_restore_with_consent(desk: Desk, consent: tuple[str, ...]) -> None:
    """A yes beforehand, or a limit that covers it, files it."""
    _dear(desk)

    desk.restore("s3://invoices/huge", *consent)

    assert 1 == len(desk.restore_engine.requests.newest_first())


def test_max_cost_refuses_whatever_is_said(desk: Desk) -> None:
    """A limit given with the command is not overridden by --yes."""
    _dear(desk)

    with pytest.raises(CostLimit):
        desk.restore("s3://invoices/huge", "--max-cost", "1", "--yes")


@pytest.mark.parametrize(("answer", "filed"), [("y\n", 1), ("yes\n", 1), ("\n", 0), ("no\n", 0), ("", 0)])
def test_confirmation_at_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: str, filed: int) -> None:
    """At a terminal somebody is asked, and anything but yes means no."""
    _dear(desk)
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)

    if filed:
        desk.restore("s3://invoices/huge")
    else:
        with pytest.raises(CostLimit):
            desk.restore("s3://invoices/huge")

    assert filed == len(desk.restore_engine.requests.newest_first())


def test_as_of_and_other_versions(desk: Desk) -> None:
    """The newest version is meant unless a time is named, and the answer says that there are others."""
    desk.house.clock.advance(30 * DAY)
    desk.add({b"2026/b.pdf": b"newer"}, batch="20260401T000000-cccc")
    before = f"{desk.now() - 15 * DAY:%Y-%m-%d}"

    desk.restore("s3://invoices/2026/b.pdf", "--wait")
    assert "1 other version" in desk.stderr.getvalue()
    assert_tree(desk.back.encode(), {"invoices/2026/b.pdf": "newer"})
    restore.run(_parsed(restore, ["s3://invoices/2026/b.pdf", "--to", f"{desk.back}/old", "--as-of", before, "--wait"]), desk)
    assert_tree(f"{desk.back}/old".encode(), {"invoices/2026/b.pdf": "second"})


def test_all_versions(desk: Desk) -> None:
    """All versions of a key lie below folders named for their batches."""
    desk.house.clock.advance(DAY)
    desk.add({b"2026/b.pdf": b"newer"}, batch="20260401T000000-cccc")

    desk.restore("s3://invoices/2026/b.pdf", "--all", "--wait")

    assert_tree(
        desk.back.encode(),
        {
            "20260401T000000-cccc/invoices/2026/b.pdf": "newer",
            "20260301T000000-aaaa/invoices/2026/b.pdf": "second",
        },
    )


def test_other_content_is_reported_and_overwritten_on_demand(desk: Desk) -> None:
    """A file of other content fails its part with the reason; --overwrite replaces it."""
    place = Path(desk.back, "invoices/2026/b.pdf")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")

    assert Exit.FAILED is desk.restore("2026/b.pdf", "--wait")
    assert "--overwrite" in desk.records()[0]["error"]
    assert b"mine" == place.read_bytes()
    assert Exit.DONE is desk.restore("2026/b.pdf", "--wait", "--overwrite")
    assert b"second" == place.read_bytes()


def test_damaged_member_exits_with_mismatch(desk: Desk) -> None:
    """A member whose bytes are wrong makes the whole answer a mismatch; the others are delivered."""
    archive = ObjectRef("invoices", "20260301T000000-aaaa.tar")
    desk.house.store.corrupt(archive, desk.house.store.data(archive).replace(b"second", b"sec0nd"))

    assert Exit.MISMATCH is desk.restore("s3://invoices/2026/", "--wait")

    assert ["delivered", "failed"] == [record["state"] for record in desk.records()]


def test_interrupted_wait_can_be_resumed(desk: Desk) -> None:
    """An interrupted wait leaves the request standing and says how to go on; waiting again delivers and pays nothing more."""
    desk.interrupt_after = 5
    with pytest.raises(KeyboardInterrupt):
        desk.restore("2026/b.pdf", "--wait")
    (request,) = desk.restore_engine.requests.newest_first()
    assert f"requests wait {request.id}" in desk.stderr.getvalue()

    desk.interrupt_after = None
    assert Exit.DONE is desk.requests("wait", request.id)
    assert_tree(desk.back.encode(), {"invoices/2026/b.pdf": "second"})
    assert 1 == desk.house.store.calls["thaw"]


def test_wait_with_a_timeout(desk: Desk) -> None:
    """A wait that is over before the thaw says that it is still pending."""
    desk.restore("2026/b.pdf")
    (request,) = desk.restore_engine.requests.newest_first()

    assert Exit.PENDING is desk.requests("wait", request.id, "--timeout", "5h")


def test_list_and_show(desk: Desk) -> None:
    """Requests are listed newest first, one record each, and shown part by part."""
    desk.restore("2026/b.pdf", "--wait")
    desk.house.clock.advance(DAY)
    desk.restore("s3://invoices/2026/", "--to", "s3://back/restored")
    desk.records()

    assert Exit.DONE is desk.requests("list")
    newest, oldest = desk.records()
    assert ("s3://back/restored/", 2, getpass.getuser()) == (newest["destination"], newest["members"], newest["user"])
    assert ("delivered", "2026/b.pdf") == (oldest["state"], oldest["key"])
    assert Exit.DONE is desk.requests("show", oldest["request"])
    assert ["2026/b.pdf"] == [record["key"] for record in desk.records()]


def test_cancel_says_what_is_spent(desk: Desk) -> None:
    """Cancelling says that a thaw once begun is paid for."""
    desk.restore("2026/b.pdf")
    (request,) = desk.restore_engine.requests.newest_first()
    desk.records()

    assert Exit.DONE is desk.requests("cancel", request.id)

    assert ["cancelled"] == [record["state"] for record in desk.records()]
    assert "takes no thaw back" in desk.stderr.getvalue()
    assert Exit.FAILED is desk.requests("wait", request.id)


def test_unknown_request(desk: Desk) -> None:
    """A request nobody filed is not found, and one not named is a mistake."""
    with pytest.raises(NotFound):
        desk.requests("show", "r404")
    with pytest.raises(Usage):
        desk.requests("wait")


def test_waiting_for_another_users_request_only_watches(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's request may be watched; its files are left to its user."""
    desk.restore("2026/b.pdf")
    (request,) = desk.restore_engine.requests.newest_first()
    monkeypatch.setattr(os, "getuid", lambda: 4711)

    assert Exit.PENDING is desk.requests("wait", request.id, "--timeout", "3d")

    assert not Path(desk.back).exists()


def test_drop_zone_is_no_destination(desk: Desk) -> None:
    """What would be dropped again, archived again and paid for again is refused."""
    Path(desk.settings.folder).mkdir()

    with pytest.raises(Usage, match="drop zone"):
        restore.run(_parsed(restore, ["2026/b.pdf", "--to", str(Path(desk.settings.folder) / "x")]), desk)


@pytest.mark.parametrize(
    "typed",
    [["x", "--tier", "expedited"], ["x", "--max-cost", "ten"], ["x", "--max-cost", "-1"], ["x", "--as-of", "1d", "--all"]],
)
def test_mistakes_in_arguments(desk: Desk, typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be meant is refused before anything is looked up."""
    with pytest.raises(SystemExit) as refused:
        desk.restore(*typed)

    assert Exit.USAGE == refused.value.code


def test_list_of_fewer_than_none(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A negative limit is refused: it would list everything."""
    with pytest.raises(SystemExit) as refused:
        desk.requests("list", "--limit", "-3")

    assert Exit.USAGE == refused.value.code
    assert "negative" in capsys.readouterr().err


def test_timeout_that_is_none(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A timeout that is no duration is refused with what would be one."""
    with pytest.raises(SystemExit):
        desk.requests("wait", "r1", "--timeout", "soon")

    assert "2h" in capsys.readouterr().err


def test_default_tier_and_days(desk: Desk) -> None:
    """Nothing said means bulk and three days."""
    desk.restore("2026/b.pdf")

    (request,) = desk.restore_engine.requests.newest_first()
    assert (Tier.BULK, 3) == (request.tier, request.days)
