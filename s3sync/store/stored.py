"""Store an object and come back with the proof of it, or not at all.

A conditional write that is retried after a lost reply finds its own success in the way, and a broken connection says nothing
about what arrived; so the object itself is asked, before (where an earlier attempt may have got this far), after a doubtful
answer, and always at the end. Nothing here ever returns without a HEAD that agrees in every point with what was to be stored.
"""

from __future__ import annotations

from typing import Protocol

from s3sync.errors import Transient
from s3sync.store.contract import AlreadyThere, ObjectRef, Payload, Reads, Stopped, UploadLog, Writes
from s3sync.store.proof import Proof, differences, prove


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
    and `Reads.head` raise: `AlreadyThere` means a different object is under the key, `Rejected` that S3 describes ours
    differently.
    """
    if resuming or log.upload_id is not None:
        proof = _proof_of_earlier(store, ref, payload, log)
        if proof is not None:
            return proof
    try:
        store.put(ref, payload, log, if_match=if_match)
    except Stopped:
        raise
    except (AlreadyThere, Transient):
        proof = _proof_of_earlier(store, ref, payload, log)
        if proof is None:
            raise
        return proof
    info = store.head(ref)
    if info is None:
        raise Transient(str(ref), "it was stored, and cannot be seen", "Leave it; it is looked at again")
    return prove(info, payload)


def _proof_of_earlier(store: Stores, ref: ObjectRef, payload: Payload, log: UploadLog) -> Proof | None:
    """Return the proof if the object under `ref` is ours, and clear away the upload it was to come from."""
    info = store.head(ref)
    if info is None or differences(info, payload):
        return None
    if log.upload_id is not None:
        store.abort(ref, log.upload_id)
        log.note(None)
    return prove(info, payload)
