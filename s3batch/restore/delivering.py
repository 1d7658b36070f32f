"""Deliver the thawed parts that one request has in one archive.

Everything is decided part by part, so that one that cannot be read, written or trusted holds back no other; a destination or a
source that fails three times running ends the round instead of failing for each of a hundred thousand. Results are journalled
a hundred or so at a time: a crash repeats at most those, and what lies in its place already is recognised by its bytes.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from s3batch.restore.deliver import IntoFolder
from s3batch.restore.deliver_s3 import IntoPrefix
from s3batch.restore.destination import Folder, is_below
from s3batch.restore.events import MemberDelivered
from s3batch.restore.fetch import Outcome, Sink, Source, confirm, fetch, gap_worth_reading, spans
from s3batch.restore.lifecycle import OutOfPlace
from s3batch.restore.request_journal import Requests
from s3batch.restore.requests import Deliverer, Part, Request, Waiting
from s3batch.restore.thaw import Pace, Thaw
from s3batch.restore.thaw_journal import Thaws
from s3batch.restore.thawing import may_pass, wait_after
from s3sync import keys
from s3sync.errors import Failure, Permanent, Transient
from s3sync.events import Listener, StepFailed
from s3sync.store.contract import AlreadyThere, Denied, Frozen, Missing, Stopped
from s3sync.store.section import Stopping
from s3sync.store.stored import Stores

MOST_ATTEMPTS = 50
"""Of one part; at an hour apart, two days of a destination that fails."""
MOST_REFUSED_READS = 500
"""Reads refused as frozen while HEAD says readable; at five minutes apart, most of two days."""
_IN_A_ROW = 3
_JOURNAL_AFTER = 128
"""Parts. Each of a folder's is an open file until then, so where few may be open it is a quarter of those."""
_JOURNAL_AFTER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Tally:
    """What a round of deliveries came to."""

    delivered: int = 0
    failed: int = 0
    postponed: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(self.delivered + other.delivered, self.failed + other.failed, self.postponed + other.postponed)


class Into(Protocol):
    """Where the parts of one request go: a folder or a prefix. Used as a context."""

    def existing(self, part: Part) -> str | None:
        """Return the part's place where its very bytes are known to lie there. Raises `Failure`."""

    def open(self, part: Part) -> Sink:
        """Begin to write a part. Raises `Failure`."""

    def settle(self) -> Mapping[int, Failure]:
        """Put into place, durably, what was finished; return why some parts, by number, could not be. Raises `Failure`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What deliveries are made with."""

    store: Stores
    spool: Path
    """Folder where members for S3 are collected; need not exist until then."""
    restore_dir: Path | None
    """The only local folder that may be delivered to on behalf of others."""
    umask: int
    pace: Pace
    clock: Callable[[], datetime]
    stopping: Stopping


