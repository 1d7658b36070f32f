"""What a scenario costs, read off the bill of a strict server: spending is what was said, and happens once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from s3batch.restore.cost import upkeep
from s3batch.restore.destination import Prefix
from s3batch.restore.filing import Order
from s3batch.restore.requests import Requester, State
from s3sync.store.contract import StorageClass, Tier
from tests.doubles.billing import What
from tests.doubles.clock import FakeClock
from tests.doubles.cold_front import S3Server, running
from tests.faults.lives import LARGE, Life, quick
from tests.faults.requests import BACK, BUCKET

pytestmark = pytest.mark.live("versitygw", optional=True)

LOOK = Decimal("0.0004") / 1000


@pytest.fixture
def life(server: tuple[str, S3Server], base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    """The program over the front."""
    with ExitStack() as stack:
        front = stack.enter_context(running(server[1], FakeClock()))
        stack.enter_context(quick(monkeypatch, front, stalled=False))
        yield stack.enter_context(Life(base, front))


def order(number: int, tier: Tier = Tier.BULK) -> Order:
    """Return the order of one of many people."""
    return Order(destination=Prefix(BACK, f"{number}/"), tier=tier, days=3, requester=Requester("ann", 1000))


def test_a_batch_costs_its_requests_and_the_least_time_of_its_class(life: Life) -> None:
    """Two stores and two looks, however many files; and what is said of the upkeep is what is billed."""
    life.drop({f"a/{number}": b"x" * 100 for number in range(50)})

    life.run_pass()

    (archive,) = [key for key in life.keys(BUCKET) if key.endswith(".tar")]
    said = upkeep(len(life.object(BUCKET, archive)), 1, StorageClass.DEEP_ARCHIVE)
    assert {"PutObject": 2, "HeadObject": 2} == dict(life.front.ledger.calls)
    assert said.upload + Decimal("0.000005") + 2 * LOOK == life.front.ledger.total(What.REQUEST)
    assert said.monthly * 6 == life.front.ledger.total(What.STORAGE)


def test_parts_are_billed_as_said(life: Life) -> None:
    """An archive in parts: its beginning and its parts as STANDARD, its completion in the class."""
    life.drop({"a/large": LARGE})

    life.run_pass()

    said = upkeep(0, 1, StorageClass.DEEP_ARCHIVE, parts=3).upload + Decimal("0.000005") + 2 * LOOK
    assert said == life.front.ledger.total(What.REQUEST)


@pytest.mark.parametrize("tier", Tier)
def test_a_restore_costs_what_was_said_before(life: Life, tier: Tier) -> None:
    """Retrieval and copies to the last digit; of requests only the looks and the delivered objects come beside."""
    life.drop({"a/one": b"one" * 500, "a/two": b"two" * 5000})
    life.run_pass()
    life.front.ledger.clear()
    said = life.engine.estimate(life.entries(), tier=tier, days=3)
    assert {} == dict(life.front.ledger.calls)

    life.engine.request("r1", life.entries(), order(1, tier))
    life.engine.advance()
    life.front.clock.advance(timedelta(hours=said.hours))
    life.engine.advance()

    ledger = life.front.ledger
    assert State.DELIVERED is life.engine.requests.get("r1").state
    assert (said.retrieval, said.copies) == (ledger.total(What.RETRIEVAL), ledger.total(What.COPY))
    delivered = 2 * Decimal("0.005") / 1000
    # The two members lie side by side and come in one GET; the estimate says at most one each.
    asked = ledger.total(What.REQUEST) - delivered - ledger.calls["HeadObject"] * LOOK
    assert said.requests - LOOK == asked


def test_however_many_ask_an_archive_is_thawed_once(life: Life) -> None:
    """A hundred requests, the program started again in between: one thaw is paid for."""
    life.drop({f"a/{number}": f"{number}".encode() for number in range(100)})
    life.run_pass()
    entries = life.entries()
    for number, entry in enumerate(entries[:60]):
        life.engine.request(f"r{number}", [entry], order(number))
    life.engine.advance()
    life.restart()
    for number, entry in enumerate(entries[60:], start=60):
        life.engine.request(f"r{number}", [entry], order(number))
    life.engine.advance()

    life.front.clock.advance(timedelta(hours=48))
    for _ in range(10):
        life.engine.advance()

    assert {State.DELIVERED} == {life.engine.requests.get(f"r{number}").state for number in range(100)}
    assert (1, 1) == (life.thaws_begun(), life.front.ledger.calls["RestoreObject"])


def test_who_is_in_a_hurry_pays_for_the_faster_tier_once(life: Life) -> None:
    """Bulk is under way, somebody wants it in 12 hours: one more question, and no third."""
    life.drop({"a/one": b"one"})
    life.run_pass()
    life.engine.request("r1", life.entries(), order(1))
    life.engine.advance()

    for number in (2, 3):
        life.engine.request(f"r{number}", life.entries(), order(number, Tier.STANDARD))
        life.engine.advance()
    life.front.clock.advance(timedelta(hours=12))
    life.engine.advance()

    assert {State.DELIVERED} == {life.engine.requests.get(f"r{number}").state for number in (1, 2, 3)}
    assert 2 == life.thaws_begun()
