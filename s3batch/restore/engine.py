"""The restore engine: what the agent and the commands call. It files requests, prices them, and advances them.

`advance` does a bounded amount of what is due: looks at archives, thaws them, delivers what may be delivered on behalf of
others. Only the holder of the lock does (see lock.py), so asking, thawing and delivering happen once however many commands
wait. What goes to a requester's own folder is delivered by `deliver_local`, in the requester's own process, with that user's
rights and never with the agent's, nor with root's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from s3batch.catalogue.contract import Entry
from s3batch.restore.cost import ColdArchive, Estimate, estimate
from s3batch.restore.delivering import Delivering, Means
from s3batch.restore.destination import Destination, Folder, Prefix, is_below, object_key
from s3batch.restore.events import RequestFiled, RequestFinished
from s3batch.restore.filing import Order, file_request
from s3batch.restore.local_files import current_umask
from s3batch.restore.lock import AdvancingLock
from s3batch.restore.request_journal import Requests
from s3batch.restore.requests import Deliverer, Request, State
from s3batch.restore.round import Tally
from s3batch.restore.schema import SCHEMA
from s3batch.restore.thaw import Pace
from s3batch.restore.thaw import State as ThawedState
from s3batch.restore.thaw_journal import Thaws
from s3batch.restore.thawing import Thawing
from s3sync.errors import Failure, Usage
from s3sync.events import Listener, StepFailed, silent
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectRef, ObjectStore, Stopped, Tier
from s3sync.store.section import Stopping, never

ROOM = "restore"
_ARCHIVES_A_LOOK = 200
_PARTS_A_LOT = 2048
"""Parts of one request and archive delivered before another has its turn."""
_LOTS = 20
_READABLE = {ThawedState.THAWED, ThawedState.READABLE}
_ROUNDS = 3
"""A thaw may be found ready, and delivered, in the very call that asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What an engine needs to know of its surroundings."""

    state_folder: Path
    spool: Path
    restore_dir: Path | None = None
    pace: Pace = field(default_factory=Pace)
    umask: int = field(default_factory=current_umask)
    keep_lock: bool = False
    """True for the agent: once taken, the lock is kept until `close`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a call of `advance` or `deliver_local` did."""

    elsewhere: bool = False
    """Somebody else advances: nothing was done here."""
    looked: int = 0
    tally: Tally = field(default_factory=Tally)
    next_due: datetime | None = None
    """When there will be something to do, None where nothing is pending."""


class RestoreEngine:
    """Restores for one state folder. Not for several threads at once; any number of processes."""

    def __init__(
        self,
        db: StateDb,
        store: ObjectStore,
        clock: Callable[[], datetime],
        setup: Setup,
        *,
        listener: Listener = silent,
        stopping: Stopping = never,
    ) -> None:
        """Use journal.db (its room is migrated here). `clock` returns aware times."""
        db.migrate(ROOM, SCHEMA)
        self.requests = Requests(db)
        self.thaws = Thaws(db)
        self._db = db
        self._store = store
        self._clock = clock
        self._setup = setup
        self._listener = listener
        self._stopping = stopping
        self._lock = AdvancingLock(setup.state_folder)
        self._thawing = Thawing(store, self.thaws, listener, setup.pace)
        means = Means(
            store=store,
            spool=setup.spool,
            restore_dir=setup.restore_dir,
            umask=setup.umask,
            pace=setup.pace,
            clock=clock,
            stopping=stopping,
        )
        self._delivering = Delivering(self.requests, self.thaws, means, listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.let_go()

    def deliverer(self, destination: Destination) -> Deliverer:
        """Return who will deliver there."""
        if isinstance(destination, Prefix):
            return Deliverer.AGENT
        root = self._setup.restore_dir
        return Deliverer.AGENT if root is not None and is_below(destination, str(root)) else Deliverer.REQUESTER

    def estimate(self, entries: Iterable[Entry], *, tier: Tier, days: int) -> Estimate:
        """Return what it costs and takes to bring `entries` back, as far as we know without asking S3: no call is made."""
        archives: dict[ObjectRef, ColdArchive] = {}
        members = 0
        member_bytes = 0
        for entry in entries:
            members += 1
            member_bytes += entry.member.size
            record = entry.archive
            if record.ref not in archives:
                standing = self.thaws.standing(record.ref, self._clock())
                archives[record.ref] = ColdArchive(self.thaws.storage_class(record), record.size, standing)
        return estimate(archives.values(), members=members, member_bytes=member_bytes, tier=tier, days=days)

    def request(self, request_id: str, entries: Iterable[Entry], order: Order) -> Request:
        """File a request for `entries` and return it. Nothing is spent here: `advance` does that.

        Raises `Usage` (no members, no days, overwriting in S3).
        """
        if order.days < 1:
            raise Usage(f"{order.days} days", "is no time for a readable copy", "Give --days of 1 or more")
        if order.overwrite and not isinstance(order.destination, Folder):
            raise Usage(str(order.destination), "objects are never replaced", "Leave --overwrite out, or restore to a folder")
        deliverer = self.deliverer(order.destination)
        file_request(self._db, request_id, order, entries, deliverer=deliverer, now=self._clock())
        request = self.requests.get(request_id)
        self._listener(
            RequestFiled(
                request=request_id,
                user=order.requester.user,
                destination=str(order.destination),
                members=request.members,
                bytes=request.bytes,
            )
        )
        return request

    def advance(self, *, request_id: str | None = None) -> Progress:
        """Do what is due now, of all requests or (a waiting command) of one, and say when there will be more.

        Asked to stop, it comes home early. Raises `Transient` (the journal cannot be written), `Preflight` (no lock file).
        """
        if not self._lock.take():
            return Progress(elsewhere=True)
        try:
            return self._advance(request_id)
        finally:
            if not self._setup.keep_lock:
                self._lock.let_go()

    def attend(self, request_id: str) -> None:
        """Note that the requester waits: what lapsed may be asked for again, and what is about to lapse extended."""
        self.requests.attend(request_id, self._clock())

    def deliver_local(self, request_id: str, uid: int) -> Progress:
        """Deliver what is thawed of a request whose requester delivers, as this process's user.

        A request that others deliver is left to them. Raises `NotFound`, `Usage` (this is another user's request), `Stopped`,
        `Transient`.
        """
        request = self.requests.get(request_id)
        if request.requester.uid != uid:
            wrong = f"belongs to {request.requester.user}, and is delivered with that user's rights only"
            raise Usage(f"request {request_id}", wrong, "Let that user wait for it")
        if request.deliverer is not Deliverer.REQUESTER:
            return Progress(next_due=None)
        # What can be read already need not wait for whoever advances; asking for a thaw is left to the holder of the lock.
        looked = self._look_at_readable(request_id)
        tally = self._deliver_due(Deliverer.REQUESTER, request_id)
        self._tell_finished()
        return Progress(looked=looked, tally=tally, next_due=self.requests.next_try(request_id=request_id))

    def _advance(self, request_id: str | None) -> Progress:
        looked = 0
        tally = Tally()
        try:
            self._clear_uploads()
            for _ in range(_ROUNDS):
                seen = self._look(request_id)
                looked += seen
                delivered = self._deliver_due(Deliverer.AGENT, request_id)
                tally += delivered
                if self._stopping() or not (seen or delivered != Tally()):
                    break
        except Stopped:
            # Somebody asked us to come home; whatever was under way is journalled as far as it got.
            return Progress(looked=looked, tally=tally, next_due=self._clock())
        self._tell_finished()
        return Progress(looked=looked, tally=tally, next_due=self._next_due(request_id))

    def _look_at_readable(self, request_id: str) -> int:
        due = self.thaws.due(self._clock(), _ARCHIVES_A_LOOK, request_id=request_id)
        readable = [thaw for thaw in due if thaw.state in _READABLE or not thaw.storage_class.needs_thaw]
        for thaw in readable:
            self._thawing.look_at(thaw, self._clock(), may_ask=False)
        return len(readable)

    def _look(self, request_id: str | None) -> int:
        due = self.thaws.due(self._clock(), _ARCHIVES_A_LOOK, request_id=request_id)
        for thaw in due:
            if self._stopping():
                break
            self._thawing.look_at(thaw, self._clock())
        return len(due)

    def _deliver_due(self, deliverer: Deliverer, request_id: str | None) -> Tally:
        """Deliver in turn, a lot of each request and archive at a time."""
        tally = Tally()
        lots = 0
        while lots < _LOTS:
            waiting = self.requests.waiting(self._clock(), deliverer=deliverer, request_id=request_id)
            if not waiting:
                break
            for one in waiting[: _LOTS - lots]:
                if self._stopping():
                    return tally
                tally += self._delivering.deliver(one, _PARTS_A_LOT)
                lots += 1
        return tally

    def _next_due(self, request_id: str | None) -> datetime | None:
        dues = (self.thaws.next_check(request_id=request_id), self.requests.next_try(request_id=request_id))
        return min((due for due in dues if due is not None), default=None)

    def _tell_finished(self) -> None:
        for request in self.requests.newly_finished(self._clock()):
            self._listener(
                RequestFinished(
                    request=request.id,
                    state=request.state,
                    delivered=request.counts.get(State.DELIVERED, 0),
                    failed=request.counts.get(State.FAILED, 0),
                )
            )

    def _clear_uploads(self) -> None:
        """Abort the uploads of parts that were given up: their parts in S3 are billed."""
        for part, request in self.requests.abandoned_uploads():
            destination = request.destination
            if not isinstance(destination, Prefix) or part.upload_id is None:
                continue
            ref = ObjectRef(destination.bucket, object_key(destination, part.place))
            try:
                self._store.abort(ref, part.upload_id)
            except Failure as failure:
                self._listener(StepFailed.of(failure, step="abort", bucket=ref.bucket, subject=str(ref)))
                continue
            self.requests.note_upload(part.id, None)
