"""The agent of one drop zone: a pass takes up what the journal still holds, then what the scan finds, and says what it did.

A pass is an ordinary function and begins by setting right what an earlier one, or an earlier program, left unfinished, so that
starting is nothing special. Files go their way side by side and know nothing of each other: what goes wrong with one is told,
counted and left for a later pass; only what concerns all of them (the journal, the drop zone itself) ends the pass.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import ClassVar

from s3sync.backoff import Backoff
from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import Find
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.recover import recover
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.scan import Held, scan
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Exit
from s3sync.events import Event, Level, Listener
from s3sync.times import to_ns
from s3sync.transfer.carry import Transfer
from s3sync.transfer.drops import Drop, Phase
from s3sync.transfer.journal import Journal, PassRecord
from s3sync.transfer.lots import in_lots
from s3sync.transfer.outcome import Ended, Outcome
from s3sync.transfer.pool import in_parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class PassEnded(Event):
    """A pass is over."""

    name: ClassVar[str] = "pass_ended"
    level: ClassVar[Level] = Level.INFO
    files: int
    bytes: int
    released: int
    left: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayFile(Event):
    """A file lies in quarantine, and nobody knows where it came from: it stays until a person moves it."""

    name: ClassVar[str] = "stray_file"
    level: ClassVar[Level] = Level.WARNING
    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSummary:
    """What one pass did."""

    files: int = 0
    """Files of which S3 confirmed the bytes."""
    bytes: int = 0
    released: int = 0
    left: int = 0
    """Files that are still in the drop zone, for whatever reason."""
    errors: int = 0
    again_seconds: float | None = None

    @property
    def exit(self) -> Exit:
        """The code a single pass ends with."""
        if self.errors == 0:
            return Exit.DONE
        return Exit.PARTIAL if self.files or self.released else Exit.FAILED

    def record(self) -> dict[str, int]:
        """Return the summary as its line shows it."""
        return {
            "files": self.files,
            "bytes": self.bytes,
            "released": self.released,
            "left": self.left,
            "errors": self.errors,
        }

    def plus(self, outcomes: Sequence[Outcome]) -> PassSummary:
        """Return the summary with more outcomes in it. What is left is counted where it is seen, by the scan."""
        return replace(
            self,
            files=self.files + sum(each.stored for each in outcomes),
            bytes=self.bytes + sum(each.size for each in outcomes if each.stored),
            released=self.released + sum(each.ended is Ended.RELEASED for each in outcomes),
            errors=self.errors + sum(each.ended is Ended.FAILED for each in outcomes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What files of this drop zone are held to, in every pass."""

    quiet: QuietClock
    buckets: frozenset[str] | None
    temporary: tuple[str, ...]

    def ladder(self, journal: Journal | None) -> Ladder:
        """Return the rules for a pass that begins now, knowing what is in hand; without a journal nothing is."""
        stored = journal.in_hand(Phase.STORED, Phase.UNRELEASED) if journal else []
        exists = journal.in_hand(Phase.EXISTS) if journal else []
        return Ladder(
            Standards(
                quiet=self.quiet,
                buckets=self.buckets,
                temporary=self.temporary,
                utf8_only=True,
                unreleasable=_states(stored),
                exists=_states(exists),
            )
        )


class Agent:
    """Makes passes. One at a time, and one agent a drop zone and journal: whoever starts it holds the locks."""

    def __init__(
        self,
        zone: DropZone,
        judging: Judging,
        find: Find,
        transfer: Transfer,
        journal: Journal,
        *,
        backoffs: Sequence[Backoff],
        workers: int,
        stopping: Callable[[], bool],
        monotonic_ns: Callable[[], int],
        listener: Listener,
        degraded: Mapping[str, str],
    ) -> None:
        """Send `workers` files at once; `find` proves that originals can be removed before they are stored.

        `degraded` holds, by cause, what protection or reach is missing while this agent runs; others write it.
        """
        self._zone = zone
        self._judging = judging
        self._find = find
        self._transfer = transfer
        self._journal = journal
        self._backoffs = backoffs
        self._workers = workers
        self._stopping = stopping
        self._monotonic_ns = monotonic_ns
        self._listener = listener
        self._degraded = degraded
        self._strays: frozenset[bytes] = frozenset()

    def run_once(self, now: datetime) -> PassSummary:
        """Make a pass at the moment `now` (aware UTC).

        Raises `Transient` where the journal cannot be written, `OSError` where the drop zone cannot be read, `Preflight` where
        the drop zone's path names another folder by now.
        """
        self._zone.refuse_if_replaced()
        self._begin(now)
        summary = PassSummary()
        for outcomes in self._together(partial(self._transfer.resume, drops) for drops in self._in_hand()):
            summary = summary.plus(outcomes)
        self._recover()
        held = Counter[str]()
        lots = in_lots(self._candidates(held), workers=self._workers)
        left = 0
        for outcomes in self._together(partial(self._transfer.send, lot) for lot in lots):
            summary = summary.plus(outcomes)
            left += sum(each.ended is not Ended.RELEASED for each in outcomes)
        return self._end(replace(summary, left=left + held.total()), now)

    def _begin(self, now: datetime) -> None:
        self._judging.quiet.begin_pass(wall_ns=to_ns(now), monotonic_ns=self._monotonic_ns())
        self._transfer.begin_pass()
        for backoff in self._backoffs:
            backoff.forget_old()

    def _candidates(self, held: Counter[str]) -> Iterator[Candidate]:
        """Yield what the scan finds finished; count the rest by reason."""
        for found in scan(self._zone, self._judging.ladder(self._journal), self._find):
            if self._stopping():
                return
            if isinstance(found, Held):
                held[found.reason] += found.files
            else:
                yield found

    def _recover(self) -> None:
        """Give back what lies in quarantine and no drop will come back for.

        A stored drop comes back for its own; one whose object was lost meanwhile does not, and has to be stored again.
        """
        report = recover(self._zone, {drop.leaves_by for drop in self._journal.in_hand(Phase.STORED)})
        for path in report.strays:
            if path not in self._strays:
                self._listener(StrayFile(path=path))
        self._strays = frozenset(report.strays)

    def _in_hand(self) -> Iterable[list[Drop]]:
        """Return the drops of the journal, together what leaves by the same folder of slots."""
        together = defaultdict[str, list[Drop]](list)
        for drop in self._journal.in_hand(*Phase):
            together[drop.leaves_by if drop.phase is Phase.STORED else drop.id].append(drop)
        return together.values()

    def _together(self, jobs: Iterable[Callable[[], list[Outcome]]]) -> Iterator[list[Outcome]]:
        return in_parallel(jobs, workers=self._workers, stopping=self._stopping)

    def _end(self, summary: PassSummary, now: datetime) -> PassSummary:
        self._journal.pass_ended(PassRecord(finished=now, **summary.record()), dict(self._degraded))
        if summary.files or summary.released or summary.errors:
            self._listener(PassEnded(**summary.record()))
        waits = [self._judging.quiet.soonest_seconds, *(backoff.soonest_seconds() for backoff in self._backoffs)]
        return replace(summary, again_seconds=min((wait for wait in waits if wait is not None), default=None))


def _states(drops: Iterable[Drop]) -> Mapping[bytes, Identity]:
    return {drop.candidate.path: drop.candidate.identity for drop in drops}
