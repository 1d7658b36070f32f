from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from s3batch.catalogue.contract import Entry
from s3batch.restore.destination import Folder, Prefix
from s3batch.restore.engine import RestoreEngine
from s3batch.restore.fetch import MANY
from s3batch.restore.requests import Deliverer, Request, State
from s3batch.restore.round import MOST_ATTEMPTS
from s3batch.restore.thaw import MOST_ASKS, Pace
from s3batch.restore.thaw import State as ThawState
from s3batch.restore.thawing import MOST_DENIALS
from s3sync.errors import NotFound, Transient, Usage
from s3sync.store.contract import Denied, Frozen, ObjectInfo, ObjectRef, StorageClass, ThawAnswer, ThawStatus, Tier
from s3sync.store.contract import ThawState as Seen
from tests.doubles.faulty import Faulty
from tests.restore.house import ME, House
from tests.support import assert_tree

MEMBERS = {b"2026/a.pdf": b"first" * 100, b"2026/b.pdf": b"", b"2026/c.pdf": b"third" * 50_000}
SOMEBODY_ELSE = 1001


def laid_out(members: dict[bytes, bytes], bucket: bytes = b"invoices") -> dict[str | bytes, str | bytes]:
    """Return where members lie below their destination."""
    return {bucket + b"/" + key: content for key, content in members.items()}


def out(house: House) -> Path:
    """Return the usual destination."""
    return house.root / "out"


def test_life_of_a_request(house: House) -> None:
    """Asked for, thawing for the hours of its tier, thawed, delivered byte for byte."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS))

    assert State.REQUESTED is request.state
    assert State.THAWING is house.work(engine, request).state
    assert State.THAWING is house.work(engine, request, hours=47).state
    assert State.DELIVERED is house.work(engine, request, hours=2).state
    assert_tree(out(house), laid_out(MEMBERS))
    assert [ObjectRef("invoices", "20260301T000000-aaaa.tar")] == house.store.thaws_paid
    assert 1 == len(house.named("request_finished"))


def test_readable_classes_come_at_once(house: House) -> None:
    """What needs no thaw is delivered by the first round, and no thaw is asked for."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS, storage_class=StorageClass.GLACIER_IR))

    assert State.DELIVERED is house.work(engine, request).state
    assert 0 == house.store.calls["thaw"]


def test_readable_classes_come_at_once_beside_an_agent(house: House) -> None:
    """What needs no thaw does not wait for the agent that holds the lock."""
    agent = house.engine(keep_lock=True)
    agent.advance()
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS, storage_class=StorageClass.GLACIER_IR))

    assert engine.advance().elsewhere
    engine.deliver_local(request.id, ME)

    assert State.DELIVERED is engine.requests.get(request.id).state


@pytest.mark.parametrize("recorded", [StorageClass.STANDARD, StorageClass.GLACIER])
def test_archive_that_a_rule_has_cooled_is_not_thawed_at_a_price_nobody_was_told(house: House, recorded: StorageClass) -> None:
    """Stored in one class, moved on by a lifecycle rule: the first request fails and says so, the next knows the price."""
    cold = house.archive(MEMBERS)
    entries = [Entry(one.member, replace(one.archive, storage_class=recorded)) for one in cold]
    engine = house.engine()
    first = house.ask(engine, entries)
    refused = house.work(engine, first)
    told = house.errors(engine, first)
    thawed = house.store.calls["thaw"]
    estimates = [engine.estimate(each, tier=Tier.BULK, days=3) for each in (entries, cold)]
    second = house.work(engine, house.ask(engine, entries))

    assert (State.FAILED, 0) == (refused.state, thawed)
    assert all(f"{recorded}" in why and "DEEP_ARCHIVE" in why for why in told.values())
    assert estimates[0] == estimates[1]
    assert (State.THAWING, 1) == (second.state, house.store.calls["thaw"])


def test_five_hundred_requests_thaw_once(house: House) -> None:
    """However many ask for members of one archive, restarts in between, it is thawed once, and everybody is served."""
    keys = [b"k%d" % number for number in range(500)]
    entries = house.archive({key: key for key in keys})
    folder = house.root / "shared"
    for number, entry in enumerate(entries):
        engine = house.engine(restore_dir=folder)
        house.ask(engine, [entry], house.order(Folder(bytes(folder))))
        if number % 50 == 0:
            engine.advance()
        engine.close()
    engine = house.engine(restore_dir=folder)
    for _ in range(60):
        house.clock.advance(timedelta(hours=1))
        engine.advance()

    assert 1 == len(house.store.thaws_paid)
    assert 1 == house.store.calls["thaw"]
    assert_tree(folder, {b"invoices/" + key: key for key in keys})


