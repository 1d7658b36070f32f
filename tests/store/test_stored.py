from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from s3sync.errors import Transient
from s3sync.store.contract import AlreadyThere, Denied, ObjectRef, Payload, Stopped, StorageClass
from s3sync.store.parts import MIB
from s3sync.store.proof import BATCH_MARK, Differs, Proof
from s3sync.store.stored import NoLog, Unseen, store_and_prove
from tests.doubles.clock import FakeClock
from tests.doubles.faulty import Faulty
from tests.doubles.memory_store import MemoryStore
from tests.doubles.payloads import payload_of

REF = ObjectRef("bucket", "folder/archive.tar")
DATA = b"0123456789abcdef" * (11 * MIB // 16)
BROKEN = Transient(str(REF), "the connection broke")


@pytest.fixture
def memory() -> MemoryStore:
    """Cold storage with an empty bucket."""
    return MemoryStore(FakeClock())


@pytest.fixture
def payload() -> Iterator[Payload]:
    """An archive of three parts."""
    with payload_of(DATA, storage_class=StorageClass.DEEP_ARCHIVE, metadata={BATCH_MARK: "b-1"}) as opened:
        yield opened


def proof_of(memory: MemoryStore, payload: Payload) -> Proof:
    """Return the proof there should be."""
    info = memory.head(REF)
    assert info is not None
    return Proof(ref=info.ref, size=payload.size, crc64nvme=payload.crc64nvme, etag=info.etag)


def test_what_was_stored_is_proved(memory: MemoryStore, payload: Payload) -> None:
    """One put, one look."""
    proof = store_and_prove(memory, REF, payload, NoLog())

    assert {"put": 1, "head": 1, "begin": 1, "part": 3} == dict(memory.calls)
    assert proof_of(memory, payload) == proof


def test_a_lost_reply_is_looked_at(memory: MemoryStore, payload: Payload) -> None:
    """The object is there, and it is ours."""
    with Faulty(memory) as faulty:
        faulty.on("put").fail(BROKEN, after_effect=True)

        proof = store_and_prove(faulty, REF, payload, NoLog())

    assert proof_of(memory, payload) == proof


def test_what_did_not_arrive_stays_transient(memory: MemoryStore, payload: Payload) -> None:
    """The next attempt stores it."""
    with Faulty(memory) as faulty:
        faulty.on("put").fail(BROKEN)

        with pytest.raises(Transient):
            store_and_prove(faulty, REF, payload, NoLog())
        proof = store_and_prove(faulty, REF, payload, NoLog())

    assert proof_of(memory, payload) == proof


def test_our_own_object_in_the_way_is_proved(memory: MemoryStore, payload: Payload) -> None:
    """An attempt before a crash got this far."""
    first = store_and_prove(memory, REF, payload, NoLog())

    assert first == store_and_prove(memory, REF, payload, NoLog())


def test_when_resuming_an_object_that_is_there_is_not_sent_again(memory: MemoryStore, payload: Payload) -> None:
    """It costs one look, and nothing is uploaded to be refused."""
    first = store_and_prove(memory, REF, payload, NoLog())
    memory.calls.clear()

    assert first == store_and_prove(memory, REF, payload, NoLog(), resuming=True)
    assert {"head": 1} == dict(memory.calls)


def test_a_log_with_an_upload_of_an_object_that_is_there_is_cleared(memory: MemoryStore, payload: Payload) -> None:
    """Whatever is left of the upload is aborted."""
    store_and_prove(memory, REF, payload, NoLog())
    log = NoLog()
    log.note("upload-left-over")
    memory.calls.clear()

    store_and_prove(memory, REF, payload, log)

    assert ({"head": 1, "abort": 1}, None) == (dict(memory.calls), log.upload_id)


def test_an_upload_that_broke_off_is_resumed(memory: MemoryStore, payload: Payload) -> None:
    """Only the parts that are missing are sent."""
    log = NoLog()

    def break_off(number: int) -> None:
        if number == 2:
            raise BROKEN

    memory.on_part = break_off
    with pytest.raises(Transient):
        store_and_prove(memory, REF, payload, log)
    memory.on_part = lambda _number: None
    memory.calls.clear()

    proof = store_and_prove(memory, REF, payload, log)

    assert {"head": 2, "put": 1, "part": 1} == dict(memory.calls)
    assert proof_of(memory, payload) == proof


@pytest.mark.parametrize(
    "changed",
    [
        {"data": b"other bytes"},
        {"metadata": {BATCH_MARK: "b-2"}},
        {"metadata": {}},
        {"storage_class": StorageClass.STANDARD},
    ],
    ids=["bytes", "mark", "no mark", "class"],
)
def test_somebody_elses_object_is_never_proved(memory: MemoryStore, payload: Payload, changed: dict[str, object]) -> None:
    """Every point must agree, also the mark: equal bytes of another batch are not ours."""
    seed = {"data": DATA, "storage_class": StorageClass.DEEP_ARCHIVE, "metadata": {BATCH_MARK: "b-1"}, **changed}
    memory.seed(REF, **seed)  # type: ignore[arg-type]
    before = memory.head(REF)

    for resuming in (False, True):
        with pytest.raises(AlreadyThere):
            store_and_prove(memory, REF, payload, NoLog(), resuming=resuming)

    assert before == memory.head(REF)


@pytest.mark.parametrize(
    "lie",
    [
        {"size": 1},
        {"crc64nvme": "AAAAAAAAAAA="},
        {"crc64nvme": None},
        {"checksum_type": "COMPOSITE"},
        {"storage_class": StorageClass.STANDARD},
        {"metadata": {BATCH_MARK: "b-2"}},
    ],
    ids="-".join,
)
def test_a_head_that_disagrees_is_no_proof(memory: MemoryStore, payload: Payload, lie: dict[str, object]) -> None:
    """Whatever put said."""
    with Faulty(memory) as faulty:
        faulty.on("head").change(lambda info: replace(info, **lie))

        with pytest.raises(Differs):
            store_and_prove(faulty, REF, payload, NoLog())


def test_what_cannot_be_seen_is_not_proved(memory: MemoryStore, payload: Payload) -> None:
    """Stored and not there is a contradiction; the next pass looks again."""
    with Faulty(memory) as faulty:
        faulty.on("head").change(lambda _info: None)

        with pytest.raises(Transient, match="cannot be seen"):
            store_and_prove(faulty, REF, payload, NoLog())


def test_a_look_that_fails_is_no_proof(memory: MemoryStore, payload: Payload) -> None:
    """Neither after a put nor after a doubtful one."""
    with Faulty(memory) as faulty:
        faulty.on("put").fail(BROKEN, after_effect=True)
        faulty.on("head").fail(BROKEN, times=2)

        with pytest.raises(Transient):
            store_and_prove(faulty, REF, payload, NoLog())
        with pytest.raises(Transient):
            store_and_prove(faulty, REF, payload, NoLog(), resuming=True)


@pytest.mark.parametrize("doubtful", [False, True], ids=["after a put", "after a doubtful put"])
def test_a_look_that_is_refused_says_that_it_may_be_stored(memory: MemoryStore, payload: Payload, doubtful: bool) -> None:
    """It is for another look, and no reason to store it again under another name."""
    with Faulty(memory) as faulty:
        if doubtful:
            faulty.on("put").fail(BROKEN, after_effect=True)
        faulty.on("head").fail(Denied(str(REF), "cannot look at it (403)", "Allow s3:GetObject"))

        with pytest.raises(Unseen, match=r"may be stored by now: cannot look at it \(403\). Allow s3:GetObject"):
            store_and_prove(faulty, REF, payload, NoLog())


def test_told_to_stop_it_does_not_look(memory: MemoryStore, payload: Payload) -> None:
    """There are seconds left, and the upload can be resumed."""
    with Faulty(memory) as faulty:
        faulty.on("put").fail(Stopped(str(REF), "storing it was interrupted"))

        with pytest.raises(Stopped):
            store_and_prove(faulty, REF, payload, NoLog())

    assert 0 == memory.calls["head"]


def test_a_new_version_is_proved_over_the_one_named(memory: MemoryStore, payload: Payload) -> None:
    """The proof names the new version."""
    memory.make_bucket("versioned", versioned=True)
    ref = ObjectRef("versioned", "key")
    old = memory.seed(ref, b"old")

    proof = store_and_prove(memory, ref, payload, NoLog(), if_match=old.etag)

    assert proof.ref.version_id not in {None, old.ref.version_id}
    assert b"old" == memory.data(old.ref)
