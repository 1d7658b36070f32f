"""`status` says how things stand, true whether the agent runs or not, and what needs a person."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from s3batch.operate.attention import needs_a_person
from s3batch.operate.degraded import Cause, LeaseSample, degradations
from s3batch.operate.records import Records
from s3batch.operate.status import Question, status
from s3batch.pack.history import History, Size
from s3batch.pack.lifecycle import State
from s3batch.pack.planner import Limits
from s3batch.restore.schema import SCHEMA
from s3batch.restore.summary import requests_by_state
from s3sync.dropzone.locks import hold, holder
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.release import ReleaseReport
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.slots import Kept
from s3sync.dropzone.zone import DropZone, Rights
from s3sync.errors import Exit, Preflight
from s3sync.statedb import StateDb
from s3sync.times import to_ns
from tests.operate.conftest import Host
from tests.pack.conftest import Bench
from tests.support import tree

PROMISED = {
    "backlog_files",
    "backlog_bytes",
    "oldest_eligible_seconds",
    "held",
    "buckets",
    "phases",
    "requests",
    "unreleased",
    "degraded",
}


def test_a_host_where_nothing_ran_yet(host: Host) -> None:
    """The backlog is told, the missing state is said, and nothing is made by asking."""
    tree(host.root, {"bucket/a/file": "xyz"})

    answer, text = host.ask("status", "--exit-code"), host.ask("status", as_json=False).text

    assert (Exit.DONE, 1, 3, 0, {}) == (
        answer.code,
        answer.record["backlog_files"],
        answer.record["backlog_bytes"],
        answer.record["unreleased"],
        answer.record["phases"],
    )
    assert answer.record.keys() >= PROMISED
    assert "no agent has run with these settings" in text
    assert "Nothing needs a person." in text
    assert not host.state.exists()


def test_the_oldest_counts_from_when_it_was_finished(host: Host) -> None:
    """Not from when it came: within the quiet period it was nobody's backlog."""
    tree(host.root, {"bucket/file": "x"})

    seconds = host.ask("status").record["oldest_eligible_seconds"]

    assert 45 * 60 - 5 <= seconds <= 45 * 60


def test_an_empty_drop_zone_waits_for_nothing(host: Host) -> None:
    """A number for alarms, whatever there is."""
    record = host.ask("status").record

    assert (0, 0, 0) == (record["backlog_files"], record["backlog_bytes"], record["oldest_eligible_seconds"])


def test_a_drop_zone_that_is_not_there_is_refused(host: Host) -> None:
    """With the setting to correct."""
    with pytest.raises(Preflight, match="S3BATCH_FOLDER"):
        host.ask("status", folder=f"{host.root}/nowhere")


def test_without_the_walk_there_is_no_backlog(host: Host) -> None:
    """And nothing that only the walk could know is claimed."""
    tree(host.root, {"bucket/file": "x"})

    record = host.ask("status", "--no-walk").record

    assert [None] * 4 == [record[name] for name in ("backlog_files", "backlog_bytes", "oldest_eligible_seconds", "held")]


def test_young_files_are_held_one_by_one(host: Host) -> None:
    """However many lie in a folder, each counts, and counts for its bucket."""
    tree(host.root, {"bucket": {"1": "x", "2": "x", "in/3": "x"}, "other/4": "x"})

    record = host.ask("status", quiet_period="1d").record

    assert {"quiet": 4} == record["held"]
    assert [3, 1] == [record["buckets"][name]["held"] for name in ("bucket", "other")]


def test_held_files_are_counted_and_only_lasting_ones_need_a_person(host: Host) -> None:
    """A client's temporary name passes; a key that is too long does not."""
    deep = "/".join(["x" * 200] * 5)
    tree(host.root, {"bucket": {".tmp": "x", "ok": "x"}})

    passing = host.ask("status", "--exit-code")
    tree(host.root, {f"bucket/{deep}/{'y' * 30}": "x"})
    lasting = host.ask("status", "--exit-code")

    assert (Exit.DONE, {"temporary_name": 1}) == (passing.code, passing.record["held"])
    assert (Exit.PARTIAL, 1) == (lasting.code, lasting.record["held"]["key_too_long"])
    assert any("key_too_long" in sentence and "Shorten" in sentence for sentence in lasting.record["attention"])
    assert Exit.DONE == host.ask("status").code


