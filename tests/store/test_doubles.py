"""What the doubles promise beyond the contract, since other rooms' tests rest on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from s3sync.errors import Transient
from s3sync.store.contract import Frozen, Missing, ObjectRef, StorageClass, ThawAnswer, ThawState, ThawStatus, Tier
from tests.doubles.clock import FakeClock
from tests.doubles.faulty import Faulty
from tests.doubles.memory_store import MemoryStore

REF = ObjectRef("bucket", "archive.tar")
COLD = StorageClass.DEEP_ARCHIVE


@pytest.fixture
def clock() -> FakeClock:
    """15 October, half past ten."""
    return FakeClock(datetime(2026, 10, 15, 10, 30, tzinfo=UTC))


@pytest.fixture
def memory(clock: FakeClock) -> MemoryStore:
    """Cold storage with one cold object."""
    store = MemoryStore(clock)
    store.seed(REF, b"cold bytes", storage_class=COLD)
    return store


def state(memory: MemoryStore) -> ThawStatus:
    """Return the object's thaw state."""
    info = memory.head(REF)
    assert info is not None
    return info.thaw


@pytest.mark.parametrize(
    ("storage_class", "tier", "hours"),
    [
        (COLD, Tier.BULK, 48),
        (COLD, Tier.STANDARD, 12),
        (StorageClass.GLACIER, Tier.BULK, 12),
        (StorageClass.GLACIER, Tier.STANDARD, 5),
    ],
)
def test_a_thaw_takes_the_hours_of_its_tier(
    clock: FakeClock, memory: MemoryStore, storage_class: StorageClass, tier: Tier, hours: int
) -> None:
    """Not a second less."""
    memory.seed(REF, b"cold bytes", storage_class=storage_class)
    memory.thaw(REF, days=1, tier=tier)

    clock.advance(timedelta(hours=hours, seconds=-1))
    before = state(memory).state
    clock.advance(timedelta(seconds=1))

    assert (ThawState.THAWING, ThawState.THAWED) == (before, state(memory).state)


def test_a_copy_lapses_at_the_midnight_after_its_days(clock: FakeClock, memory: MemoryStore) -> None:
    """Thawed on the 15th at 22:30 for three days, it is kept until the 19th begins."""
    memory.thaw(REF, days=3, tier=Tier.STANDARD)
    clock.advance(timedelta(hours=12))

    until = state(memory).until
    assert until == datetime(2026, 10, 19, tzinfo=UTC)
    clock.advance(until - clock.now() - timedelta(seconds=1))
    assert ThawState.THAWED == state(memory).state
    clock.advance(timedelta(seconds=1))
    assert ThawStatus(ThawState.FROZEN) == state(memory)


def test_only_thaws_that_begin_are_paid_for(clock: FakeClock, memory: MemoryStore) -> None:
    """Asking again costs nothing, a faster tier with the same days is begun and paid anew."""
    answers = [
        memory.thaw(REF, days=3, tier=Tier.BULK),
        memory.thaw(REF, days=3, tier=Tier.BULK),
        memory.thaw(REF, days=5, tier=Tier.STANDARD),
        memory.thaw(REF, days=3, tier=Tier.STANDARD),
    ]
    clock.advance(timedelta(hours=12))
    answers.append(memory.thaw(REF, days=5, tier=Tier.BULK))

    assert [
        ThawAnswer.BEGUN,
        ThawAnswer.IN_PROGRESS,
        ThawAnswer.IN_PROGRESS,
        ThawAnswer.BEGUN,
        ThawAnswer.ALREADY_THAWED,
    ] == answers
    assert [REF, REF] == memory.thaws_paid
    assert datetime(2026, 10, 21, tzinfo=UTC) == state(memory).until


def test_a_copy_that_lapses_while_it_is_read_is_read_to_the_end(clock: FakeClock, memory: MemoryStore) -> None:
    """The next read is refused."""
    memory.thaw(REF, days=1, tier=Tier.STANDARD)
    clock.advance(timedelta(hours=12))
    info = memory.head(REF)
    assert info is not None

    with memory.read(REF, offset=0, length=10, etag=info.etag) as chunks:
        clock.advance(timedelta(days=30))
        assert b"cold bytes" == b"".join(chunks)
    with pytest.raises(Frozen), memory.read(REF, offset=0, length=10, etag=info.etag):
        pass


def test_what_is_deleted_is_missing(memory: MemoryStore) -> None:
    """In a versioned bucket its old version stays."""
    memory.make_bucket("versioned", versioned=True)
    kept = memory.seed(ObjectRef("versioned", "key"), b"kept")
    memory.delete(ObjectRef("versioned", "key"))
    memory.delete(REF)

    assert (None, None) == (memory.head(REF), memory.head(ObjectRef("versioned", "key")))
    assert ([], []) == (memory.keys("bucket"), memory.keys("versioned"))
    assert b"kept" == memory.data(kept.ref)
    with pytest.raises(Missing):
        memory.thaw(REF, days=1, tier=Tier.BULK)


def test_a_corrupt_object_looks_as_before(memory: MemoryStore) -> None:
    """Only its bytes have changed."""
    before = memory.head(REF)
    memory.corrupt(REF, b"cold bYtes")

    assert before == memory.head(REF)
    assert b"cold bYtes" == memory.data(REF)


def test_faults_strike_in_the_order_they_were_written(memory: MemoryStore) -> None:
    """Then calls pass through."""
    broken = Transient("bucket", "slow down")
    outcomes = []
    with Faulty(memory) as faulty:
        faulty.on("head").fail(broken, times=2).let_through().fail(broken)
        for _ in range(5):
            try:
                outcomes.append(faulty.head(REF) is not None)
            except Transient:
                outcomes.append(False)

    assert [False, False, True, False, True] == outcomes


def test_an_effect_may_happen_although_the_reply_is_lost(memory: MemoryStore) -> None:
    """The thaw runs, and whoever asked does not know."""
    with Faulty(memory) as faulty:
        faulty.on("thaw").fail(Transient("bucket", "lost"), after_effect=True)

        with pytest.raises(Transient):
            faulty.thaw(REF, days=1, tier=Tier.BULK)

        assert ThawAnswer.IN_PROGRESS == faulty.thaw(REF, days=1, tier=Tier.BULK)


def test_a_read_may_break_off(clock: FakeClock, memory: MemoryStore) -> None:
    """After some bytes have come."""
    memory.thaw(REF, days=1, tier=Tier.STANDARD)
    clock.advance(timedelta(hours=12))
    info = memory.head(REF)
    assert info is not None
    came: list[bytes] = []

    with Faulty(memory) as faulty:
        faulty.on("read").cut_after(4)

        with pytest.raises(Transient), faulty.read(REF, offset=0, length=10, etag=info.etag) as chunks:
            came.extend(chunks)

    assert b"cold" == b"".join(came)


def test_a_fault_that_never_struck_fails_the_test(memory: MemoryStore) -> None:
    """It proved nothing."""
    with pytest.raises(AssertionError), Faulty(memory) as faulty:
        faulty.on("put").fail(Transient("bucket", "slow down"))


def test_the_clocks_can_come_apart(clock: FakeClock) -> None:
    """A step moves the wall clock only."""
    wall, monotonic = clock.now(), clock.monotonic()
    clock.step(timedelta(hours=-1))
    clock.sleep(5)

    assert (wall - timedelta(minutes=60) + timedelta(seconds=5), monotonic + 5) == (clock.now(), clock.monotonic())