def test_crash_between_intent_and_answer_pays_once(house: House) -> None:
    """A crash after S3 heard and before its answer was journalled: the next start finds out and does not pay again."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        store.on("thaw").fail(KeyboardInterrupt(), after_effect=True)  # type: ignore[arg-type]
        engine = house.engine(store=store)
        request = house.ask(engine, entries)
        with pytest.raises(KeyboardInterrupt):
            engine.advance()
        engine.close()
    engine = house.engine()

    assert ThawState.ASKED is engine.thaws.of_request(request.id)[0].state
    house.work(engine, request)
    assert State.DELIVERED is house.work(engine, request, hours=49).state
    assert 1 == house.store.calls["thaw"]


def test_crash_before_the_question_arrived_asks_again(house: House) -> None:
    """A crash after the intent and before S3 heard it: HEAD shows nothing, so it is asked."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        store.on("thaw").fail(KeyboardInterrupt())  # type: ignore[arg-type]
        engine = house.engine(store=store)
        request = house.ask(engine, entries)
        with pytest.raises(KeyboardInterrupt):
            engine.advance()
        engine.close()
    engine = house.engine()

    assert State.THAWING is house.work(engine, request).state
    assert 1 == engine.thaws.of_request(request.id)[0].asks


def test_in_progress_is_progress(house: House) -> None:
    """409, somebody asked before us: not an error, and not asked again."""
    entries = house.archive(MEMBERS)
    engine = house.engine()
    house.store.thaw(entries[0].archive.ref, days=1, tier=Tier.BULK)
    with Faulty(house.store) as store:
        store.on("head").change(_frozen)
        engine = house.engine(store=store)
        request = house.ask(engine, entries)
        house.work(engine, request)

    assert State.THAWING is engine.requests.get(request.id).state
    assert 1 == len(house.store.thaws_paid)
    assert State.DELIVERED is house.work(engine, request, hours=49).state


def test_already_thawed_is_believed_after_a_head(house: House) -> None:
    """200, a copy is there: a HEAD confirms it in the same round."""
    entries = house.archive(MEMBERS)
    house.store.thaw(entries[0].archive.ref, days=5, tier=Tier.STANDARD)
    house.clock.advance(timedelta(hours=13))
    with Faulty(house.store) as store:
        store.on("head").change(_frozen)
        engine = house.engine(store=store)
        request = house.ask(engine, entries)

        assert State.DELIVERED is house.work(engine, request).state


def test_answer_that_head_denies_is_not_believed(house: House) -> None:
    """An answer that it is readable, which HEAD does not confirm, delivers nothing and asks no more than the bound."""
    entries = house.archive(MEMBERS)
    engine = house.engine()
    with Faulty(house.store) as store:
        store.on("thaw").change(lambda _: ThawAnswer.NOT_ARCHIVED)
        engine = house.engine(store=store)
        request = house.ask(engine, entries)
        house.work(engine, request)

    assert State.THAWING is engine.requests.get(request.id).state


def test_head_ready_and_read_frozen_goes_back_to_looking(house: House) -> None:
    """S3 calls it readable and refuses the read: it is looked at again, and delivered when the read works."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        store.on("read").fail(Frozen("archive", "not yet"), times=2)
        engine = house.engine(store=store)
        request = house.ask(engine, entries)
        house.work(engine, request)

        assert State.THAWING is house.work(engine, request, hours=49).state
        assert State.THAWING is house.work(engine, request, hours=1).state
        assert State.DELIVERED is house.work(engine, request, hours=1).state
    assert 1 == house.store.calls["thaw"]


def test_copy_that_lapses_mid_delivery_is_asked_for_again(house: House) -> None:
    """A copy that lapses before everything is delivered is asked for again; what is delivered stays delivered."""
    many = {b"k%03d" % number: b"x" * 6000 for number in range(5)}
    entries = house.archive(many)[::2]
    engine = house.engine()
    request = house.ask(engine, entries, house.order(days=1))
    house.work(engine, request)
    with Faulty(house.store) as store:
        store.on("read").let_through().fail(Frozen("archive", "lapsed"))
        slow = house.engine(store=store)
        house.work(slow, request, hours=49)
    assert {State.DELIVERED: 1, State.THAWING: 2} == dict(engine.requests.get(request.id).counts)

    assert State.EXPIRED is _lapsed(house, engine, request).state
    house.work(engine, request)
    assert State.DELIVERED is house.work(engine, request, hours=49).state
    assert 2 == len(house.store.thaws_paid)


def test_lapsed_copy_is_not_paid_for_while_nobody_waits(house: House) -> None:
    """A request its user forgot is thawed once; coming back thaws it again, a bounded number of times."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS))
    for _ in range(30):
        house.clock.advance(timedelta(days=1))
        engine.advance()

    assert 1 == len(house.store.thaws_paid)
    assert State.EXPIRED is engine.requests.get(request.id).state
    house.work(engine, request)
    house.work(engine, request)
    assert 2 == len(house.store.thaws_paid)
    assert State.DELIVERED is house.work(engine, request, hours=49).state