def test_batches_are_counted_by_state(host: Host) -> None:
    """Every state is there, also those without a batch."""
    tree(host.root, {"bucket/1": "x"})
    for state in (State.RELEASED, State.RELEASED, State.STORED, State.ABANDONED):
        with host.journalled(state, b"bucket/1"):
            pass

    phases = host.ask("status").record["phases"]

    assert {state.value for state in State} == phases.keys()
    assert (2, 1, 1, 0) == tuple(phases[name] for name in ("released", "stored", "abandoned", "reserved"))


def test_a_bucket_that_refuses_needs_a_person(host: Host) -> None:
    """Its last error is told as long as no later archive got through."""
    tree(host.root, {"bucket/1": "x", "other/1": "x"})
    with host.journalled(State.ABANDONED, error="s3://bucket: access denied"):
        pass

    refused = host.ask("status", "--exit-code")
    with host.journalled(State.RELEASED, b"bucket/1"):
        pass
    better = host.ask("status", "--exit-code")

    assert Exit.PARTIAL == refused.code
    assert (True, "s3://bucket: access denied") == tuple(
        refused.record["buckets"]["bucket"][name] for name in ("parked", "last_error")
    )
    assert ["bucket bucket: s3://bucket: access denied"] == refused.record["attention"]
    assert (Exit.DONE, None) == (better.code, better.record["buckets"]["bucket"]["last_error"])
    assert better.record["last_success"] == better.record["buckets"]["bucket"]["last_archive"]


def test_a_batch_given_up_whose_files_are_gone_is_history(host: Host) -> None:
    """With nothing left to try again there is nothing to mend."""
    with host.journalled(State.ABANDONED, error="no file held still"):
        pass

    answer = host.ask("status", "--exit-code")

    assert (Exit.DONE, False) == (answer.code, answer.record["buckets"]["bucket"]["parked"])


def test_a_catalogue_that_lacks_what_was_archived_here_needs_a_person(host: Host) -> None:
    """Lost, or from an older backup than the journal: what is not in it is not found, though it is safely archived."""
    tree(host.root, {"bucket/1": "x"})
    for _ in range(2):
        with host.journalled(State.RELEASED, b"bucket/1"):
            pass
    well = host.ask("status").record["attention"]
    for file in host.state.glob("catalogue.db*"):
        file.unlink()
    with host.app() as app:
        _ = app.catalogue
    lacking = host.ask("status").record["attention"]
    asked_elsewhere = host.ask("status", catalogue="opensearch", opensearch_url="http://127.0.0.1:1").record["attention"]

    assert [] == well == asked_elsewhere
    assert ["the catalogue lacks at least 2 archives that this host has made"] == [told.partition(",")[0] for told in lacking]


def test_files_that_cannot_be_removed_need_a_person(host: Host) -> None:
    """How many, and why."""
    with host.app() as app:
        tree(host.root, {"bucket/1": "x"})
        with DropZone.open(host.root) as zone:
            seen = os.stat("bucket/1", dir_fd=zone.fd)
        from s3sync.dropzone.candidate import Identity

        kept = Kept(b"bucket/1", Identity.of(seen), Reason.FOLDER_NOT_WRITABLE)
        report = ReleaseReport(released=0, vanished=0, kept=(kept,), unleased=0)
        app.unreleased.settle("batch", {b"bucket/1": "0" * 64}, report)

    answer = host.ask("status", "--exit-code")

    assert (Exit.PARTIAL, 1, {"folder_not_writable": 1}) == (
        answer.code,
        answer.record["unreleased"],
        answer.record["unreleased_reasons"],
    )
    (sentence,) = answer.record["attention"]
    assert "1 file is archived and could not be removed: folder_not_writable." in sentence


