"""Who is told what, and when: one message a bucket and cause, a digest instead of a flood."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from s3batch.operate.told import DONE, ROUTES
from s3sync.observe.troubles import BURST, MOST_TROUBLES, RUN, Happening, Kind, Ledger, Message

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SEVEN = timedelta(hours=7)


class People:
    """Those who are told, a ledger and a clock."""

    def __init__(self) -> None:
        self.now = NOON
        self.ledger = Ledger(ROUTES, DONE, host="drop1", program="s3batch")
        self.told: list[Message] = []

    def happens(self, name: str, *, loud: bool = True, **fields: str | int | bool) -> list[Message]:
        """Something happens; return what people are told of that at once."""
        return self._tell(self.ledger.take(Happening(name, loud, fields), self.now))

    def waits(self, minutes: float = 0, *, digest: timedelta | None = None) -> list[Message]:
        """Time passes; return what they are told."""
        self.now += timedelta(minutes=minutes)
        return self._tell(self.ledger.tick(self.now, digest))

    def fails(self, bucket: str = "b", *, permanent: bool = True, step: str = "store") -> list[Message]:
        """A step fails."""
        said = {"subject": "x", "wrong": "was refused", "hint": "Ask"}
        happening = Happening("step_failed", loud=True, fields={**said, "step": step, "bucket": bucket, "permanent": permanent})
        return [*self._tell(self.ledger.take(happening, self.now)), *self.waits()]

    def _tell(self, messages: list[Message]) -> list[Message]:
        self.told += messages
        return messages


def test_a_failure_is_told_once_and_so_is_its_end() -> None:
    """However often it is seen, and however often it succeeds afterwards."""
    people = People()
    for _ in range(100):
        people.fails()
        people.waits(1)
    for _ in range(3):
        people.happens("archive_released", loud=False, bucket="other")
        people.happens("archive_released", loud=False, bucket="b")

    assert [Kind.FAILURE, Kind.RECOVERY] == [message.kind for message in people.told]
    first, last = people.told
    assert "s3batch on drop1: step_failed store (b)" == first.subject
    assert first.text.startswith("x was refused\nAsk\n")
    assert "Seen 100 times since 2026-03-10 12:00 UTC, and it is over." in last.text


def test_each_bucket_and_cause_is_told_of() -> None:
    """The same step in another bucket is another trouble, and so is another step."""
    people = People()
    for _ in range(5):
        people.fails("b")
        people.fails("c")
        people.fails("b", step="manifest")

    assert [("b", "step_failed store"), ("c", "step_failed store"), ("b", "step_failed manifest")] == [
        (message.bucket, message.cause) for message in people.told
    ]


def test_what_passes_by_itself_is_told_when_it_lasts() -> None:
    """A transient failure is no message, unless it goes on for a quarter of an hour."""
    people = People()
    people.fails(permanent=False)
    people.waits(60)
    people.happens("archive_released", loud=False, bucket="b")
    assert [] == people.told
    for _ in range(4):
        people.fails(permanent=False)
        people.waits(5)

    assert [Kind.FAILURE] == [message.kind for message in people.told]


def test_a_restore_does_not_recover_by_archiving() -> None:
    """What ends a trouble belongs to its step."""
    people = People()
    people.fails("b", step="thaw")
    people.happens("archive_released", loud=False, bucket="b")
    assert 1 == len(people.told)
    people.happens("thaw_ready", loud=False, bucket="b")

    assert Kind.RECOVERY is people.told[-1].kind


def test_files_merely_held_come_with_the_digest_alone() -> None:
    """A warning that needs a person this week is no message of its own."""
    people = People()
    people.waits(digest=SEVEN)
    for _ in range(1000):
        people.happens("originals_kept", bucket="b", reason="immutable", files=3, batch="1")
    people.happens("archive_released", loud=False, bucket="b")
    assert [] == people.waits(60, digest=SEVEN)
    (digest,) = people.waits(18 * 60, digest=SEVEN)

    assert Kind.DIGEST is digest.kind
    assert "1,000 originals_kept immutable b" in digest.text
    assert "1 archives of bucket b" in digest.text
    assert "originals_kept immutable (b): 1,000 times" in digest.text


def test_the_digest_comes_once_a_day_and_counts_anew() -> None:
    """Every day at its time, also where nothing happened."""
    people = People()
    for _ in range(3 * 24 * 4):
        people.waits(15, digest=SEVEN)

    assert 3 == len(people.told)
    assert all("nothing happened" in message.text for message in people.told)
    assert all("Nothing is open." in message.text for message in people.told)


def test_a_flood_becomes_one_message() -> None:
    """A hundred buckets that fail at once are five messages, and one that names the others, an hour later."""
    people = People()
    for number in range(100):
        people.fails(f"bucket-{number:02}")
    assert BURST == len(people.told)
    people.waits(59)
    assert BURST == len(people.told)
    people.waits(2)

    assert BURST + 1 == len(people.told)
    assert "95 more messages in one" in people.told[-1].subject
    assert "step_failed store (bucket-05)" in people.told[-1].text


def test_flapping_does_not_flood() -> None:
    """A bucket that fails and recovers every minute, for a day, is a few messages an hour."""
    people = People()
    for _ in range(24 * 60):
        people.fails()
        people.waits(1)
        people.happens("archive_released", loud=False, bucket="b")

    assert len(people.told) <= 24 * (BURST + 1)


def test_strangers_cannot_fill_the_ledger() -> None:
    """Troubles of more buckets than anybody has are counted, and not kept."""
    people = People()
    for number in range(MOST_TROUBLES + 100):
        people.fails(f"bucket-{number}")

    assert MOST_TROUBLES == len(people.ledger.troubles)
    assert people.ledger.counted[f"step_failed store bucket-{MOST_TROUBLES + 99}"] == 1


def test_it_survives_a_restart() -> None:
    """What was told before is not told again by the next process, and its end still is."""
    people = People()
    people.fails()
    people.happens(RUN, wrong="the drop zone cannot be opened")
    people.waits()
    saved = json.loads(json.dumps(people.ledger.saved()))
    people.ledger = Ledger(ROUTES, DONE, host="drop1", program="s3batch")
    people.ledger.load(saved)
    people.fails()
    people.happens(RUN, wrong="the drop zone cannot be opened")
    people.waits()
    assert 2 == len(people.told)
    people.happens("archive_released", loud=False, bucket="b")
    people.told += people.ledger.end(RUN, people.now)

    assert [Kind.FAILURE, Kind.FAILURE, Kind.RECOVERY, Kind.RECOVERY] == [message.kind for message in people.told]


def test_what_nothing_ends_is_forgotten_after_a_day() -> None:
    """And told again where it comes back."""
    people = People()
    people.happens("degraded", cause="no_leases", detail="here")
    people.waits()
    people.waits(25 * 60)
    assert {} == people.ledger.troubles
    people.happens("degraded", cause="no_leases", detail="here")
    people.waits()

    assert 2 == len(people.told)
