"""`plan` says what a pass would do, and does none of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from s3batch.model import Batch, Closed
from s3batch.operate.fill import Better, Fill, FillGauge, share
from s3batch.operate.plan import Outlook, PlannedArchive, Shipping, WaitingGroup, rehearse
from s3batch.operate.records import Records
from s3batch.pack.lifecycle import State
from s3batch.pack.planner import ENOUGH_MEMBERS, Limits, PackWithin
from s3sync.dropzone.candidate import Candidate, Candidates, Identity
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Exit
from s3sync.store.contract import StorageClass
from s3sync.times import to_ns
from tests.operate.conftest import Host
from tests.pack.conftest import Bench
from tests.support import files, tree

LIMITS = Limits(max_bytes=1 << 20, max_members=1000, max_age_ns=10**18, quiet_ns=60 * 10**9)
COLD = Shipping(StorageClass.DEEP_ARCHIVE, part_size=1 << 26)


def test_a_pass_does_what_the_plan_said(bench: Bench, records_of: Callable[[Bench], Records]) -> None:
    """The same batches: where they go, how many files, how many bytes, why they are closed."""
    for at in range(7):
        bench.drop(f"top{at % 3}/in/{at}", b"x" * at)
    bench.drop("large", b"x" * (1 << 20))
    bench.drop("a.tmp")
    limits = replace(LIMITS, close_all=True)
    standards = Standards(quiet=QuietClock(timedelta(0)))
    with DropZone.open(bench.root) as zone:
        planned = [
            item
            for item in rehearse(zone, standards, records_of(bench), limits, COLD, now_ns=1 << 62)
            if isinstance(item, PlannedArchive)
        ]

    tally = bench.run()

    stored = {ref.key.rpartition("/")[0] for ref in bench.store.list("bucket", "") if ref.key.endswith(".tar")}
    assert (tally.archives, tally.files, tally.bytes) == (
        len(planned),
        sum(each.members for each in planned),
        sum(each.bytes for each in planned),
    )
    assert stored == {each.folder for each in planned}
    assert {Closed.ONCE, Closed.OVERSIZE} == {each.reason for each in planned}


def test_one_object_an_archive(host: Host) -> None:
    """The names that others rely on, and nothing else on standard output."""
    tree(host.root, {"bucket/a/b": {"1": "x" * 700, "2": ""}, "bucket/stray": "y"})

    answer = host.ask("plan", "--once")

    assert [("bucket", "", 1, 1, "once"), ("bucket", "a/b/", 2, 700, "once")] == [
        tuple(each[name] for name in ("bucket", "archive_prefix", "members", "bytes", "reason")) for each in answer.records
    ]
    assert [1536 + 1024 - 512, 512 + 1024 + 512 + 1024] == [each["archive_bytes"] for each in answer.records]


def test_planning_changes_nothing(host: Host) -> None:
    """No state, no quarantine, no file moved."""
    tree(host.root, {"bucket/file": "x"})

    assert Exit.DONE == host.ask("plan").code

    assert not host.state.exists()
    assert ["bucket", "other"] == sorted(os.listdir(host.root))
    assert {b"bucket/file": b"x"} == files(host.root)


def test_what_is_not_full_waits_until_its_age(host: Host) -> None:
    """Without --once nothing is closed before its time, and people are told when that is."""
    tree(host.root, {"bucket/a/1": "x"})

    answer = host.ask("plan", as_json=False)

    assert "A pass would make no archive now." in answer.text
    (row,) = [line for line in answer.text.splitlines() if "a/" in line and "bucket" in line]
    assert "5 h" in row
    assert "closed by age" not in answer.text


def test_waiting_groups_say_when_they_close(host: Host) -> None:
    """By their oldest file: quiet period and age from its ctime."""
    tree(host.root, {"bucket/a/1": "x"})
    with host.app() as app:
        app.quiet.begin_pass(wall_ns=to_ns(host.moment), monotonic_ns=0)
        items = list(rehearse(app.zone, app.standards, Records(spool=host.state), app.limits, COLD, now_ns=to_ns(host.moment)))

    waiting, outlook = items
    assert isinstance(waiting, WaitingGroup)
    assert isinstance(outlook, Outlook)
    changed_ns = (host.root / "bucket/a/1").stat().st_ctime_ns
    assert changed_ns + (15 * 60 + 6 * 3600) * 10**9 == waiting.closes_ns
    assert (0, 1, 1) == (outlook.archives, outlook.waiting_groups, outlook.waiting_members)


def test_held_files_are_counted_by_reason(host: Host) -> None:
    """What is in flight among them, so that nothing is planned twice."""
    tree(host.root, {"bucket": {"1": "x", "2": "x", ".tmp": "x", "s3-batch/x": "y"}, "NO/x": "y"})
    with host.journalled(State.SPOOLED, b"bucket/1"):
        pass

    answer = host.ask("plan", "--once")
    counts = {
        line.split()[1]: line.split()[0] for line in host.ask("plan", as_json=False).text.splitlines() if line[:3] == "  1"
    }

    assert [1] == [each["members"] for each in answer.records]
    assert {"in_flight": "1", "temporary_name": "1", "reserved_prefix": "1", "bucket_name": "1"} == counts


def test_young_files_are_counted_one_by_one(host: Host) -> None:
    """However many lie in a folder."""
    tree(host.root, {"bucket": {"1": "x", "2": "x", "in/3": "x"}})

    answer = host.ask("plan", "--once", as_json=False, quiet_period="1d")

    assert ["3", "quiet"] in [line.split()[:2] for line in answer.text.splitlines()]


def test_a_batch_being_built_is_pointed_out(host: Host) -> None:
    """Its files are not known yet and may be listed a second time."""
    with host.journalled(State.RESERVED, b"bucket/1"):
        pass

    assert "At this moment 1 batch is being built" in host.ask("plan", as_json=False).text


def test_costs_are_compared_with_one_object_each(host: Host) -> None:
    """A request an archive, not a request a file."""
    tree(host.root, {f"bucket/a/{at}": "x" for at in range(200)})

    text = host.ask("plan", "--once", as_json=False).text

    assert "these archives     1        $0.000050" in text
    assert "one object a file  200      $0.01" in text


def test_long_lists_are_cut_for_people_only(host: Host) -> None:
    """Programs get them all."""
    tree(host.root, {f"bucket/{at}/file": "x" for at in range(60)})

    assert 60 == len(host.ask("plan", "--once").records)
    assert "and 20 more" in host.ask("plan", "--once", as_json=False).text


def test_poor_filling_is_said_with_what_would_help(host: Host) -> None:
    """A tree of small folders, packed by folder or by first folder, makes an archive of each."""
    tree(host.root, {f"bucket/{top}/{at}/file": "x" for top in range(4) for at in range(5)})

    by_folder = host.ask("plan", "--once", as_json=False, pack_within="folder").text
    by_top = host.ask("plan", "--once", as_json=False).text
    by_bucket = host.ask("plan", "--once", as_json=False, pack_within="bucket").text

    assert "S3BATCH_PACK_WITHIN=top (now folder) would make about 4 archives" in by_folder
    assert "S3BATCH_PACK_WITHIN=bucket (now top) would make about 1 archive of" in by_top
    assert "Poorly filled" not in by_bucket


def batch(bucket: str, key: bytes, size: int, reason: Closed = Closed.AGE, members: int = 1) -> Batch:
    """Return a batch of `members` files that all bear `key`."""
    one = Candidate(bucket, key, key, Identity(1, 2, 3, 4, 5))
    return Batch(bucket=bucket, folder="", candidates=Candidates.of(bucket, [one] * members), planned_bytes=size, reason=reason)


def test_a_file_larger_than_an_archive_says_nothing_about_filling() -> None:
    """It would spoil the average."""
    gauge = FillGauge(LIMITS)
    for _ in range(3):
        gauge.add(batch("b", b"x", 1 << 30, Closed.OVERSIZE))

    assert Fill(0, 0.0) == gauge.fill
    assert not gauge.fill.poor


@pytest.mark.parametrize(
    ("size", "members", "expected"), [(1 << 20, 1, 1.0), (1 << 19, 1, 0.5), (1024, 1000, 1.0), (1 << 30, 1, 1.0), (0, 0, 0.0)]
)
def test_full_is_by_bytes_or_by_members(size: int, members: int, expected: float) -> None:
    """A thousand tiny files are a full archive too."""
    assert expected == share(size, members, max_bytes=1 << 20, max_members=1000)


def test_full_by_members_is_what_the_planner_calls_enough() -> None:
    """Such an archive was closed for having enough, and is not called poorly filled for what it might have held."""
    assert 1.0 == share(1024, ENOUGH_MEMBERS, max_bytes=1 << 30, max_members=100_000)
    assert 0.5 == share(1024, ENOUGH_MEMBERS // 2, max_bytes=1 << 30, max_members=100_000)


def test_no_setting_is_advised_that_would_not_halve_the_archives() -> None:
    """Three buckets of one small archive each stay three whatever is set."""
    gauge = FillGauge(LIMITS)
    for name in ("a", "b", "c"):
        gauge.add(batch(name, b"x/y", 1024))

    assert gauge.fill.poor
    assert gauge.better() is None


def test_the_narrowest_setting_that_helps_is_advised() -> None:
    """Locality is worth something: `top` before `bucket`."""
    gauge = FillGauge(replace(LIMITS, within=PackWithin.FOLDER))
    for at in range(6):
        gauge.add(batch("b", b"top%d/%d/file" % (at // 3, at), 1024))

    assert Better(PackWithin.TOP, 2) == gauge.better()
