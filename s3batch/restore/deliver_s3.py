"""Put members under a prefix in S3 as `<prefix><bucket>/<key>`, never replacing an object.

A member is first copied into a nameless file of the spool folder (no memory grows with it, nothing is left after a crash),
because S3 is told size and checksum before the first byte, and because its SHA-256 must be known to be right before anything
appears at the destination. The object is put with `If-None-Match` and proved by HEAD. One that is there already counts as
delivered if S3 shows the same size and full-object checksum, and is refused otherwise. A large member goes up in parts; its
upload id is journalled, so that a broken-off upload is resumed or cleared away rather than billed for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from s3batch.restore.destination import Prefix, object_key
from s3batch.restore.local_files import sorted_failure
from s3batch.restore.requests import Part
from s3batch.restore.thaw import Thaw
from s3sync.errors import Failure, Permanent, Transient
from s3sync.store.checksum import Crc64Nvme
from s3sync.store.contract import AlreadyThere, Denied, ObjectRef, Payload, Rejected, StorageClass, UploadLog
from s3sync.store.proof import BATCH_MARK
from s3sync.store.stored import Stores, store_and_prove
from s3sync.times import rfc3339_ns

SMALLEST_PART_BYTES = 5 << 20
"""S3 takes no smaller parts, so nothing smaller ever goes up in parts."""

LogOf = Callable[[Part], UploadLog]
"""Gives each part the log that remembers its upload id."""


class IntoPrefix:
    """Delivers the parts of one request, all of one archive, to its prefix."""

    def __init__(self, prefix: Prefix, *, store: Stores, spool: Path, thaw: Thaw, log_of: LogOf) -> None:
        """Deliver below `prefix`, by way of the folder `spool`; `thaw` is the archive the parts come from."""
        self._prefix = prefix
        self._store = store
        self._spool = spool
        self._thaw = thaw
        self._log_of = log_of

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is kept open between parts."""

    def settle(self) -> Mapping[int, Failure]:
        """Return that nothing is left to do: what S3 confirmed stays."""
        return {}

    def existing(self, part: Part) -> str | None:
        """Return None: the put itself says what is there, and a request for each member would cost as much as fetching it.

        Raises `Permanent` for a key that cannot be stored there.
        """
        object_key(self._prefix, part.place)
        return None

    def open(self, part: Part) -> ObjectSink:
        """Begin to collect a part. Raises `Permanent`, `Transient`."""
        ref = ObjectRef(self._prefix.bucket, object_key(self._prefix, part.place))
        try:
            fd = os.open(self._spool, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise sorted_failure(f"spool folder {self._spool}", error) from error
        return ObjectSink(self._store, ref, part, fd, batch=self._thaw.batch, log=self._log_of(part))


class ObjectSink:
    """One member on its way to S3: collected in a nameless file, then put."""

    def __init__(self, store: Stores, ref: ObjectRef, part: Part, fd: int, *, batch: str, log: UploadLog) -> None:
        """Take over `fd`, an empty file."""
        self._store = store
        self._ref = ref
        self._part = part
        self._fd = fd
        self._batch = batch
        self._log = log
        self._crc = Crc64Nvme()

    def write(self, block: memoryview, /) -> None:
        """Append `block`."""
        self._crc.update(block)
        try:
            while block:
                block = block[os.write(self._fd, block) :]
        except OSError as error:
            raise sorted_failure("spool folder", error) from error

    def finish(self) -> str:
        """Store the object, prove it, and return its `s3://` name. Raises what the store raises."""
        payload = self._payload()
        self._abort_unnoted(payload)
        try:
            store_and_prove(self._store, self._ref, payload, self._log)
        except AlreadyThere as taken:
            self._accept_equal(payload, taken)
        except Rejected as damaged:
            # The bytes were right when they were collected, so the way there or the spool's disk damaged them.
            raise Transient(str(self._ref), damaged.wrong, "Leave it; it is fetched and sent again") from damaged
        return str(self._ref)

    def discard(self) -> None:
        """Let the nameless file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _payload(self) -> Payload:
        part = self._part
        metadata = {BATCH_MARK: self._batch, "s3batch-sha256": part.sha256, "s3batch-mtime": rfc3339_ns(part.mtime_ns)}
        return Payload(
            fd=self._fd,
            size=part.size,
            crc64nvme=self._crc.base64(),
            storage_class=StorageClass.STANDARD,
            metadata=metadata,
        )

    def _abort_unnoted(self, payload: Payload) -> None:
        """Abort uploads that were begun under this very key and whose id was never noted: we died in between.

        Who may not list uploads leaves that to the bucket's lifecycle rule.
        """
        if payload.size < SMALLEST_PART_BYTES:
            return
        try:
            begun = [each for each in self._store.uploads(self._ref.bucket, self._ref.key) if each.ref.key == self._ref.key]
        except Denied:
            return
        for each in begun:
            if each.upload_id != self._log.upload_id:
                self._store.abort(self._ref, each.upload_id)

    def _accept_equal(self, payload: Payload, taken: AlreadyThere) -> None:
        """Take an object that is there for ours where S3 shows the same bytes, however it came there."""
        info = self._store.head(self._ref)
        if info is None:
            raise Transient(str(self._ref), "an object was in the way, and is gone", "Leave it; it is tried again") from taken
        same = info.checksum_type == "FULL_OBJECT" and (info.size, info.crc64nvme) == (payload.size, payload.crc64nvme)
        if not same:
            wrong = "another object is there, and none is ever replaced"
            raise Permanent(str(self._ref), wrong, "Choose another prefix") from taken
        if self._log.upload_id is not None:
            self._store.abort(self._ref, self._log.upload_id)
            self._log.note(None)
