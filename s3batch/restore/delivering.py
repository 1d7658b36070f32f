"""Deliver the thawed parts that one request has in one archive.

Everything is decided part by part, so that one that cannot be read, written or trusted holds back no other; a destination or a
source that fails three times running ends the round instead of failing for each of a hundred thousand. Results are journalled
some hundred at a time: a crash repeats at most those, and what lies in its place already is recognised by its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from s3batch.restore.deliver import IntoFolder
from s3batch.restore.deliver_s3 import IntoPrefix
from s3batch.restore.destination import Folder, is_below
from s3batch.restore.fetch import Outcome, Source, confirm, fetch, gap_worth_reading, spans
from s3batch.restore.lifecycle import OutOfPlace
from s3batch.restore.request_journal import Requests
from s3batch.restore.requests import Deliverer, Part, Request, Waiting
from s3batch.restore.round import Into, Round, Tally
from s3batch.restore.thaw import Pace, Thaw
from s3batch.restore.thaw_journal import Thaws
from s3batch.restore.thawing import wait_after
from s3sync import keys
from s3sync.errors import Failure, Permanent, Transient
from s3sync.events import Listener, StepFailed
from s3sync.store.contract import AlreadyThere, Frozen, Missing, Stopped
from s3sync.store.section import Stopping
from s3sync.store.stored import Stores

MOST_REFUSED_READS = 500
"""Reads refused as frozen while HEAD says readable; at five minutes apart, most of two days."""


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
        round_ = Round(self._requests, self._listener, self._again_at)
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

    def _deliver(self, request: Request, thaw: Thaw, parts: Sequence[Part], round_: Round) -> None:
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

    def _fetch(self, source: Source, span: Sequence[Part], into: Into, round_: Round) -> None:
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

    def _again_at(self, failures: int) -> datetime:
        return self._means.clock() + wait_after(failures, self._means.pace)

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
        self._listener(StepFailed.of(frozen, step="read", bucket=thaw.ref.bucket, permanent=False))


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