def test_thaws_of_one_window_are_bounded(house: House) -> None:
    """An archive whose copy lapses again and again before it can be read is set aside."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS), house.order(days=1))
    for _ in range(20):
        house.clock.advance(timedelta(days=5))
        engine.attend(request.id)
        engine.advance()

    assert MOST_ASKS == len(house.store.thaws_paid)
    assert State.FAILED is engine.requests.get(request.id).state


def test_copy_about_to_lapse_is_extended_while_somebody_waits(house: House) -> None:
    """A copy about to lapse with deliveries left is extended rather than thawed anew."""
    entries = house.archive(MEMBERS)
    engine = house.engine()
    request = house.ask(engine, entries, house.order(days=1))
    house.work(engine, request)
    house.clock.advance(timedelta(hours=49))
    engine.advance()
    until = engine.thaws.of_request(request.id)[0].until
    assert until is not None
    house.clock.advance(until - house.clock.now() - timedelta(hours=1))
    engine.attend(request.id)
    engine.advance()
    house.clock.advance(timedelta(hours=2))

    engine.deliver_local(request.id, ME)

    assert State.DELIVERED is engine.requests.get(request.id).state
    assert (2, 1) == (house.store.calls["thaw"], len(house.store.thaws_paid))


def test_hurry_upgrades_a_slow_thaw_once(house: House) -> None:
    """A faster tier asked for meanwhile speeds the same thaw up, once, for everybody."""
    entries = house.archive(MEMBERS)
    engine = house.engine()
    slow = house.ask(engine, entries[:1])
    house.work(engine, slow, hours=1)
    fast = house.ask(engine, entries[1:], house.order(tier=Tier.STANDARD))
    for _ in range(3):
        house.work(engine, fast)

    assert 2 == house.store.calls["thaw"]
    assert State.DELIVERED is house.work(engine, fast, hours=13).state
    assert State.DELIVERED is house.work(engine, slow).state


def test_unheard_upgrade_is_tried_again(house: House) -> None:
    """An upgrade that S3 did not hear is not counted as the one."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        engine = house.engine(store=store)
        slow = house.ask(engine, entries[:1])
        house.work(engine, slow, hours=1)
        store.on("thaw").fail(Transient("s3", "slow down"))
        fast = house.ask(engine, entries[1:], house.order(tier=Tier.STANDARD))
        house.work(engine, fast)
        house.work(engine, fast, hours=1)

    assert Tier.STANDARD is engine.thaws.of_request(fast.id)[0].tier
    assert State.DELIVERED is house.work(engine, fast, hours=13).state


def test_later_request_joins_an_open_window(house: House) -> None:
    """While a copy is readable, another request is served from it without another thaw; after it lapsed, a new one is paid."""
    entries = house.archive(MEMBERS)
    engine = house.engine()
    first = house.ask(engine, entries[:1])
    house.work(engine, first)
    house.work(engine, first, hours=49)

    second = house.ask(engine, entries[1:])
    assert State.DELIVERED is house.work(engine, second).state
    assert 1 == len(house.store.thaws_paid)

    third = house.ask(engine, entries, house.order(Folder(bytes(house.root / "third"))))
    house.clock.advance(timedelta(days=30))
    house.work(engine, third)
    assert 2 == len(house.store.thaws_paid)


def test_overdue_thaw_is_reported_once(house: House) -> None:
    """A thaw that takes more than twice its time is reported once and goes on being looked at."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        engine = house.engine(store=store)
        request = house.ask(engine, entries)
        house.work(engine, request)
        store.on("head").change(_thawing, times=3)
        for _ in range(3):
            house.work(engine, request, hours=100)

    assert 1 == len(house.named("thaw_overdue"))


def test_missing_archive_fails_its_parts_only(house: House) -> None:
    """An archive that is gone fails what lies in it, before anything is paid, and nothing else."""
    gone = house.archive({b"gone": b"1"}, batch="20260302T000000-gone")
    house.store.delete(gone[0].archive.ref)
    good = house.archive({b"good": b"2"})
    engine = house.engine()
    request = house.ask(engine, [*gone, *good])
    house.work(engine, request)
    house.work(engine, request, hours=49)

    assert {b"gone": State.FAILED, b"good": State.DELIVERED} == house.states(engine, request)
    assert "is not there" in house.errors(engine, request)[b"gone"]


def test_forged_archive_is_not_paid_for(house: House) -> None:
    """An object that is not the recorded archive is refused by HEAD, before a thaw is paid."""
    entries = house.archive(MEMBERS)
    house.store.seed(entries[0].archive.ref, b"something else", storage_class=StorageClass.DEEP_ARCHIVE)
    engine = house.engine()
    request = house.ask(engine, entries)

    assert State.FAILED is house.work(engine, request).state
    assert 0 == house.store.calls["thaw"]
    assert all(part.mismatch for part in engine.requests.parts(request.id))


def test_denied_thaw_fails_with_the_reason_once_it_is_believed(house: House) -> None:
    """A right that is missing again and again fails the archive's parts with what S3 said; nothing was spent."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        store.on("thaw").fail(Denied("archive", "AccessDenied"), times=MOST_DENIALS)
        engine = house.engine(store=store)
        request = house.ask(engine, entries)

        for _ in range(MOST_DENIALS):
            assert not engine.requests.get(request.id).finished
            house.work(engine, request, hours=1)

    assert State.FAILED is engine.requests.get(request.id).state
    assert "AccessDenied" in house.errors(engine, request)[b"2026/a.pdf"]
    assert 0 == house.store.calls["thaw"]


