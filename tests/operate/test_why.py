"""`why` says what the rules say, and what journal and catalogue know besides."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from datetime import timedelta

import pytest

from s3batch.operate.records import Records
from s3batch.operate.why import what_is_known
from s3batch.pack.lifecycle import State
from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.release import ReleaseReport
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.slots import Kept
from s3sync.dropzone.why import Kind
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Exit, Usage
from tests.catalogue.examples import members
from tests.catalogue.examples import record as example
from tests.operate.conftest import Host
from tests.pack.conftest import Bench
from tests.support import files, tree

STANDARDS = Standards(quiet=QuietClock(timedelta(0)))


def test_an_eligible_file(host: Host) -> None:
    """One object a path, with every rule's verdict."""
    tree(host.root, {"bucket/a/file": "x"})

    answer = host.ask("why", f"{host.root}/bucket/a/file")

    record = answer.record
    assert (Exit.DONE, True, None) == (answer.code, record["eligible"], record["rule"])
    assert f"{host.root}/bucket/a/file" == record["path"]
    assert {"rule", "ok", "detail"} == record["rules"][0].keys()
    assert "writer" == record["rules"][-1]["rule"]


def test_a_held_file_names_the_rule_and_what_is_to_happen(host: Host) -> None:
    """People read the answer first: held by what, why, and what to do."""
    tree(host.root, {"bucket/a.tmp": "x"})

    answer = host.ask("why", "bucket/a.tmp", as_json=False)

    assert Exit.PARTIAL == answer.code
    assert ["bucket/a.tmp: held by temporary_name", "Rename it when it is finished, as uploading clients do."] == [
        answer.text.splitlines()[at].strip() for at in (0, 2)
    ]


def test_asking_makes_nothing(host: Host) -> None:
    """A question asked as root before any agent ran must not leave files the agent cannot open."""
    tree(host.root, {"bucket/file": "x"})

    host.ask("why", "bucket/file", "bucket", "other/nothing")

    assert not host.state.exists()
    assert {b"bucket/file": b"x"} == files(host.root)
    assert ["bucket", "other"] == sorted(os.listdir(host.root))


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (["bucket/file"], Exit.DONE),
        (["bucket/file", "bucket/.hidden"], Exit.PARTIAL),
        (["bucket/file", "bucket/nothing"], Exit.NOT_FOUND),
        (["bucket/.hidden", "bucket/nothing"], Exit.PARTIAL),
        (["s3://bucket/file"], Exit.DONE),
        (["base64:" + base64.b64encode(b"bucket/odd-\xff").decode()], Exit.DONE),
        (["s3://bucket/base64:" + base64.b64encode(b"odd-\xff").decode()], Exit.DONE),
    ],
)
def test_the_exit_code_is_the_gravest(host: Host, paths: list[str], code: Exit) -> None:
    """All eligible, some held, some not there; in whichever way they are typed."""
    tree(host.root, {"bucket": {"file": "x", ".hidden": "x", b"odd-\xff": "x"}})

    assert code == host.ask("why", *paths).code


@pytest.mark.parametrize("path", ["/etc/passwd", "", ".", "../elsewhere/.."])
def test_paths_outside_and_the_zone_itself_are_refused(host: Host, path: str) -> None:
    """There is nothing to be said of them."""
    with pytest.raises(Usage):
        host.ask("why", path)


def test_a_member_of_a_batch_on_its_way_names_the_batch(host: Host) -> None:
    """Which one, in which state, and what its last step ran into."""
    tree(host.root, {"bucket/file": "x"})
    with host.journalled(State.STORED, b"bucket/file", error="the bucket refuses") as batch:
        pass

    record = host.ask("why", "bucket/file").record
    text = host.ask("why", "bucket/file", as_json=False).text

    assert ("in_flight", batch, "stored") == (record["rule"], record["batch"], record["batch_state"])
    assert "its last step failed: the bucket refuses" in text


def test_an_archived_file_that_cannot_be_removed_says_since_when(host: Host) -> None:
    """It is not archived again, and the reason it stays is told."""
    tree(host.root, {"bucket/file": "x"})
    identity = Identity.of((host.root / "bucket/file").stat())
    with host.app() as app:
        kept = Kept(b"bucket/file", identity, Reason.IMMUTABLE)
        report = ReleaseReport(released=0, vanished=0, kept=(kept,), unleased=0)
        app.unreleased.settle("batch-1", {b"bucket/file": "0" * 64}, report)

    answer = host.ask("why", "bucket/file", as_json=False)

    assert "held by unreleasable" in answer.text
    assert "Archived by batch batch-1, not removable since" in answer.text
    assert "immutable" == host.ask("why", "bucket/file").record["unreleased"]


def test_a_file_that_is_gone_is_found_in_the_catalogue(bench: Bench, records_of: Callable[[Bench], Records]) -> None:
    """What was archived and released is not there, and is not lost either."""
    bench.drop("a/file")
    bench.run()
    bench.drop("a/file", b"newer")
    bench.run()

    with DropZone.open(bench.root) as zone:
        gone, never = what_is_known([b"bucket/a/file", b"bucket/never"], zone, STANDARDS, records_of(bench))

    assert (Kind.MISSING, 2, True) == (gone.explained.kind, len(gone.archived), gone.found)
    assert gone.archived[0].archive.created > gone.archived[1].archive.created
    assert (Kind.MISSING, (), False) == (never.explained.kind, never.archived, never.found)


def test_a_file_that_is_gone_says_where_it_is(host: Host) -> None:
    """Not there, and the archive it is in; the exit code still says that it is not in the drop zone."""
    record = example("20260310T093000-abc", 1)
    with host.app() as app:
        app.catalogue.add(record, members("a/file"))

    answer, text = host.ask("why", "bucket/a/file"), host.ask("why", "bucket/a/file", as_json=False).text

    assert (Exit.NOT_FOUND, None, str(record.ref)) == (answer.code, answer.record["rule"], answer.record["archive"])
    assert "it is not in the drop zone; archived 2026-03-01" in answer.record["detail"]
    assert "bucket/a/file: not found\n  It is not in the drop zone.\n  Under this key the catalogue has s3://bucket/in/" in text
    assert "HELD BY" not in text


def test_what_lies_in_quarantine_names_its_batch(host: Host) -> None:
    """By the folder it lies in."""
    tree(host.root, {"bucket/file": "x"})
    with host.journalled(State.CATALOGUED, b"bucket/file") as batch:
        tree(host.root, {f".s3batch-quarantine/{batch}/0": "x"})

    answer = host.ask("why", f".s3batch-quarantine/{batch}/0")

    assert (Exit.PARTIAL, batch, "quarantine") == (answer.code, answer.record["batch"], answer.record["kind"])


def test_a_journal_without_a_member_list_is_no_obstacle(host: Host) -> None:
    """A batch that is just being built, or just released, has none."""
    tree(host.root, {"bucket/file": "x"})
    with host.journalled(State.SPOOLED, b"bucket/file") as batch:
        (host.state / "spool" / batch / "members").unlink()
    with host.journalled(State.RESERVED, b"bucket/file"):
        pass

    assert Exit.DONE == host.ask("why", "bucket/file").code
