"""Counts the events of `s3batch`: a listener for metrics."""

from __future__ import annotations

from s3batch.catalogue.drain import ArchiveIndexed
from s3batch.operate.measured import DELIVERED, DOLLARS, PHASE, RELEASED
from s3batch.pack.events import ArchiveReleased, ArchiveReserved, ArchiveStored
from s3batch.restore.cost import ColdArchive, estimate
from s3batch.restore.events import MemberDelivered, ThawAsked, ThawReady
from s3sync.events import Event
from s3sync.observe.counts import Counting
from s3sync.store.contract import StorageClass, ThawAnswer, Tier


class BatchCounting(Counting):
    """Counts originals, durations, deliveries and dollars besides what both programs count."""

    def __call__(self, event: Event) -> None:
        """Count `event`."""
        super().__call__(event)
        now = self._clock()
        match event:
            case ArchiveReserved():
                self._watch.begin("store", event.batch, at=now)
            case ArchiveStored():
                self._ends("store", event.batch, now)
                self._watch.begin("release", event.batch, at=now)
                self._watch.begin("index", event.batch, at=now)
            case ArchiveReleased():
                self._ends("release", event.batch, now)
                self.counts.add(RELEASED, event.bucket, value=event.released)
            case ArchiveIndexed():
                self._ends("index", event.batch, now)
            case ThawAsked():
                self._asked(event, now)
            case ThawReady():
                self._ends("thaw", f"{event.bucket}/{event.archive}", now)
            case MemberDelivered():
                self.counts.add(DELIVERED, event.bucket, value=event.bytes)
            case _:
                pass

    def _asked(self, event: ThawAsked, now: float) -> None:
        archive = ColdArchive(StorageClass(event.storage_class), event.bytes)
        cost = estimate([archive], members=0, member_bytes=0, tier=Tier(event.tier), days=event.days)
        if event.answer == ThawAnswer.BEGUN:
            self._watch.begin("thaw", f"{event.bucket}/{event.archive}", at=now)
            self.counts.add(DOLLARS, event.tier, value=float(cost.total))
        elif event.answer == ThawAnswer.ALREADY_THAWED:  # its copy is kept for more days
            self.counts.add(DOLLARS, event.tier, value=float(cost.copies))

    def _ends(self, phase: str, what: str, now: float) -> None:
        took = self._watch.end(phase, what, at=now)
        if took is not None:
            self.counts.took(PHASE, phase, seconds=took)