@pytest.mark.parametrize("call", ["head", "thaw", "read", "put"])
def test_what_is_denied_for_a_moment_is_tried_again(house: House, call: str) -> None:
    """Policies and credentials take minutes to be known everywhere, and HEAD says 403 of a wrong clock too."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        store.on(call).fail(Denied("archive", "AccessDenied"))
        engine = house.engine(store=store)
        request = house.ask(engine, entries, house.order(Prefix("back", "")))

        for _ in range(4):
            house.work(engine, request, hours=48)

    assert State.DELIVERED is engine.requests.get(request.id).state
    assert 1 == len(house.store.thaws_paid)


@pytest.mark.parametrize("call", ["read", "put"])
def test_what_stays_denied_comes_to_an_end_for_all(house: House, call: str) -> None:
    """However many members there are, all are given up in the same round, with what S3 said."""
    entries = house.archive({f"2026/{number}".encode(): b"x" * 9000 for number in range(20)})
    store = Faulty(house.store)
    store.on(call).fail(Denied("archive", "AccessDenied"), times=1000)
    engine = house.engine(store=store)
    request = house.ask(engine, entries, house.order(Prefix("back", "")))
    house.work(engine, request)
    house.clock.advance(timedelta(hours=48))

    rounds = 1
    while not house.work(engine, request, hours=1).finished:
        rounds += 1

    assert {State.FAILED} == set(house.states(engine, request).values())
    assert MOST_DENIALS == rounds


def test_failed_archive_can_be_asked_for_anew(house: House) -> None:
    """What failed for want of a right is thawed for a new request once the right is there."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        store.on("thaw").fail(Denied("archive", "AccessDenied"), times=MOST_DENIALS)
        engine = house.engine(store=store)
        request = house.ask(engine, entries)
        for _ in range(MOST_DENIALS):
            house.work(engine, request, hours=1)

        request = house.ask(engine, entries)
        assert State.THAWING is house.work(engine, request).state


def test_throttled_thaw_is_tried_again_later(house: House) -> None:
    """A throttled question is asked again after a while, later each time."""
    entries = house.archive(MEMBERS)
    with Faulty(house.store) as store:
        store.on("thaw").fail(Transient("s3", "slow down"), times=2)
        engine = house.engine(store=store)
        request = house.ask(engine, entries)
        house.work(engine, request)
        house.work(engine, request)
        assert 0 == house.store.calls["thaw"]
        house.work(engine, request, hours=1)
        house.work(engine, request, hours=1)

    assert State.THAWING is engine.requests.get(request.id).state
    assert 1 == engine.thaws.of_request(request.id)[0].asks


def test_flipped_bit_is_never_delivered(house: House) -> None:
    """A member whose bytes are not the recorded ones fails; its neighbours are delivered."""
    entries = house.archive(MEMBERS)
    engine = house.engine()
    request = house.ask(engine, entries)
    house.work(engine, request)
    data = bytearray(house.store.data(entries[0].archive.ref))
    data[entries[0].member.offset + 7] ^= 0x40
    house.store.corrupt(entries[0].archive.ref, bytes(data))

    assert State.FAILED is house.work(engine, request, hours=49).state
    assert_tree(out(house), laid_out({key: MEMBERS[key] for key in (b"2026/b.pdf", b"2026/c.pdf")}))
    assert [True] == [part.mismatch for part in engine.requests.parts(request.id) if part.error]


