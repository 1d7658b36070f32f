"""A bucket that refuses everybody is parked; one poisonous file is not the bucket's fault."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from s3sync.backoff import Backoff
from s3sync.errors import Failure, Transient
from s3sync.events import Event
from s3sync.statedb import StateDb
from s3sync.store.contract import AlreadyThere, Denied, Missing, Rejected, Stopped
from s3sync.transfer.guard import BucketBack, BucketParked, Guard, Refused
from s3sync.transfer.journal import Journal
from tests.doubles.clock import FakeClock


class House:
    """A guard with its clock, its journal, and what it told."""

    def __init__(self, db: StateDb) -> None:
        self.clock = FakeClock()
        self.journal = Journal(db, self.clock.now)
        self.heard: list[Event] = []
        self.guard = Guard(self.journal, Backoff(self.clock.monotonic), self.heard.append)

    def ask(self, answer: Failure | None, bucket: str = "b") -> None:
        """Ask `bucket`, which answers so."""
        with self.guard.asking(bucket):
            if answer is not None:
                raise answer

    def ask_in_vain(self, answer: Failure, times: int = 1) -> None:
        """Ask, and be refused."""
        for _ in range(times):
            with pytest.raises(Refused):
                self.ask(answer)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A guard with a journal of its own."""
    with StateDb.open(tmp_path / "journal.db") as db:
        yield House(db)


def test_a_missing_bucket_is_parked_by_its_first_answer(house: House) -> None:
    """Nothing in it can succeed; the journal shows it and the others go on."""
    house.ask_in_vain(Missing("b", "no such bucket"))

    assert (house.guard.closed("b"), house.guard.closed("other")) == (True, False)
    assert [parked.bucket for parked in house.journal.parked()] == ["b"]
    assert [type(event) for event in house.heard] == [BucketParked]


def test_one_poisonous_file_does_not_park_its_bucket(house: House) -> None:
    """Denied, then a success: the row begins anew."""
    house.ask_in_vain(Denied("b", "no rights"), times=2)
    house.ask(None)
    house.ask_in_vain(Denied("b", "no rights"), times=2)

    assert not house.guard.closed("b")
    assert house.heard == []


def test_three_refusals_in_a_row_park(house: House) -> None:
    """Whoever refuses three files refuses the fourth."""
    house.ask_in_vain(Denied("b", "no rights"), times=3)

    assert house.guard.closed("b")


def test_a_parked_bucket_is_tried_by_one_file_after_its_wait(house: House) -> None:
    """After the wait one refusal is enough to park it again, for longer."""
    house.ask_in_vain(Denied("b", "no rights"), times=3)
    house.clock.advance(timedelta(seconds=60))
    house.guard.begin_pass()
    opened = not house.guard.closed("b")
    house.ask_in_vain(Denied("b", "no rights"))
    house.clock.advance(timedelta(seconds=60))
    house.guard.begin_pass()

    assert (opened, house.guard.closed("b")) == (True, True)


def test_a_passing_trouble_parks_for_one_pass(house: House) -> None:
    """A bucket that was busy is asked again by the next pass."""
    house.ask_in_vain(Transient("b", "slow down"), times=3)
    during = house.guard.closed("b")
    house.guard.begin_pass()

    assert (during, house.guard.closed("b")) == (True, False)


def test_a_bucket_that_answers_again_is_told_and_forgotten(house: House) -> None:
    """The journal no longer shows it."""
    house.ask_in_vain(Missing("b", "no such bucket"))
    house.ask(None)

    assert house.journal.parked() == []
    assert type(house.heard[-1]) is BucketBack


@pytest.mark.parametrize("answer", [AlreadyThere("o", "exists"), Rejected("o", "bad digest"), Stopped("o", "stopped")])
def test_what_concerns_one_object_passes_as_it_is(house: House, answer: Failure) -> None:
    """The bucket has answered: it is not refused, and never parked for that."""
    for _ in range(5):
        with pytest.raises(type(answer)):
            house.ask(answer)

    assert not house.guard.closed("b")
