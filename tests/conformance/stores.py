"""The object stores that are held to the contract. A new one is a function here and a line in `STORES`.

A `Bench` is one store with what a test needs besides the contract: buckets to be made, thaws to be held under way or finished.
Where a store is known not to keep a sentence of the contract, `unkept` names the test and the reason, and the test is expected
to fail: a gap that was closed is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from s3sync.store.contract import ObjectRef, ObjectStore
from s3sync.store.parts import MIB
from s3sync.store.s3 import S3Store
from s3sync.store.s3_requests import of_version
from s3sync.store.stored import NoLog
from tests.doubles.clock import FakeClock
from tests.doubles.cold_front import S3Server, running
from tests.doubles.memory_store import MemoryStore
from tests.doubles.moto_server import MotoServer
from tests.doubles.payloads import payload_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_SIZE = 5 * MIB
THRESHOLD = 6 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A store on the bench, with a plain bucket `bucket` and one that keeps versions, `versioned`."""

    store: ObjectStore
    hold_thaw: Callable[[ObjectRef], None]
    """Let a thaw just asked for be under way."""
    finish_thaws: Callable[[], None]
    lapse_thaws: Callable[[], None]
    unkept: Mapping[str, str] = field(default_factory=dict)


Open = Callable[[pytest.FixtureRequest], Iterator[Bench]]


def _memory(request: pytest.FixtureRequest) -> Iterator[Bench]:
    clock = FakeClock()
    store = MemoryStore(clock, part_size=PART_SIZE, threshold=THRESHOLD)
    store.make_bucket("versioned", versioned=True)
    yield Bench(
        store=store,
        hold_thaw=lambda _ref: None,
        finish_thaws=lambda: clock.advance(timedelta(hours=48)),
        lapse_thaws=lambda: clock.advance(timedelta(days=400)),
    )


_MOTO_IS_LAX = "moto believes any CRC64NVME"
MOTO_UNKEPT = {
    "test_bytes_that_are_not_those_of_the_checksum_are_rejected": _MOTO_IS_LAX,
    "test_parts_that_are_not_those_of_the_checksum_are_rejected_and_leave_nothing_behind": _MOTO_IS_LAX,
    "test_parts_are_stored_only_over_the_version_named": "moto looks at If-Match for single puts only",
    "test_a_key_of_1025_bytes_is_refused": "moto takes keys of any length",
}
MOTO_THAWS_UNKEPT = {
    "test_asking_again_while_it_thaws_is_progress": "moto answers 200 while a thaw is under way",
    "test_a_thawed_copy_lapses": "moto keeps a thawed copy for ever",
}
_NO_CLASSES = "versitygw takes any storage class and forgets it"
_NO_THAWS = "versitygw has no RestoreObject"
VERSITYGW_UNKEPT = {
    "test_an_object_is_kept_in_the_class_asked_for": _NO_CLASSES,
    "test_what_is_not_there_cannot_be_thawed": _NO_THAWS,
    "test_what_is_archived_cannot_be_read_until_it_is_thawed": _NO_THAWS,
    "test_asking_again_while_it_thaws_is_progress": _NO_THAWS,
    "test_asking_again_once_thawed_extends_it": _NO_THAWS,
    "test_what_is_not_archived_needs_no_thaw": _NO_THAWS,
    "test_a_thawed_copy_lapses": _NO_THAWS,
}


@contextmanager
def _s3_at(server: S3Server, monkeypatch: pytest.MonkeyPatch, *, warm: bool = False) -> Iterator[S3Store]:
    """Open the program's own store on a server, with the two buckets made.

    One that is `warm` knows the short way to both already, from an object that is gone again.
    """
    client = server.client()
    client.create_bucket(Bucket="bucket")
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    store = S3Store(part_size=PART_SIZE, threshold=THRESHOLD)
    if warm:
        for bucket in ("bucket", "versioned"):
            _walk_the_short_way(store, client, ObjectRef(bucket, "warm"))
    client.close()
    try:
        yield store
    finally:
        store.close()


def _walk_the_short_way(store: S3Store, client: S3Client, ref: ObjectRef) -> None:
    """Let the store see how both requests are made, and leave nothing behind."""
    with payload_of(b"warm") as payload:
        store.put(ref, payload, NoLog())
    there = store.head(ref)
    assert there is not None
    client.delete_object(**of_version(there.ref))


def _moto(request: pytest.FixtureRequest) -> Iterator[Bench]:
    moto: MotoServer = request.getfixturevalue("moto")
    with _s3_at(moto, request.getfixturevalue("monkeypatch")) as store:
        yield Bench(
            store=store,
            hold_thaw=lambda ref: moto.hold_thaw(ref.bucket, ref.key),
            finish_thaws=moto.finish_thaws,
            lapse_thaws=_nothing,
            unkept={**MOTO_UNKEPT, **MOTO_THAWS_UNKEPT},
        )


def _versitygw(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with _s3_at(request.getfixturevalue("versitygw"), request.getfixturevalue("monkeypatch")) as store:
        yield Bench(
            store=store,
            hold_thaw=lambda _ref: None,
            finish_thaws=_nothing,
            lapse_thaws=_nothing,
            unkept=VERSITYGW_UNKEPT,
        )


def _behind_cold_front(server: str, unkept: Mapping[str, str], *, warm: bool = False) -> Open:
    """Return what opens a server behind the cold front: the front keeps what is said of classes and thaws."""

    def opened(request: pytest.FixtureRequest) -> Iterator[Bench]:
        clock = FakeClock()
        monkeypatch = request.getfixturevalue("monkeypatch")
        with running(request.getfixturevalue(server), clock) as front, _s3_at(front, monkeypatch, warm=warm) as store:
            yield Bench(
                store=store,
                hold_thaw=lambda _ref: None,
                finish_thaws=lambda: clock.advance(timedelta(hours=48)),
                lapse_thaws=lambda: clock.advance(timedelta(days=400)),
                unkept=unkept,
            )

    return opened


def _nothing() -> None:
    """A server that does it by itself, or not at all."""


STORES: Mapping[str, Open] = {
    "memory": _memory,
    "s3-on-moto": _moto,
    "s3-on-versitygw": _versitygw,
    "s3-on-cold-moto": _behind_cold_front("moto", MOTO_UNKEPT),
    "s3-on-cold-versitygw": _behind_cold_front("versitygw", {}),
    "s3-the-short-way": _behind_cold_front("versitygw", {}, warm=True),
}
LIVE = {"s3-on-versitygw": "versitygw", "s3-on-cold-versitygw": "versitygw", "s3-the-short-way": "versitygw"}
"""The live part that a store stands on."""


def params() -> list[object]:
    """Return the stores' names, marked with the live part each needs, as parameters of a fixture."""
    return [pytest.param(name, marks=[pytest.mark.live(LIVE[name])] if name in LIVE else []) for name in STORES]


@contextmanager
def on_the_bench(request: pytest.FixtureRequest, name: str) -> Iterator[Bench]:
    """Open the store of that name for one test, which must fail where the store is known not to keep what it says."""
    for bench in STORES[name](request):
        reason = bench.unkept.get(request.node.originalname)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        yield bench