def test_a_running_agent_is_seen_without_touching_its_lock(host: Host) -> None:
    """By the kernel's table, and gone with the process that held it."""
    with hold(host.root):
        seen = host.ask("status").record["agent"]

    assert os.getpid() == seen
    assert holder(host.root) is None
    assert host.ask("status").record["agent"] is None


def test_after_a_pass_the_numbers_are_the_passs(bench: Bench, records_of: Callable[[Bench], Records]) -> None:
    """Archives, members, when it last went well, and how full the archives came out."""
    bench.drop("a/1", b"x" * (1 << 19))
    bench.drop("a/2")
    bench.run()
    bench.drop("a/3", b"12345")

    with DropZone.open(bench.root) as zone:
        found = status(zone, records_of(bench), _question(bench))

    assert found.catalogue is not None
    assert found.backlog is not None
    assert (1, 5) == (found.backlog.files, found.backlog.bytes)
    assert (1, 2) == (found.catalogue["archives"], found.catalogue["members"])
    assert found.last_success == found.buckets["bucket"].last_archive == bench.clock.now()
    assert (1, 0.5) == (found.fill.archives, round(found.fill.share, 2))
    assert {} == found.unreleased


def _question(bench: Bench) -> Question:
    standards = Standards(quiet=QuietClock(timedelta(0)))
    limits = Limits(max_bytes=1 << 20, max_members=1000, max_age_ns=10**18, quiet_ns=60 * 10**9)
    return Question(standards, limits, bench.spool.root, 1 << 30, timedelta(minutes=5), bench.clock.now(), walk=True)


def test_finished_files_that_wait_too_long_are_overdue(host: Host) -> None:
    """Longer than the settings allow, and then a person looks."""
    tree(host.root, {"bucket/file": "x"})

    in_time = host.ask("status", "--exit-code")
    overdue = host.ask("status", "--exit-code", max_batch_age="10m")

    assert (Exit.DONE, []) == (in_time.code, in_time.record["degraded"])
    assert (Exit.PARTIAL, ["overdue"]) == (overdue.code, overdue.record["degraded"])


@pytest.mark.parametrize(
    ("rights", "owners", "causes"),
    [
        (Rights(1000, reads_all=False, owns_all=False, leases_all=False), {1000}, []),
        (Rights(1000, reads_all=False, owns_all=False, leases_all=False), {1000, 1001}, [Cause.LEASES_FORBIDDEN]),
        (Rights(1000, reads_all=False, owns_all=False, leases_all=True), {1001}, []),
    ],
)
def test_files_of_others_without_the_right_to_lease_them(
    tmp_path: Path, rights: Rights, owners: set[int], causes: list[Cause]
) -> None:
    """Judged with the agent's rights, not with those of whoever asks."""
    with DropZone.open(tmp_path) as zone:
        found = degradations(
            zone=zone,
            rights=rights,
            leases=LeaseSample(owners),
            oldest=None,
            overdue_after=timedelta(hours=6),
            spool_free=1 << 30,
            max_batch_bytes=1 << 20,
        )

    assert causes == [each.cause for each in found]


def test_a_spool_disk_without_room_for_one_archive(tmp_path: Path) -> None:
    """Batches would fail one after the other."""
    with DropZone.open(tmp_path) as zone:
        (found,) = degradations(
            zone=zone,
            rights=Rights.ours(),
            leases=LeaseSample(),
            oldest=None,
            overdue_after=timedelta(hours=6),
            spool_free=1 << 19,
            max_batch_bytes=1 << 20,
        )

    assert (Cause.SPOOL_DISK_LOW, True) == (found.cause, "512.0 KiB free" in found.detail)