class Delivering:
    """Delivers; may be used by the agent and by a waiting command at the same time, in different processes."""

    def __init__(self, requests: Requests, thaws: Thaws, means: Means, listener: Listener) -> None:
        """Deliver with `means`."""
        self._requests = requests
        self._thaws = thaws
        self._means = means
        self._listener = listener

    def deliver(self, waiting: Waiting, limit: int) -> Tally:
        """Deliver at most `limit` parts. Raises `Stopped` and what the journal raises; all else is journalled."""
        request = self._requests.get(waiting.request)
        thaw = self._thaws.get(waiting.thaw)
        parts = self._requests.due_parts(waiting, self._means.clock(), limit)
        round_ = _Round(self._requests, self._listener, self._means, request)
        try:
            self._deliver(request, thaw, parts, round_)
        except Stopped:
            raise
        except Frozen as frozen:
            self._back_to_looking(thaw, frozen)
        except (Transient, AlreadyThere, Missing) as failure:
            # Another ETag, or gone since the HEAD: the next HEAD will say what became of it.
            round_.postpone_rest(parts, failure)
        except Failure as failure:
            round_.judge_rest(parts, failure)
        return round_.tally

    def _deliver(self, request: Request, thaw: Thaw, parts: Sequence[Part], round_: _Round) -> None:
        info = confirm(thaw, self._means.store.head(thaw.ref))
        if not info.thaw.readable_now:
            raise Frozen(str(thaw.ref), "is no longer readable")
        with self._into(request, thaw) as into, round_.journalled(into):
            missing = [part for part in parts if not round_.settled_by_existing(into, part)]
            for span in spans(missing, gap_worth_reading(len(missing))):
                self._fetch(Source.of(thaw, info), span, into, round_)
                if round_.failing is not None:
                    round_.postpone_rest(parts, round_.failing)
                if round_.failing is not None or round_.overtaken:
                    return

    def _fetch(self, source: Source, span: Sequence[Part], into: Into, round_: _Round) -> None:
        try:
            for outcome in fetch(self._means.store, source, span, into.open, self._means.stopping):
                round_.take(outcome)
        except Stopped:
            raise
        except Transient as failure:
            broken, *untouched = round_.left(span)
            round_.take(Outcome(broken, failure=failure))
            round_.postpone(untouched, failure, attempt=False)

    def _into(self, request: Request, thaw: Thaw) -> IntoFolder | IntoPrefix:
        destination = request.destination
        means = self._means
        if isinstance(destination, Folder):
            self._refuse_elsewhere(request, destination)
            return IntoFolder(destination, umask=means.umask, overwrite=request.overwrite)
        means.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        return IntoPrefix(destination, store=means.store, spool=means.spool, thaw=thaw, log_of=self._log_of)

    def _refuse_elsewhere(self, request: Request, folder: Folder) -> None:
        """Refuse, on behalf of others, any folder but those below the restore folder as it is set now."""
        root = self._means.restore_dir
        if request.deliverer is Deliverer.AGENT and (root is None or not is_below(folder, str(root))):
            wrong = "does not lie below this host's restore folder"
            raise Permanent(keys.printable(str(folder)), wrong, "Set S3BATCH_RESTORE_DIR, or ask again with another --to")

    def _log_of(self, part: Part) -> PartUploadLog:
        return PartUploadLog(self._requests, part)

    def _back_to_looking(self, thaw: Thaw, frozen: Frozen) -> None:
        """Go back to the archive: its copy lapsed, or S3 calls it readable too early."""
        try:
            if thaw.refused_reads >= MOST_REFUSED_READS:
                wrong = f"S3 calls it readable and refused {thaw.refused_reads} reads"
                self._thaws.failed(thaw, Permanent(str(thaw.ref), wrong, "Read it with `aws s3api get-object`; ask AWS"))
                return
            self._thaws.not_yet(thaw, self._means.clock() + self._means.pace.interval)
        except OutOfPlace:
            # Whoever advances has seen it before us and the row has moved on.
            return
        self._listener(_step_failed("read", thaw.ref.bucket, frozen, permanent=False))


class PartUploadLog:
    """Remembers the upload id of one part's object across restarts, see `store.contract.UploadLog`."""

    def __init__(self, requests: Requests, part: Part) -> None:
        """Begin with what the journal says."""
        self._requests = requests
        self._part_id = part.id
        self._upload_id = part.upload_id

    @property
    def upload_id(self) -> str | None:
        """Return the id noted last."""
        return self._upload_id

    def note(self, upload_id: str | None, /) -> None:
        """Make `upload_id` durable."""
        self._requests.note_upload(self._part_id, upload_id)
        self._upload_id = upload_id


