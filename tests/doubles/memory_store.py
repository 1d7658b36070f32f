"""Cold storage in memory, as strict as S3 is: what the tests of every other room stand on.

It knows storage classes and refuses to read what is cold; a thaw takes the hours of its tier on a fake clock and lapses at a
midnight; checksums, sizes, conditions, versions, part sizes and key lengths are checked; unfinished uploads stay until they are
aborted. It counts calls, and keeps a list of thaws that would have been paid for. One suite holds it and the real store to the
same contract.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count

from s3sync.errors import Permanent
from s3sync.keys import MAX_KEY_BYTES
from s3sync.store.checksum import crc64nvme_base64
from s3sync.store.contract import (
    AlreadyThere,
    Frozen,
    Missing,
    ObjectInfo,
    ObjectRef,
    ObjectStore,
    Payload,
    Rejected,
    StorageClass,
    ThawAnswer,
    ThawState,
    ThawStatus,
    Tier,
    UnfinishedUpload,
    UploadLog,
)
from s3sync.store.parts import MIB, cut, part_size_for
from tests.doubles.clock import FakeClock
from tests.doubles.thawing import Thaw, thaw_status

METADATA_LIMIT_BYTES = 2048
CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class _Version:
    info: ObjectInfo
    data: bytes
    thaw: Thaw | None = None
    deleted: bool = False


_Bucket = dict[str, list[_Version]]
"""Versions by key, the newest last; only ever one where the bucket keeps none."""


@dataclass(slots=True)
class _Upload:
    ref: ObjectRef
    begun: datetime
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryStore(ObjectStore):
    """Buckets in memory. Thread-safe."""

    def __init__(
        self,
        clock: FakeClock,
        *,
        buckets: tuple[str, ...] = ("bucket",),
        part_size: int = 5 * MIB,
        threshold: int = 8 * MIB,
    ) -> None:
        """Begin with empty, unversioned `buckets`. Payloads of `threshold` bytes and more come in parts of `part_size`."""
        self.clock = clock
        self.calls: Counter[str] = Counter()
        self.thaws_paid: list[ObjectRef] = []
        self.on_part: Callable[[int], None] = lambda _number: None
        """Called after each part has arrived, with its number; may raise, as a broken connection does."""
        self._buckets: dict[str, _Bucket] = {name: {} for name in buckets}
        self._versioned: set[str] = set()
        self._uploads: dict[str, _Upload] = {}
        self._ids = count(1)
        self._part_size = part_size
        self._threshold = threshold
        self._lock = threading.RLock()

    # What tests do to the store and see of it, besides the contract.

    def make_bucket(self, name: str, *, versioned: bool = False) -> None:
        self._buckets.setdefault(name, {})
        if versioned:
            self._versioned.add(name)

    def seed(
        self,
        ref: ObjectRef,
        data: bytes,
        *,
        storage_class: StorageClass = StorageClass.STANDARD,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Put an object there as somebody else would, over whatever is there, and return what is known of it."""
        with self._lock:
            return self._keep(ref, data, storage_class, metadata or {}, parts=0)

    def data(self, ref: ObjectRef) -> bytes:
        """Return an object's bytes, cold or not."""
        return self._existing(ref).data

    def corrupt(self, ref: ObjectRef, data: bytes) -> None:
        """Change an object's bytes, and nothing that is said of it."""
        self._existing(ref).data = data

    def delete(self, ref: ObjectRef) -> None:
        """Delete an object: with a marker in a versioned bucket."""
        versions = self._bucket(ref.bucket)[ref.key]
        if ref.bucket in self._versioned:
            versions.append(_Version(versions[-1].info, b"", deleted=True))
        else:
            del self._bucket(ref.bucket)[ref.key]

    def keys(self, bucket: str) -> list[str]:
        """Return the current keys in order, uncounted."""
        bucket_now = self._bucket(bucket)
        return sorted((key for key, versions in bucket_now.items() if not versions[-1].deleted), key=str.encode)

    # The contract.

    def put(self, ref: ObjectRef, payload: Payload, log: UploadLog, *, if_match: str | None = None) -> ObjectInfo | None:
        with self._lock:
            self.calls["put"] += 1
            self._check_request(ref, payload)
            parts = {0: os.pread(payload.fd, payload.size, 0)}
            if payload.size >= self._threshold:
                upload_id = self._receive(ref, payload, log)
                parts = self._uploads.pop(upload_id).parts
                log.note(None)
            data = b"".join(parts[number] for number in sorted(parts))
            self._check_condition(ref, if_match)
            self._check_bytes(ref, payload, data)
            self._keep(ref, data, payload.storage_class, payload.metadata, parts=max(parts))
        return None

    def abort(self, ref: ObjectRef, upload_id: str) -> None:
        with self._lock:
            self.calls["abort"] += 1
            self._uploads.pop(upload_id, None)

    def uploads(self, bucket: str, prefix: str) -> Iterator[UnfinishedUpload]:
        self.calls["uploads"] += 1
        self._bucket(bucket)
        for upload_id, upload in sorted(self._uploads.items(), key=lambda item: (item[1].ref.key, item[0])):
            if upload.ref.bucket == bucket and upload.ref.key.startswith(prefix):
                yield UnfinishedUpload(upload.ref, upload_id, upload.begun)

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        with self._lock:
            self.calls["head"] += 1
            version = self._find(ref)
            return None if version is None else replace(version.info, thaw=self._thaw_status(version))

    @contextmanager
    def read(self, ref: ObjectRef, *, offset: int, length: int, etag: str) -> Iterator[Iterator[bytes]]:
        if length == 0:
            yield iter(())
            return
        with self._lock:
            self.calls["read"] += 1
            version = self._existing(ref)
            if not self._thaw_status(version).readable_now:
                raise Frozen(str(ref), "it is archived and not thawed")
            if version.info.etag != etag:
                raise AlreadyThere(str(ref), f"its ETag is {version.info.etag} instead of {etag}")
            if offset + length > version.info.size:
                raise Permanent(str(ref), f"it ends before byte {offset + length}")
            wanted = version.data[offset : offset + length]
        yield (wanted[start : start + CHUNK_BYTES] for start in range(0, len(wanted), CHUNK_BYTES))

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        self.calls["list"] += 1
        for key in self.keys(bucket):
            if key.startswith(prefix):
                yield ObjectRef(bucket, key)

    def versioned(self, bucket: str) -> bool:
        self.calls["versioned"] += 1
        self._bucket(bucket)
        return bucket in self._versioned

    def thaw(self, ref: ObjectRef, *, days: int, tier: Tier) -> ThawAnswer:
        with self._lock:
            self.calls["thaw"] += 1
            version = self._existing(ref)
            if days < 1:
                raise Permanent(str(ref), f"cannot be thawed for {days} days")
            now, state = self.clock.now(), self._thaw_status(version).state
            if state is ThawState.READABLE:
                return ThawAnswer.NOT_ARCHIVED
            if state is ThawState.THAWED:
                version.thaw = Thaw(now, days)
                return ThawAnswer.ALREADY_THAWED
            wanted = Thaw.begun(now, version.info.storage_class, tier, days)
            if state is ThawState.THAWING and version.thaw and not wanted.is_faster_than(version.thaw):
                return ThawAnswer.IN_PROGRESS
            version.thaw = wanted
            self.thaws_paid.append(version.info.ref)
            return ThawAnswer.BEGUN

    # How it is done.

    def _bucket(self, name: str) -> _Bucket:
        if name not in self._buckets:
            raise Missing(f"s3://{name}", "there is no such bucket")
        return self._buckets[name]

    def _find(self, ref: ObjectRef) -> _Version | None:
        versions = self._buckets.get(ref.bucket, {}).get(ref.key, [])
        if ref.version_id is None:
            return versions[-1] if versions and not versions[-1].deleted else None
        named = [version for version in versions if version.info.ref.version_id == ref.version_id and not version.deleted]
        return named[0] if named else None

    def _existing(self, ref: ObjectRef) -> _Version:
        self._bucket(ref.bucket)
        version = self._find(ref)
        if version is None:
            raise Missing(str(ref), "there is no such object")
        return version

    def _thaw_status(self, version: _Version) -> ThawStatus:
        return thaw_status(version.info.storage_class, version.thaw, self.clock.now())

    def _check_request(self, ref: ObjectRef, payload: Payload) -> None:
        self._bucket(ref.bucket)
        if not 0 < len(ref.key.encode()) <= MAX_KEY_BYTES:
            raise Permanent(str(ref), "its key has no byte, or too many")
        said = "".join(name + value for name, value in payload.metadata.items())
        if not said.isascii() or len(said) > METADATA_LIMIT_BYTES or any(name != name.lower() for name in payload.metadata):
            raise Permanent(str(ref), "its metadata is not short, lower-case ASCII")
        held = os.fstat(payload.fd).st_size
        if held < payload.size:
            raise Rejected(str(ref), f"the file to be stored has {held} bytes instead of {payload.size}")

    def _receive(self, ref: ObjectRef, payload: Payload, log: UploadLog) -> str:
        """Take the parts of an upload, begun now or earlier; those that have arrived and are equal are not sent again."""
        upload_id = log.upload_id
        if upload_id is None or upload_id not in self._uploads:
            upload_id = f"upload-{next(self._ids):06}"
            self._uploads[upload_id] = _Upload(ref, self.clock.now())
            self.calls["begin"] += 1
            log.note(upload_id)
        arrived = self._uploads[upload_id].parts
        for part in cut(payload.size, part_size_for(payload.size, self._part_size)):
            data = os.pread(payload.fd, part.size, part.offset)
            if arrived.get(part.number) != data:
                self.calls["part"] += 1
                arrived[part.number] = data
                self.on_part(part.number)
        return upload_id

    def _check_condition(self, ref: ObjectRef, if_match: str | None) -> None:
        current = self._find(ObjectRef(ref.bucket, ref.key))
        if if_match is None and current is not None:
            raise AlreadyThere(str(ref), "there is an object under this key")
        if if_match is not None and (current is None or current.info.etag != if_match):
            raise AlreadyThere(str(ref), f"the current object is not the one with ETag {if_match}")

    def _check_bytes(self, ref: ObjectRef, payload: Payload, data: bytes) -> None:
        if len(data) != payload.size:
            raise Rejected(str(ref), f"{len(data)} bytes arrived instead of {payload.size}")
        if crc64nvme_base64(data) != payload.crc64nvme:
            raise Rejected(str(ref), f"their CRC64NVME is {crc64nvme_base64(data)} instead of {payload.crc64nvme}")

    def _keep(
        self, ref: ObjectRef, data: bytes, storage_class: StorageClass, metadata: Mapping[str, str], *, parts: int
    ) -> ObjectInfo:
        versions = self._bucket(ref.bucket).setdefault(ref.key, [])
        keeps_versions = ref.bucket in self._versioned
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        info = ObjectInfo(
            ref=ObjectRef(ref.bucket, ref.key, f"version-{next(self._ids):06}" if keeps_versions else None),
            size=len(data),
            etag=f'"{digest}-{parts}"' if parts else f'"{digest}"',
            crc64nvme=crc64nvme_base64(data),
            checksum_type="FULL_OBJECT",
            storage_class=storage_class,
            thaw=ThawStatus(ThawState.FROZEN if storage_class.needs_thaw else ThawState.READABLE),
            metadata=dict(metadata),
            last_modified=self.clock.now().replace(microsecond=0),
        )
        versions[:] = [*versions, _Version(info, data)] if keeps_versions else [_Version(info, data)]
        return info