def test_an_index_that_is_away_needs_a_person_after_an_hour(host: Host) -> None:
    """How far it is behind is told at once; archiving does not wait for it."""
    tree(host.root, {"bucket/1": "x"})
    with host.journalled(State.RELEASED, b"bucket/1"), host.app(opensearch_url="http://127.0.0.1:1") as app:
        assert app.outbox is not None
        assert app.catalogue.buckets() == ["bucket"]
        with app.journal_db.write() as connection:
            old = to_ns(host.moment - timedelta(hours=2)) // 1000
            connection.execute(
                "INSERT INTO outbox (batch, bucket, archive, manifest_bucket, manifest_key, goes_to, created, error)"
                " VALUES ('b', 'bucket', 'a.tar', 'bucket', 'm', 's3-batch-2026.11', ?, 'it is away')",
                (old,),
            )
            connection.execute(
                "INSERT INTO outbox_set_aside VALUES ('b', 0, 'bucket', 'a.tar', 'bucket', 'm', 'index', 0, 'odd', '{}')"
            )

    answer = host.ask("status", "--exit-code", opensearch_url="http://127.0.0.1:1")

    assert (Exit.PARTIAL, ["index_behind"]) == (answer.code, answer.record["degraded"])
    assert (1, 1) == (answer.record["index"]["archives_behind"], answer.record["index"]["set_aside"])
    assert 2 == len(answer.record["attention"])
    text = host.ask("status", as_json=False, opensearch_url="http://127.0.0.1:1").text
    (line,) = (line for line in text.splitlines() if line.startswith("index"))
    assert line.startswith("index        behind by 1 archive since ")
    assert line.endswith(": it is away")


def test_recent_sizes_are_those_s3_confirmed(host: Host) -> None:
    """What is only spooled, or was given up, says nothing of archives."""
    tree(host.root, {"bucket/1": "x"})
    for state in (State.SPOOLED, State.ABANDONED, State.STORED):
        with host.journalled(state, b"bucket/1"):
            pass

    with host.app() as app:
        history = History(app.journal_db)

        assert [Size(bytes=2048, members=1)] == history.recent_sizes(20)
        assert [] == history.recent_sizes(0)


def test_requests_are_counted_by_their_least_advanced_part(tmp_path: Path) -> None:
    """As a request itself shows its state; nobody having filed any is no error."""
    with StateDb.open(tmp_path / "journal.db") as db:
        before = requests_by_state(db)
        db.migrate("restore", SCHEMA)
        with db.write() as connection:
            connection.execute(
                "INSERT INTO thaws (id, bucket, key, version_id, size, crc64nvme, batch, storage_class, state, next_check)"
                " VALUES (1, 'b', 'k', '', 1, '', '', 'DEEP_ARCHIVE', 'thawing', '')"
            )
            for request, states in {"r1": ("delivered", "thawing"), "r2": ("delivered",), "r3": ("thawing",)}.items():
                connection.execute(
                    "INSERT INTO requests VALUES (?, '', 'u', 1, x'', 'agent', 'bulk', 3, 0, NULL, NULL, '', 1, 1)", (request,)
                )
                for at, state in enumerate(states):
                    connection.execute(
                        "INSERT INTO parts (request, thaw, key, place, offset, size, sha256, mtime_ns, state, next_try)"
                        " VALUES (?, 1, x'', ?, 0, 0, '', 0, ?, '')",
                        (request, str(at).encode(), state),
                    )

        counted = requests_by_state(db)

    assert {} == before
    assert {"thawing": 2, "delivered": 1} == counted


def test_what_people_read(host: Host) -> None:
    """Facts first, then buckets, what is held and why, and what to do."""
    tree(host.root, {"bucket": {"1": "x", ".tmp": "x"}, "other/long": {"y" * 255: {"y" * 255: {"y" * 255: {"y" * 255: "x"}}}}})
    with host.journalled(State.ABANDONED, error="s3://bucket: access denied"):
        pass

    text = host.ask("status", as_json=False).text

    assert "backlog      1 finished file waits, 1 B, the oldest for 4" in text
    assert "1  temporary_name  the name says that it is not finished" in text
    assert "Needs a person:\n  - bucket bucket: s3://bucket: access denied\n" in text
    assert [line.split()[-1] for line in text.splitlines() if line.startswith(("bucket  ", "other  "))] == ["refuses", "ok"]


def test_a_status_without_trouble_needs_nobody(bench: Bench, records_of: Callable[[Bench], Records]) -> None:
    """Straight after a pass that did everything."""
    bench.drop("a/1")
    bench.run()

    with DropZone.open(bench.root) as zone:
        assert [] == needs_a_person(status(zone, records_of(bench), _question(bench)))