class _Round:
    """What becomes of the parts of one round, journalled in small lots."""

    def __init__(self, requests: Requests, listener: Listener, means: Means, request: Request) -> None:
        self.tally = Tally()
        self.overtaken = False
        """Somebody cancelled the request, or delivers it too."""
        self.failing: Failure | None = None
        """The last of too many failures in a row."""
        self._requests = requests
        self._listener = listener
        self._means = means
        self._request = request
        self._settled: set[int] = set()
        self._journal_after = _lot()
        self._delivered: dict[int, tuple[Part, str]] = {}
        self._delivered_bytes = 0
        self._in_a_row = 0
        self._settle: Callable[[], Mapping[int, Failure]] = dict

    @contextmanager
    def journalled(self, into: Into) -> Iterator[None]:
        """Journal what was delivered before anybody looks at what went wrong with the rest."""
        self._settle = into.settle
        try:
            yield
        finally:
            self.journal()

    def settled_by_existing(self, into: Into, part: Part) -> bool:
        """Tell whether what lies at the part's place decides about it, and take that as its outcome."""
        try:
            place = into.existing(part)
        except Failure as failure:
            self.take(Outcome(part, failure=failure))
            return True
        if place is None:
            return False
        self.take(Outcome(part, place=place))
        return True

    def take(self, outcome: Outcome) -> None:
        part, failure = outcome.part, outcome.failure
        self._settled.add(part.id)
        if isinstance(failure, Stopped):
            raise failure
        if failure is not None and may_pass(failure, part.attempts, most=MOST_ATTEMPTS):
            self._count_in_a_row(failure)
            self.postpone([part], failure, attempt=True)
        elif failure is not None:
            self.refuse([part], failure)
        elif outcome.place is not None:
            self._in_a_row = 0
            self._deliver(part, outcome.place)

    def left(self, parts: Sequence[Part]) -> list[Part]:
        return [part for part in parts if part.id not in self._settled]

    def refuse(self, parts: Sequence[Part], failure: Failure) -> None:
        self._settled.update(part.id for part in parts)
        self._requests.refused([part.id for part in parts], failure)
        self.tally += Tally(failed=len(parts))
        self._tell(failure, permanent=True)

    def postpone(self, parts: Sequence[Part], failure: Failure, *, attempt: bool) -> None:
        self._settled.update(part.id for part in parts)
        failures = max((part.attempts for part in parts), default=0)
        until = self._means.clock() + wait_after(failures, self._means.pace)
        self._postpone([part.id for part in parts], failure, until=until, attempt=attempt)

    def judge_rest(self, parts: Sequence[Part], failure: Failure) -> None:
        """Try those again for which it may pass, and refuse the others."""
        again = [part for part in self.left(parts) if may_pass(failure, part.attempts, most=MOST_ATTEMPTS)]
        if again:
            self.postpone(again, failure, attempt=True)
        given_up = self.left(parts)
        if given_up:
            self.refuse(given_up, failure)

    def postpone_rest(self, parts: Sequence[Part], failure: Failure) -> None:
        rest = self.left(parts)
        if rest:
            # What is denied to some is denied to all of them, and must come to an end for all at once.
            self.postpone(rest, failure, attempt=isinstance(failure, Denied))

    def journal(self) -> None:
        """Make what was delivered durable, there and here; where less moved here, somebody cancelled or was quicker."""
        delivered, self._delivered, self._delivered_bytes = self._delivered, {}, 0
        if not delivered:
            return
        try:
            failures = self._settle()
        except Failure as failure:
            # Whether the names would survive a power cut is unknown: the next round finds the bytes, or delivers them again.
            self._postpone(list(delivered), failure, until=self._means.clock() + self._means.pace.interval, attempt=True)
            return
        places = {number: place for number, (_, place) in delivered.items() if number not in failures}
        moved = self._requests.delivered(places)
        self.overtaken |= moved < len(places)
        self.tally += Tally(delivered=moved)
        for number, (part, place) in delivered.items():
            if number in failures:
                self.take(Outcome(part, failure=failures[number]))
            else:
                self._tell_delivered(part, place)

    def _deliver(self, part: Part, place: str) -> None:
        self._delivered[part.id] = part, place
        self._delivered_bytes += part.size
        if len(self._delivered) >= self._journal_after or self._delivered_bytes >= _JOURNAL_AFTER_BYTES:
            self.journal()

    def _tell_delivered(self, part: Part, place: str) -> None:
        self._listener(MemberDelivered(request=part.request, bucket=part.bucket, key=part.key, bytes=part.size, place=place))

    def _postpone(self, ids: Sequence[int], failure: Failure, *, until: datetime, attempt: bool) -> None:
        self._requests.postponed(ids, failure, until=until, attempt=attempt)
        self.tally += Tally(postponed=len(ids))
        self._tell(failure, permanent=False)

    def _count_in_a_row(self, failure: Failure) -> None:
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            self.failing = failure

    def _tell(self, failure: Failure, *, permanent: bool) -> None:
        self._listener(_step_failed("deliver", "", failure, permanent=permanent))


def _lot() -> int:
    most_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _JOURNAL_AFTER if most_open == resource.RLIM_INFINITY else max(1, min(_JOURNAL_AFTER, most_open // 4))


def _step_failed(step: str, bucket: str, failure: Failure, *, permanent: bool) -> StepFailed:
    return StepFailed(
        step=step, subject=failure.subject, bucket=bucket, wrong=failure.wrong, hint=failure.hint, permanent=permanent
    )
