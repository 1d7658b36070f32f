"""Send what waits in the outbox, oldest archive first, and note after each bulk how far it came.

A replay is harmless, so what a crash leaves unnoted is sent again. Where the index is away, everything waits, longer each time
(full jitter, at most five minutes) and for as long as it takes: there is no last attempt, and nobody is asked in between. What
is wrong with one archive (its manifest cannot be read) or with one month's index postpones these, and the others pass. A
document the index will never take is set aside with the reason and blocks nothing.

Bulks are made a little ahead of being sent, which another thread does, one after another, so that the index does not wait for
us; each is noted only when it was answered.

An index that was deleted and made again lacks what was sent before. Each archive is therefore only forgotten if the index is
the same as when it was begun, and the identity of every index that documents went into is kept and looked at: where it changed,
everything of that month is sent again, which also fills the gap that a rebuild beside us leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import SystemRandom
from typing import ClassVar

from s3batch.catalogue.ahead import BULKS_AHEAD, in_order
from s3batch.catalogue.index import Answer, Index, Outcome
from s3batch.catalogue.manifest import Manifest
from s3batch.catalogue.manifest_source import Manifests
from s3batch.catalogue.outbox import Behind, Outbox, Waiting
from s3batch.catalogue.pieces import Piece, Sending, pieces_of
from s3batch.model import ArchiveRecord, Reservation
from s3sync.errors import Failure, Permanent, Transient, Usage
from s3sync.events import Event, Level, Listener, silent

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 300.0
LOOK_AGAIN = timedelta(minutes=5)
"""How often the identities of indices are looked at where nothing waits."""
MOST_UNREADABLE = 3
"""So many manifests in a row that the store does not give: it is the store, and the others need not be tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexAway(Event):
    """The index cannot be reached or refuses to work; the outbox waits."""

    name: ClassVar[str] = "index_away"
    level: ClassVar[Level] = Level.WARNING
    wrong: str
    behind: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveIndexed(Event):
    """Every member of an archive was sent."""

    name: ClassVar[str] = "archive_indexed"
    bucket: str
    archive: str
    batch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSetAside(Event):
    """The index refused a document for good."""

    name: ClassVar[str] = "document_set_aside"
    level: ClassVar[Level] = Level.WARNING
    bucket: str
    archive: str
    ordinal: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReplayed(Event):
    """An index is another than the one documents went into: all of this host's archives of its month are sent again."""

    name: ClassVar[str] = "index_replayed"
    level: ClassVar[Level] = Level.WARNING
    index: str
    archives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    """What one drain did."""

    archives: int
    documents: int
    set_aside: int
    behind: Behind
    failure: Failure | None
    """Why it stopped before the end, where it did."""


@dataclass(slots=True)
class _Tally:
    """One drain while it goes on."""

    archives: int = 0
    documents: int = 0
    set_aside: int = 0
    unreadable: int = 0
    """Manifests the store did not give, in a row."""
    blocked: dict[str, Failure] = field(default_factory=dict)
    """Indices that take nothing now, and why."""
    again: bool = True
    """Whether what waits has to be looked through from the oldest."""