def test_hostile_names_are_refused_part_by_part(house: House, tmp_path: Path) -> None:
    """Members with names that lead elsewhere are refused, the others delivered, and nothing lies outside the destination."""
    hostile = [b"../../escape", b"..", b"a//b", b"/abs", b"nul\0", b"./x", b"a/../../b"]
    entries = house.archive(dict.fromkeys(hostile, b"evil") | {b"good": b"good"}, storage_class=StorageClass.STANDARD)
    before = {path for path in tmp_path.rglob("*") if "journal" not in path.name}
    engine = house.engine()
    request = house.ask(engine, entries)
    house.work(engine, request)

    assert dict.fromkeys(hostile, State.FAILED) | {b"good": State.DELIVERED} == house.states(engine, request)
    made = {path for path in tmp_path.rglob("*") if "journal" not in path.name} - before
    folder = out(house)
    assert {folder, folder / "invoices", folder / "invoices/good", house.root / "restore.lock"} == made


def test_destination_full_for_a_while(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination that is full is tried again later, and the bytes arrive in the end."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS, storage_class=StorageClass.STANDARD))
    with monkeypatch.context() as patched:
        patched.setattr("s3batch.restore.deliver.os.fsync", _full)
        house.work(engine, request)
        assert State.THAWED is engine.requests.get(request.id).state
        house.work(engine, request)

    assert State.DELIVERED is house.work(engine, request, hours=2).state
    assert_tree(out(house), laid_out(MEMBERS))


def test_name_that_may_not_last_is_not_journalled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose flush fails leaves its files undelivered in the journal; the next round finds them by their bytes."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS, storage_class=StorageClass.STANDARD))
    with monkeypatch.context() as patched:
        patched.setattr("s3batch.restore.deliver.IntoFolder._flush_folders", _cannot_settle)
        assert State.THAWED is house.work(engine, request).state
    reads = house.store.calls["read"]

    assert State.DELIVERED is house.work(engine, request, hours=1).state
    assert reads == house.store.calls["read"]


def test_hopeless_part_is_given_up_in_the_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that fails at every attempt for days is set aside."""
    engine = house.engine()
    request = house.ask(engine, house.archive({b"k": b"1"}, storage_class=StorageClass.STANDARD))
    monkeypatch.setattr("s3batch.restore.deliver.os.fsync", _full)
    for _ in range(MOST_ATTEMPTS):
        house.work(engine, request, hours=1)

    assert State.FAILED is engine.requests.get(request.id).state


def test_unreadable_stretch_holds_back_no_other(house: House) -> None:
    """Members whose range cannot be read wait; those elsewhere in the archive are delivered."""
    entries = house.archive({b"k%d" % n: b"x" * 9000 for n in range(7)}, storage_class=StorageClass.STANDARD)
    with Faulty(house.store) as store:
        store.on("read").let_through().fail(Transient("s3", "connection lost")).let_through(times=2)
        engine = house.engine(store=store)
        request = house.ask(engine, entries[::2])
        house.work(engine, request)

        assert {State.DELIVERED: 3, State.THAWED: 1} == dict(engine.requests.get(request.id).counts)
    assert State.DELIVERED is house.work(engine, request, hours=1).state


@pytest.mark.parametrize(("wanted", "reads"), [(MANY - 1, MANY - 1), (MANY, 1)])
def test_bulk_job_reads_through_its_gaps(house: House, wanted: int, reads: int) -> None:
    """Few members are fetched as exactly their bytes; of many, a request for each would take longer than what lies between."""
    entries = house.archive({b"%04d" % n: b"x" * 5000 for n in range(2 * MANY)}, storage_class=StorageClass.STANDARD)
    engine = house.engine()
    request = house.ask(engine, entries[::2][:wanted])
    before = house.store.calls["read"]

    assert State.DELIVERED is house.work(engine, request).state
    assert reads == house.store.calls["read"] - before


def test_agent_delivers_to_s3(house: House) -> None:
    """A destination in S3 is delivered by whoever advances, without the requester."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS), house.order(Prefix("back", "restored/")))
    engine.advance()
    house.clock.advance(timedelta(hours=49))
    engine.advance()

    assert State.DELIVERED is engine.requests.get(request.id).state
    assert [f"restored/invoices/{key.decode()}" for key in sorted(MEMBERS)] == house.store.keys("back")


def test_agent_never_writes_elsewhere_than_its_restore_folder(house: House) -> None:
    """A folder outside the restore folder waits for its requester; inside, the agent delivers."""
    allowed = house.root / "allowed"
    engine = house.engine(restore_dir=allowed)
    entries = house.archive(MEMBERS, storage_class=StorageClass.STANDARD)
    inside = house.ask(engine, entries, house.order(Folder(bytes(allowed / "ann"))))
    outside = house.ask(engine, entries, house.order(Folder(bytes(house.root / "elsewhere"))))
    engine.advance()

    assert Deliverer.AGENT is inside.deliverer
    assert State.DELIVERED is engine.requests.get(inside.id).state
    assert Deliverer.REQUESTER is outside.deliverer
    assert State.THAWED is engine.requests.get(outside.id).state
    assert not (house.root / "elsewhere").exists()


def test_restore_folder_that_was_moved_is_respected(house: House) -> None:
    """What was filed for a restore folder that is no longer the one is refused."""
    old = house.engine(restore_dir=house.root / "old")
    entries = house.archive(MEMBERS, storage_class=StorageClass.STANDARD)
    request = house.ask(old, entries, house.order(Folder(bytes(house.root / "old/ann"))))
    engine = house.engine(restore_dir=house.root / "new")
    engine.advance()

    assert State.FAILED is engine.requests.get(request.id).state
    assert not (house.root / "old").exists()


@pytest.mark.parametrize("uid", [SOMEBODY_ELSE, 0])
def test_nobody_delivers_for_another_user(house: House, uid: int) -> None:
    """Another user's command, root's too, does not write where a requester told it to."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS, storage_class=StorageClass.STANDARD))
    engine.advance()

    with pytest.raises(Usage):
        engine.deliver_local(request.id, uid)

    assert not out(house).exists()


def test_one_process_advances(house: House) -> None:
    """While the agent holds the lock nobody else advances; when it goes, a waiting command does."""
    agent, command = house.engine(keep_lock=True), house.engine()
    agent.advance()
    request = house.ask(command, house.archive(MEMBERS))

    assert command.advance().elsewhere
    assert 0 == house.store.calls["thaw"]
    agent.close()
    assert not command.advance().elsewhere
    assert 1 == house.store.calls["thaw"]
    assert not agent.advance().elsewhere
    assert State.THAWING is command.requests.get(request.id).state


def test_cancelled_request_stops(house: House) -> None:
    """A cancelled request is not delivered; others that need the archive are."""
    entries = house.archive(MEMBERS)
    engine = house.engine()
    unwanted, wanted = house.ask(engine, entries), house.ask(engine, entries, house.order(Folder(bytes(house.root / "b"))))
    house.work(engine, unwanted)

    assert 3 == engine.requests.cancel(unwanted.id, ME)
    assert 0 == engine.requests.cancel(unwanted.id, ME)
    house.work(engine, wanted, hours=49)
    assert State.CANCELLED is engine.requests.get(unwanted.id).state
    assert State.DELIVERED is engine.requests.get(wanted.id).state
    assert not out(house).exists()


def test_only_the_owner_cancels(house: House) -> None:
    """Somebody else's request is theirs to cancel; root may."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS))

    with pytest.raises(Usage):
        engine.requests.cancel(request.id, SOMEBODY_ELSE)
    assert 3 == engine.requests.cancel(request.id, 0)


def test_cancelled_before_the_thaw_costs_nothing(house: House) -> None:
    """What is cancelled before S3 was asked is never asked for."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS))
    engine.requests.cancel(request.id, ME)
    engine.advance()

    assert 0 == house.store.calls["thaw"]


def test_upload_of_a_cancelled_part_is_cleared_away(house: House) -> None:
    """A part called off in the middle of its upload leaves no parts in S3 to be billed."""
    entries = house.archive({b"large": b"x" * 9_000_000}, storage_class=StorageClass.STANDARD)
    engine = house.engine()
    request = house.ask(engine, entries, house.order(Prefix("back", "")))
    house.store.on_part = _breaks
    engine.advance()
    assert 1 == len(list(house.store.uploads("back", "")))
    house.store.on_part = lambda _: None

    engine.requests.cancel(request.id, ME)
    engine.advance()

    assert [] == list(house.store.uploads("back", ""))


def test_broken_upload_is_resumed(house: House) -> None:
    """A large member whose upload broke off goes on from the parts that arrived, also after a restart."""
    entries = house.archive({b"large": b"x" * 9_000_000}, storage_class=StorageClass.STANDARD)
    engine = house.engine()
    request = house.ask(engine, entries, house.order(Prefix("back", "")))
    house.store.on_part = _breaks
    engine.advance()
    engine.close()
    house.store.on_part = lambda _: None
    house.clock.advance(timedelta(hours=1))
    engine = house.engine()
    engine.advance()

    assert State.DELIVERED is engine.requests.get(request.id).state
    assert 1 == house.store.calls["begin"]


def test_restart_after_delivery_before_the_journal(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after the file got its name and before the journal knew repeats nothing that can be seen."""
    engine = house.engine()
    request = house.ask(engine, house.archive(MEMBERS, storage_class=StorageClass.STANDARD))
    with monkeypatch.context() as patched:
        patched.setattr(engine.requests, "delivered", _dies)
        with pytest.raises(KeyboardInterrupt):
            house.work(engine, request)
    assert_tree(out(house), laid_out(MEMBERS))
    engine = house.engine()
    reads = house.store.calls["read"]

    assert State.DELIVERED is house.work(engine, request).state
    assert reads == house.store.calls["read"]


def test_what_takes_long_to_fetch_has_its_name_before_the_rest_is_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delivered is told in lots; where each member takes three seconds, nobody waits for hundreds of them."""
    entries = house.archive({b"k%d" % n: b"x" * 9000 for n in range(9)}, storage_class=StorageClass.STANDARD)
    seconds = itertools.count(step=3)
    monkeypatch.setattr("s3batch.restore.round.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    named: list[int] = []

    def looks() -> bool:
        named.append(len(list(out(house).rglob("k?"))))
        return False

    engine = house.engine(stopping=looks)

    assert State.DELIVERED is house.work(engine, house.ask(engine, entries)).state
    assert 6 <= max(named)


def test_stopping_leaves_the_rest_for_later(house: House) -> None:
    """Asked to stop, a round ends between members, and the next goes on."""
    entries = house.archive({b"k%d" % n: b"x" * 9000 for n in range(9)}, storage_class=StorageClass.STANDARD)
    looks = iter([False] * 6)
    engine = house.engine(stopping=lambda: next(looks, True))
    request = house.ask(engine, entries[::2], house.order(Prefix("back", "")))
    progress = engine.advance()

    assert house.clock.now() == progress.next_due
    assert State.THAWED is engine.requests.get(request.id).state
    calm = house.engine()
    calm.advance()
    assert State.DELIVERED is calm.requests.get(request.id).state


def test_versions_of_a_key_do_not_hide_each_other(house: House) -> None:
    """Versions of one key asked for by name lie side by side."""
    old = house.archive({b"k": b"old"}, batch="20250101T000000-old", storage_class=StorageClass.STANDARD)
    new = house.archive({b"k": b"new"}, batch="20260101T000000-new", storage_class=StorageClass.STANDARD)
    engine = house.engine()
    request = house.ask(engine, [*new, *old, *new])
    house.work(engine, request)

    assert_tree(out(house), {"invoices/k": "new", "20250101T000000-old/invoices/k": "old"})
    assert 2 == request.members


def test_all_versions_lie_below_their_batches(house: House) -> None:
    """With every version asked for, each lies below a folder named for its batch."""
    old = house.archive({b"k": b"old"}, batch="20250101T000000-old", storage_class=StorageClass.STANDARD)
    new = house.archive({b"k": b"new"}, batch="20260101T000000-new", storage_class=StorageClass.STANDARD)
    engine = house.engine()
    house.work(engine, house.ask(engine, [*new, *old], house.order(versions=True)))

    assert_tree(out(house), {"20260101T000000-new/invoices/k": "new", "20250101T000000-old/invoices/k": "old"})


def test_request_shows_its_least_advanced_part(house: House) -> None:
    """A request with one part delivered and one thawing is thawing."""
    warm = house.archive({b"warm": b"1"}, storage_class=StorageClass.STANDARD, batch="20260101T000000-warm")
    cold = house.archive({b"cold": b"2"})
    engine = house.engine()
    request = house.work(engine, house.ask(engine, [*warm, *cold]))

    assert {State.DELIVERED: 1, State.THAWING: 1} == dict(request.counts)
    assert State.THAWING is request.state


def test_large_folders_are_filed_in_one_go(house: House) -> None:
    """A hundred thousand members are one request, filed in one transaction."""
    entries = house.archive({b"k%d" % n: b"" for n in range(10)})
    template = entries[0]
    many = [
        Entry(template.member._replace(key=b"many/%d" % number, offset=512 * number), template.archive)
        for number in range(100_000)
    ]
    engine = house.engine()
    request = house.ask(engine, many)

    assert (100_000, {State.REQUESTED: 100_000}) == (request.members, dict(request.counts))
    assert 1 == len(engine.thaws.of_request(request.id))


def test_empty_requests_are_refused(house: House) -> None:
    """A request for nothing is a mistake, and leaves no trace."""
    engine = house.engine()

    with pytest.raises(Usage):
        house.ask(engine, [])

    assert [] == engine.requests.newest_first()


def test_objects_are_never_overwritten(house: House) -> None:
    """Overwriting is for folders."""
    engine = house.engine()

    with pytest.raises(Usage):
        house.ask(engine, house.archive(MEMBERS), house.order(Prefix("back", ""), overwrite=True))


def test_unknown_request(house: House) -> None:
    """A request nobody filed is not found."""
    with pytest.raises(NotFound):
        house.engine().requests.get("r404")


def test_estimate_counts_each_archive_once_and_not_what_is_under_way(house: House) -> None:
    """Members of one archive share its price, and an archive under way is free; nobody is asked."""
    first = house.archive(MEMBERS)
    second = house.archive({b"x": b"1"}, batch="20260202T000000-bbbb")
    engine = house.engine()
    both = engine.estimate([*first, *second], tier=Tier.BULK, days=3)
    house.work(engine, house.ask(engine, first))
    calls = house.store.calls.total()

    later = engine.estimate([*first, *second], tier=Tier.BULK, days=3)

    assert (2, 2, 4) == (both.archives, both.thaws, both.members)
    assert (2, 1) == (later.archives, later.thaws)
    assert later.total < both.total
    assert calls == house.store.calls.total()


def test_next_due_says_when_to_come_back(house: House) -> None:
    """An advance says when there will be something to do, and nothing when there is nothing."""
    engine = house.engine(pace=Pace(interval=timedelta(seconds=1), first=timedelta(0)))

    assert engine.advance().next_due is None
    house.ask(engine, house.archive(MEMBERS))
    assert house.clock.now() + timedelta(seconds=1) == engine.advance().next_due


class Restores(RuleBasedStateMachine):
    """Requests, hours, restarts, faults and people in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.house = House(Path(self.folder.name).resolve())
        self.entries = self.house.archive({b"k%d" % n: b"%d" % n * 100 for n in range(6)})
        self.store = Faulty(self.house.store)
        self.engine = self._engine()
        self.requests: list[Request] = []

    def teardown(self) -> None:
        self.house.close()
        self.folder.cleanup()

    def _engine(self) -> RestoreEngine:
        return self.house.engine(store=self.store)

    @rule(wanted=st.sets(st.integers(0, 5), min_size=1), tier=st.sampled_from(Tier), days=st.integers(1, 4))
    def ask(self, wanted: set[int], tier: Tier, days: int) -> None:
        """Somebody asks for some members, into a folder of their own."""
        folder = Folder(bytes(self.house.root / f"out{len(self.requests)}"))
        order = self.house.order(folder, tier=tier, days=days)
        self.requests.append(self.house.ask(self.engine, [self.entries[number] for number in wanted], order))

    @rule(hours=st.sampled_from([0, 1, 6, 24, 72]))
    def advance(self, hours: int) -> None:
        """Time passes and somebody advances."""
        self.house.clock.advance(timedelta(hours=hours))
        self.engine.advance()

    @rule(hours=st.sampled_from([0, 6, 49]))
    def wait(self, hours: int) -> None:
        """A command waits for the latest request."""
        if self.requests:
            self.house.work(self.engine, self.requests[-1], hours=hours)

    @rule()
    def cancel(self) -> None:
        """The first request is called off."""
        if self.requests:
            self.engine.requests.cancel(self.requests[0].id, ME)

    @rule(call=st.sampled_from(["head", "read", "thaw"]), heard=st.booleans())
    def fault(self, call: str, heard: bool) -> None:
        """The next call of a kind fails, heard or not."""
        self.store.on(call).fail(Transient("s3", "connection lost"), after_effect=heard and call == "thaw")

    @rule()
    def restart(self) -> None:
        """The process ends and another begins."""
        self.engine.close()
        self.engine = self._engine()

    @invariant()
    def files_are_right(self) -> None:
        """Whatever lies in a destination is a member, whole; what is called delivered lies there."""
        for number, request in enumerate(self.requests):
            top = self.house.root / f"out{number}"
            for entry in self.entries:
                path = top / "invoices" / entry.member.key.decode()
                assert not path.exists() or path.read_bytes() == entry.member.key[1:] * 100
            for part in self.engine.requests.parts(request.id):
                assert part.state is not State.DELIVERED or (top / "invoices" / part.key.decode()).exists()

    @invariant()
    def spending_is_bounded(self) -> None:
        """No window pays more than its bound: asks, one upgrade each, however many ask and whatever fails."""
        for thaw in self.engine.thaws.of_request(self.requests[0].id) if self.requests else []:
            assert thaw.asks <= MOST_ASKS


Restores.TestCase.settings = settings(max_examples=40, stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow])
TestRestores = Restores.TestCase


def _lapsed(house: House, engine: RestoreEngine, request: Request) -> Request:
    """Let days pass without anybody waiting, and advance."""
    house.clock.advance(timedelta(days=9))
    engine.advance()
    return engine.requests.get(request.id)


def _frozen(info: ObjectInfo) -> ObjectInfo:
    return replace(info, thaw=ThawStatus(Seen.FROZEN))


def _thawing(info: ObjectInfo) -> ObjectInfo:
    return replace(info, thaw=ThawStatus(Seen.THAWING))


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")


def _cannot_settle(*_: object) -> None:
    raise Transient("folder", "cannot be flushed")


def _breaks(_: int) -> None:
    raise Transient("s3", "connection lost")


def _dies(_: object) -> int:
    raise KeyboardInterrupt
