"""The object stores that are held to the contract. A new one is a function here and a line in `STORES`.

A `Bench` is one store with what a test needs besides the contract: buckets to be made, thaws to be held under way or finished.
Where a store is known not to keep a sentence of the contract, `unkept` names the test and the reason, and the test is skipped
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from s3sync.store.contract import ObjectRef, ObjectStore
from s3sync.store.parts import MIB
from s3sync.store.s3 import S3Store
from tests.doubles.clock import FakeClock
from tests.doubles.memory_store import MemoryStore
from tests.doubles.moto_server import MotoServer

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


MOTO_UNKEPT = {
    "test_bytes_that_are_not_those_of_the_checksum_are_rejected": "moto believes any CRC64NVME",
    "test_parts_that_are_not_those_of_the_checksum_are_rejected_and_leave_nothing_behind": "moto believes any CRC64NVME",
    "test_parts_are_stored_only_over_the_version_named": "moto looks at If-Match for single puts only",
    "test_asking_again_while_it_thaws_is_progress": "moto answers 200 while a thaw is under way",
    "test_a_thawed_copy_lapses": "moto keeps a thawed copy for ever",
    "test_a_key_of_1025_bytes_is_refused": "moto takes keys of any length",
}


def _moto(request: pytest.FixtureRequest) -> Iterator[Bench]:
    moto: MotoServer = request.getfixturevalue("moto")
    client = moto.client()
    client.create_bucket(Bucket="bucket")
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    store = S3Store(part_size=PART_SIZE, threshold=THRESHOLD)
    yield Bench(
        store=store,
        hold_thaw=lambda ref: moto.hold_thaw(ref.bucket, ref.key),
        finish_thaws=moto.finish_thaws,
        lapse_thaws=lambda: None,
        unkept=MOTO_UNKEPT,
    )
    store.close()
    client.close()


STORES: Mapping[str, Open] = {"memory": _memory, "s3-on-moto": _moto}


@contextmanager
def on_the_bench(request: pytest.FixtureRequest, name: str) -> Iterator[Bench]:
    """Open the store of that name for one test, which is skipped where the store is known not to keep what it says."""
    for bench in STORES[name](request):
        reason = bench.unkept.get(request.node.originalname)
        if reason is not None:
            pytest.skip(reason)
        yield bench
