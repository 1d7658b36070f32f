"""Perform what `next_step` decides about one archive's thaw: HEAD, journal the intent, ask S3, journal the answer.

What is worth repeating is repeated by a later pass, later each time; what is not sets this archive aside and no other. A
missing right is believed when it was missing some times in a row: policies and new credentials take minutes to be known
everywhere, and HEAD says 403 of a wrong clock too. Before anything is spent HEAD must show the very archive that was recorded.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from s3batch.restore.events import ThawAsked, ThawLapsed, ThawOverdue, ThawReady
from s3batch.restore.fetch import confirm
from s3batch.restore.thaw import (
    FORGOTTEN,
    Ask,
    Extend,
    Fail,
    Lapse,
    Pace,
    Ready,
    Rest,
    State,
    Step,
    Thaw,
    Upgrade,
    Wait,
    next_poll,
    next_step,
)
from s3batch.restore.thaw_journal import Thaws as ThawJournal
from s3sync.errors import Failure, Permanent, Transient
from s3sync.events import Listener, StepFailed
from s3sync.store.contract import Denied, Reads, Stopped, StorageClass, ThawAnswer, Thaws, Tier

MOST_DENIALS = 6
"""In a row; over half an hour, as each wait is twice the last."""
LONGEST_WAIT = timedelta(hours=1)
FIRST_WAIT = timedelta(minutes=1)


class Store(Reads, Thaws, Protocol):
    """Can be asked about an archive and to thaw it."""


def wait_after(failures: int, pace: Pace) -> timedelta:
    """Return how long to leave alone what failed `failures` times in a row."""
    return min(LONGEST_WAIT, min(FIRST_WAIT, pace.interval) * 2.0 ** min(failures, 16))


def may_pass(failure: Failure, failures: int, *, most: int | None) -> bool:
    """Tell whether to try again after `failure`, which `failures` others preceded in a row; `most` bounds passing ones."""
    if isinstance(failure, Transient):
        return most is None or failures + 1 < most
    return isinstance(failure, Denied) and failures + 1 < MOST_DENIALS


class Thawing:
    """Looks at archives and does what is due about their thaws."""

    def __init__(self, store: Store, journal: ThawJournal, listener: Listener, pace: Pace) -> None:
        """Look at thaws under way as often as `pace` says."""
        self._store = store
        self._journal = journal
        self._listener = listener
        self._pace = pace

    def look_at(self, thaw: Thaw, now: datetime, *, may_ask: bool = True) -> None:
        """Take the next step for one archive, or, without `may_ask`, only such a step as spends nothing.

        Raises `Stopped` and what the journal raises; all else is journalled.
        """
        wish = self._journal.wish(thaw, now)
        if wish is None:
            self._journal.resting(thaw, now + FORGOTTEN)
            return
        try:
            info = confirm(thaw, self._store.head(thaw.ref))
            step = next_step(thaw, info.thaw, now, wish, self._pace)
            if may_ask or isinstance(step, Ready):
                if isinstance(step, Ask) and info.storage_class is not thaw.storage_class:
                    self._moved(thaw, info.storage_class)
                self._perform(thaw, step, now)
        except Stopped:
            raise
        except Failure as failure:
            if may_pass(failure, thaw.failures, most=None):
                self._journal.postponed(thaw, failure, now + wait_after(thaw.failures, self._pace))
                self._tell(thaw, failure, permanent=False)
            else:
                self._journal.failed(thaw, failure)
                self._tell(thaw, failure, permanent=True)

    def _moved(self, thaw: Thaw, storage_class: StorageClass) -> None:
        """Refuse to thaw an archive that a lifecycle rule has moved: its price there nobody was told. Raises `Permanent`."""
        self._journal.moved(thaw, storage_class)
        wrong = (
            f"was moved from {thaw.storage_class} to {storage_class} by a lifecycle rule: what its thaw costs nobody was told"
        )
        raise Permanent(str(thaw.ref), wrong, "Ask again; the estimate knows by now")

    def _perform(self, thaw: Thaw, step: Step, now: datetime) -> None:
        match step:
            case Ask(tier=tier, days=days, counted=counted):
                self._ask(thaw, tier, days, now, counted=counted)
            case Wait(next_check=next_check, overdue=overdue):
                self._wait(thaw, next_check, overdue=overdue)
            case Ready(until=until, next_check=next_check):
                self._ready(thaw, until, next_check)
            case Extend(days=days):
                self._extend(thaw, days, now)
            case Upgrade(tier=tier, days=days):
                self._upgrade(thaw, tier, days, now)
            case Lapse():
                self._journal.lapsed(thaw, now)
                self._listener(ThawLapsed(bucket=thaw.ref.bucket, archive=thaw.ref.key, asks=thaw.asks))
            case Rest(next_check=next_check):
                self._journal.resting(thaw, next_check)
            case Fail(wrong=wrong):
                raise Permanent(str(thaw.ref), wrong, "Ask for it again when somebody can take delivery")

    def _ask(self, thaw: Thaw, tier: Tier, days: int, now: datetime, *, counted: bool) -> None:
        self._journal.asking(thaw, tier=tier, days=days, now=now, counted=counted)
        answer = self._asked(thaw, tier, days, "ask")
        under_way = answer in {ThawAnswer.BEGUN, ThawAnswer.IN_PROGRESS}
        # An answer that it is readable already is believed when the next HEAD, a moment later, says so too.
        next_check = next_poll(self._journal.get(thaw.id), now, self._pace) if under_way else now
        self._journal.in_progress(thaw, next_check)

    def _wait(self, thaw: Thaw, next_check: datetime, *, overdue: bool) -> None:
        self._journal.in_progress(thaw, next_check)
        if overdue:
            self._journal.reported_overdue(thaw)
            tier = thaw.tier or ""
            name = thaw.ref
            self._listener(ThawOverdue(bucket=name.bucket, archive=name.key, asked_at=thaw.asked_at, tier=tier))

    def _ready(self, thaw: Thaw, until: datetime | None, next_check: datetime) -> None:
        self._journal.ready(thaw, until, next_check)
        if thaw.state not in {State.THAWED, State.READABLE}:
            self._listener(ThawReady(bucket=thaw.ref.bucket, archive=thaw.ref.key, until=until))

    def _extend(self, thaw: Thaw, days: int, now: datetime) -> None:
        self._journal.extending(thaw, now + self._pace.interval)
        self._asked(thaw, thaw.tier or Tier.BULK, days, "extend")

    def _upgrade(self, thaw: Thaw, tier: Tier, days: int, now: datetime) -> None:
        self._journal.upgrading(thaw, tier, now)
        try:
            self._asked(thaw, tier, days, "upgrade")
        except Transient:
            self._journal.upgrade_unheard(thaw)
            raise
        self._journal.in_progress(thaw, next_poll(self._journal.get(thaw.id), now, self._pace))

    def _asked(self, thaw: Thaw, tier: Tier, days: int, why: str) -> ThawAnswer:
        answer = self._store.thaw(thaw.ref, days=days, tier=tier)
        self._listener(
            ThawAsked(
                bucket=thaw.ref.bucket,
                archive=thaw.ref.key,
                bytes=thaw.size,
                storage_class=thaw.storage_class,
                tier=tier,
                days=days,
                why=why,
                answer=answer,
            )
        )
        return answer

    def _tell(self, thaw: Thaw, failure: Failure, *, permanent: bool) -> None:
        bucket = thaw.ref.bucket
        self._listener(StepFailed.of(failure, step="thaw", bucket=bucket, subject=str(thaw.ref), permanent=permanent))