class Drain:
    """Drains an outbox into an index. For one thread at a time."""

    def __init__(
        self,
        outbox: Outbox,
        manifests: Manifests,
        index: Index,
        *,
        archives_of: Callable[[str], Iterable[Reservation]],
        listener: Listener = silent,
        stopping: Callable[[], bool] = lambda: False,
        jitter: Callable[[float], float] = lambda longest: SystemRandom().uniform(0, longest),
    ) -> None:
        """Send to `index`. `archives_of` returns this host's archives of an index; `jitter` picks a wait of up to so long."""
        self._outbox = outbox
        self._manifests = manifests
        self._index = index
        self._archives_of = archives_of
        self._listener = listener
        self._stopping = stopping
        self._jitter = jitter
        self._failures = 0
        self._not_before: datetime | None = None
        self._looked: datetime | None = None

    def drain(self, now: datetime) -> DrainReport:
        """Send what is due, oldest first, until nothing is, or the index is away, or it is time to stop."""
        tally = _Tally()
        if self._not_before is not None and now < self._not_before:
            return self._report(tally, None)
        try:
            self._look_at_identities(now, tally)
            self._send_all(now, tally)
        except (Transient, Usage) as failure:
            return self._step_back(failure, now, tally)
        if tally.blocked:
            return self._step_back(next(iter(tally.blocked.values())), now, tally)
        self._well(tally)
        return self._report(tally, None)

    def _send_all(self, now: datetime, tally: _Tally) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="bulk") as sender:  # one, so that they arrive in their order
            while tally.again and not self._stopping():
                tally.again = False
                sending = Sending(self._index, self._stopping)
                with (
                    closing(self._pieces(now, tally)) as pieces,
                    closing(in_order(sender, sending.send, pieces, lambda: BULKS_AHEAD)) as sent,
                ):
                    for piece, answers in sent:
                        if answers is not None:
                            self._take(piece, answers, tally)

    def _pieces(self, now: datetime, tally: _Tally) -> Generator[Piece, None, None]:
        """Yield what is due, oldest archive first."""
        after: Waiting | None = None
        while not self._stopping() and (waiting := self._outbox.next_due(now, tally.blocked, after)) is not None:
            manifest = self._manifest(waiting, now, tally)
            if manifest is None:
                after = waiting
                continue
            try:
                identity = self._ready(waiting.goes_to)
            except _Blocked as blocked:
                tally.blocked[waiting.goes_to] = blocked.failure
                continue
            known = self._outbox.identities().get(waiting.goes_to)
            if known is None:
                self._outbox.replay(waiting.goes_to, identity, ())
                continue
            if known != identity:
                self._replay(waiting.goes_to, identity)
                tally.again = True
                return  # what is on its way is taken first
            after = waiting
            yield from pieces_of(self._index, waiting, manifest, identity)

    def _look_at_identities(self, now: datetime, tally: _Tally) -> None:
        """Replay the months whose index is another one or none, at the first drain and then now and again."""
        if self._looked is not None and now - self._looked < LOOK_AGAIN:
            return
        for name, identity in self._outbox.identities().items():
            if self._index.identity(name) != identity:
                try:
                    self._replay(name, self._ready(name))
                except _Blocked as blocked:
                    tally.blocked[name] = blocked.failure
        self._looked = now

    def _ready(self, name: str) -> str:
        try:
            return self._index.ready(name)
        except Permanent as failure:
            raise _Blocked(failure) from failure

    def _replay(self, name: str, identity: str) -> None:
        archives = list(self._archives_of(name))
        self._outbox.replay(name, identity, archives)
        self._listener(IndexReplayed(index=name, archives=len(archives)))

    def _manifest(self, waiting: Waiting, now: datetime, tally: _Tally) -> Manifest | None:
        """Return an archive's manifest; where it cannot be had, postpone the archive and return None."""
        try:
            manifest = self._manifests.manifest(waiting.manifest, waiting.batch)
            _refuse_another(manifest.record, waiting)
        except Failure as failure:
            tally.unreadable += isinstance(failure, Transient)
            wait = timedelta(seconds=self._wait_seconds(waiting.attempts))
            self._outbox.postpone(waiting, now + wait, f"{failure.subject}: {failure.wrong}")
            if isinstance(failure, Transient) and tally.unreadable >= MOST_UNREADABLE:
                raise
            return None
        tally.unreadable = 0
        return manifest

    def _take(self, piece: Piece, answers: Sequence[Answer], tally: _Tally) -> None:
        """Note how far a bulk came; forget the archive when all is through and the index is still the one it was begun in."""
        waiting, name = piece.waiting, piece.waiting.goes_to
        if self._outbox.identities().get(name) != piece.identity:
            return  # it was put in again from its first member, meanwhile
        through = self._note(piece, answers, tally)
        if through < len(answers):
            hint = "Wait; it is tried again by itself"
            tally.blocked[name] = Transient(f"index {name}", answers[through].reason, hint)
        elif piece.last and self._index.identity(name) == piece.identity:
            self._outbox.done(waiting)
            tally.archives += 1
            self._listener(ArchiveIndexed(bucket=waiting.bucket, archive=waiting.archive, batch=waiting.batch))
        elif piece.last:
            tally.again = True

    def _note(self, piece: Piece, answers: Sequence[Answer], tally: _Tally) -> int:
        """Note those that are through, and return how many they are."""
        if piece.prepared is None:
            return 0
        documents, waiting, first = piece.prepared.documents, piece.waiting, piece.first
        through = next((place for place, one in enumerate(answers) if one.outcome is Outcome.LATER), len(answers))
        refused = {
            first + place: (one.reason, documents[place].source)
            for place, one in enumerate(answers[:through])
            if one.outcome is Outcome.SET_ASIDE
        }
        self._outbox.note(waiting, first + through, refused)
        tally.documents += through - len(refused)
        tally.set_aside += len(refused)
        for ordinal, (reason, _) in refused.items():
            told = DocumentSetAside(bucket=waiting.bucket, archive=waiting.archive, ordinal=ordinal, reason=reason)
            self._listener(told)
        return through

    def _step_back(self, failure: Failure, now: datetime, tally: _Tally) -> DrainReport:
        self._not_before = now + timedelta(seconds=self._wait_seconds(self._failures))
        self._failures += 1
        self._outbox.failed(now, f"{failure.subject}: {failure.wrong}")
        report = self._report(tally, failure)
        self._listener(IndexAway(wrong=failure.wrong, behind=report.behind.archives, attempt=self._failures))
        return report

    def _well(self, tally: _Tally) -> None:
        self._not_before = None
        if self._failures or tally.documents:
            self._outbox.well_again()
        self._failures = 0

    def _wait_seconds(self, attempts: int) -> float:
        # The exponent is bounded so that weeks of attempts do not overflow a float.
        return self._jitter(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(attempts, 32)))

    def _report(self, tally: _Tally, failure: Failure | None) -> DrainReport:
        return DrainReport(
            archives=tally.archives,
            documents=tally.documents,
            set_aside=tally.set_aside,
            behind=self._outbox.behind(),
            failure=failure,
        )


def _refuse_another(record: ArchiveRecord, waiting: Waiting) -> None:
    """Raise `Permanent` where a manifest describes another archive than the one that waits: somebody put it there."""
    if (record.ref.bucket, record.ref.key, record.created) != (waiting.bucket, waiting.archive, waiting.created):
        hint = "See who replaced it; nothing is indexed on its word"
        raise Permanent(f"manifest {waiting.manifest}", "describes another archive than the one it was written for", hint)


class _Blocked(Exception):
    """One index takes nothing now; others may."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure
