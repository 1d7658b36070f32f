"""Store an object and come back with the proof of it, or not at all.

A conditional write that is retried after a lost reply finds its own success in the way, and a broken connection says nothing
about what arrived; so the object itself is asked, before (where an earlier attempt may have got this far), after a doubtful
answer, and always at the end. Nothing here ever returns without a HEAD that agrees in every point with what was to be stored.
"""

from __future__ import annotations

from typing import Protocol

from s3sync.errors import Permanent, Transient
from s3sync.store.contract import AlreadyThere, ObjectInfo, ObjectRef, Payload, Reads, Stopped, UploadLog, Writes
from s3sync.store.proof import Proof, differences, prove


class Unseen(Transient):
    """S3 may hold the object, and would not show it: it is to be looked at again, and not stored a second time meanwhile."""


class Stores(Writes, Reads, Protocol):
    """Writes objects and can look at them afterwards."""


class NoLog:
    """An upload log for what need not survive a restart: it remembers the id in memory only."""

    def __init__(self) -> None:
        """Begin without an upload."""
        self._upload_id: str | None = None

    @property
    def upload_id(self) -> str | None:
        """Return the id noted last."""
        return self._upload_id

    def note(self, upload_id: str | None, /) -> None:
        """Remember `upload_id` until this object goes."""
        self._upload_id = upload_id


def store_and_prove(
    store: Stores, ref: ObjectRef, payload: Payload, log: UploadLog, *, if_match: str | None = None, resuming: bool = False
) -> Proof:
    """Store `payload` under `ref` unless it is there already, and return the proof that S3 holds exactly it.

    `resuming` says that an earlier attempt may have stored it; a log with an upload id says so too. Raises what `Writes.put`
    raises (`AlreadyThere` means a different object is under the key), `Differs` where S3 describes ours differently, `Unseen`
    where it may hold ours and refuses to show it.
    """
    if resuming or log.upload_id is not None:
        earlier = looked_at(store, ref)
        if earlier is not None and not differences(earlier, payload):
            return _taken_over(store, earlier, payload, log)
    try:
        info = store.put(ref, payload, log, if_match=if_match)
    except Stopped:
        raise
    except (AlreadyThere, Transient) as failure:
        there = looked_at(store, ref)
        if there is None and isinstance(failure, AlreadyThere) and if_match is None:
            raise Transient(str(ref), "an object was in the way, and is gone", "Leave it; it is tried again") from failure
        if there is None or differences(there, payload):
            raise
        return _taken_over(store, there, payload, log)
    if info is None or differences(info, payload):
        info = looked_at(store, ref)
    if info is None:
        raise Transient(str(ref), "it was stored, and cannot be seen", "Leave it; it is looked at again")
    return prove(info, payload)


def looked_at(store: Stores, ref: ObjectRef) -> ObjectInfo | None:
    """Return what the store knows of what was stored, or may have been; None where nothing is. Raises `Unseen`, `Transient`."""
    try:
        return store.head(ref)
    except Permanent as refusal:
        raise Unseen(str(ref), f"it may be stored by now: {refusal.wrong}", refusal.hint) from refusal


def _taken_over(store: Stores, info: ObjectInfo, payload: Payload, log: UploadLog) -> Proof:
    """Return the proof of what an earlier attempt stored, and clear away the upload it was to come from."""
    if log.upload_id is not None:
        store.abort(info.ref, log.upload_id)
        log.note(None)
    return prove(info, payload)
