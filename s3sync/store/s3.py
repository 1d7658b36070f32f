"""The object store on S3, and on what speaks its language.

Thin on purpose: each method is one request (`put` above the threshold is `multipart`), what requests share is in `s3_requests`,
the replies' grammar in `s3_replies`, the codes in `s3_errors`, the client in `aws`. What every call promises stands in
`contract`. boto3's own transfer manager was weighed for uploads and left: it keeps the upload id to itself, so nothing could be
resumed after a restart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from s3sync.errors import Failure, Permanent, Transient
from s3sync.store.aws import OWNER_AUTO, asking, connect, demand_owner, dialling, keys_now, refusal
from s3sync.store.contract import (
    Missing,
    ObjectInfo,
    ObjectRef,
    ObjectStore,
    Payload,
    Rejected,
    ThawAnswer,
    Tier,
    UnfinishedUpload,
    UploadLog,
)
from s3sync.store.multipart import Multipart, abort
from s3sync.store.parts import MAX_SINGLE_PUT_BYTES, MIB
from s3sync.store.s3_errors import STORING, failure_of, thaw_answer
from s3sync.store.s3_replies import as_botocore_tells, object_info, said, wrong_range
from s3sync.store.s3_requests import condition, described, of_version, restore_request
from s3sync.store.section import Section, Stopping, never, stoppable
from s3sync.store.short_way import ShortWay, wish_to_head, wish_to_put
from s3sync.store.wire import Reply

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_SIZE_BYTES = 64 * MIB
"""Few parts make few requests, which are billed; more than this is lost at an interruption for no further gain."""
UPLOAD_THREADS = 4
READ_CHUNK_BYTES = 512 * 1024
SPARE_CONNECTIONS = 16
"""For the calls that other threads make while parts are under way."""


class S3Store(ObjectStore):
    """Buckets of one endpoint, reached with one account's rights. Thread-safe."""

    def __init__(
        self,
        *,
        bucket_owner: str = OWNER_AUTO,
        part_size: int = PART_SIZE_BYTES,
        threshold: int = PART_SIZE_BYTES,
        upload_threads: int = UPLOAD_THREADS,
        stopping: Stopping = never,
        client: S3Client | None = None,
    ) -> None:
        """Connect to the endpoint AWS's own variables name; sizes are bytes.

        Objects below `threshold` are stored in one request, others in parts of `part_size` by `upload_threads` at once.
        `bucket_owner` is `auto`, `any` or an account id; `stopping` is asked between chunks and makes `put` raise `Stopped`.
        Raises `Usage` for settings of AWS or an owner that cannot be.
        """
        self.client = client or connect(connections=upload_threads + SPARE_CONNECTIONS)
        demand_owner(self.client, bucket_owner)
        self._short_way = ShortWay(keys_now, dialling(self.client))
        self.client.meta.events.register("before-send.s3", self._short_way.on_sending)
        self._part_size = part_size
        self._threshold = min(threshold, MAX_SINGLE_PUT_BYTES)
        self._upload_threads = upload_threads
        self._stopping = stopping

    def close(self) -> None:
        """Close the connections; the store is of no use afterwards."""
        self._short_way.close()
        self.client.close()

    def put(self, ref: ObjectRef, payload: Payload, log: UploadLog, *, if_match: str | None = None) -> ObjectInfo | None:
        """Store `payload`: see `Writes.put`. Raises `Stopped` as well."""
        held = os.fstat(payload.fd).st_size
        if held < payload.size:
            raise Rejected(str(ref), f"the file to be stored has {held} bytes instead of {payload.size}")
        if payload.size < self._threshold:
            self._abandon_parts(ref, log)
            return self._put_whole(ref, payload, if_match)
        self._multipart(ref, payload).store(log, if_match)
        return None

    def abort(self, ref: ObjectRef, upload_id: str) -> None:
        """Give up a multipart upload: see `Writes.abort`."""
        abort(self.client, ref, upload_id)

    def uploads(self, bucket: str, prefix: str) -> Iterator[UnfinishedUpload]:
        """Yield unfinished uploads: see `Writes.uploads`.

        Keys come URL-encoded, since XML cannot hold every character of a key; botocore decodes only those of listed objects,
        and its paginator would hand the encoded markers back, so the pages are turned here.
        """
        markers: dict[str, Any] = {}
        while True:
            with asking(f"s3://{bucket}/{prefix}", "list unfinished uploads"):
                page = self.client.list_multipart_uploads(Bucket=bucket, Prefix=prefix, EncodingType="url", **markers)
                more = said(f"s3://{bucket}/{prefix}", page, "IsTruncated")
            decoded = unquote_plus if page.get("EncodingType") == "url" else str
            for upload in page.get("Uploads", []):
                ref = ObjectRef(bucket, decoded(upload["Key"]))
                yield UnfinishedUpload(ref, upload["UploadId"], upload["Initiated"].astimezone(UTC))
            if not more:
                return
            markers = {"KeyMarker": decoded(page["NextKeyMarker"]), "UploadIdMarker": page["NextUploadIdMarker"]}

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        """Return what is known of the object: see `Reads.head`. Raises `Permanent` for a storage class unknown here."""
        wish = wish_to_head(ref)
        try:
            with asking(str(ref), "look at it"):
                short = self._short_way.ask(wish)
                if short is not None:
                    return object_info(ref, as_botocore_tells(short.headers))
                with self._short_way.watching(wish):
                    reply = self.client.head_object(ChecksumMode="ENABLED", **of_version(ref))
        except Missing:
            return None
        return object_info(ref, reply)

    @contextmanager
    def read(self, ref: ObjectRef, *, offset: int, length: int, etag: str) -> Iterator[Iterator[bytes]]:
        """Open a range of the object: see `Reads.read`."""
        if length == 0:
            yield iter(())
            return
        wanted = f"bytes={offset}-{offset + length - 1}"
        with asking(str(ref), f"read {wanted}"):
            reply = self.client.get_object(Range=wanted, IfMatch=etag, **of_version(ref))
        body = reply["Body"]
        try:
            status = reply["ResponseMetadata"]["HTTPStatusCode"]
            count = said(str(ref), reply, "ContentLength")
            wrong = wrong_range(status, reply.get("ContentRange"), count, offset=offset, length=length)
            if wrong:
                raise Transient(str(ref), f"the reply to {wanted} is {wrong}", "Look for a proxy or cache in between")
            yield _chunks(ref, body, length)
        finally:
            body.close()

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        """Yield the current objects in order of their keys: see `Reads.list`."""
        with asking(f"s3://{bucket}/{prefix}", "list it"):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                said(f"s3://{bucket}/{prefix}", page, "IsTruncated")
                for entry in page.get("Contents", []):
                    yield ObjectRef(bucket, entry["Key"])

    def versioned(self, bucket: str) -> bool:
        """Tell whether the bucket keeps old versions: see `Reads.versioned`. Suspended is no."""
        with asking(f"s3://{bucket}", "ask whether it keeps versions"):
            return self.client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"

    def thaw(self, ref: ObjectRef, *, days: int, tier: Tier) -> ThawAnswer:
        """Ask for a readable copy: see `Thaws.thaw`."""
        try:
            with asking(str(ref), "thaw it"):
                request = restore_request(days, tier)
                reply = self.client.restore_object(RestoreRequest=request, **of_version(ref))  # type: ignore[arg-type]
        except Failure as failure:
            answer = thaw_answer(*refusal(failure.__cause__))
            if answer is None:
                raise
            return answer
        status = reply["ResponseMetadata"]["HTTPStatusCode"]
        answer = thaw_answer("", status)
        if answer is None:
            raise Permanent(str(ref), f"cannot thaw it (the reply is {status}, which has no meaning known to us)")
        return answer

    def _abandon_parts(self, ref: ObjectRef, log: UploadLog) -> None:
        """Abort what was begun in parts when the threshold was lower."""
        if log.upload_id is not None:
            self.abort(ref, log.upload_id)
            log.note(None)

    def _put_whole(self, ref: ObjectRef, payload: Payload, if_match: str | None) -> ObjectInfo | None:
        with stoppable(str(ref), self._stopping), asking(str(ref), "store it", as_in=STORING):
            wish = wish_to_put(ref, payload, if_match, self._stopping)
            short, look = self._short_way.ask_in_one(wish, wish_to_head(ref))
            if short is not None and short.status == HTTPStatus.PRECONDITION_FAILED:
                raise failure_of("PreconditionFailed", short.status, subject=str(ref), doing="store it")
            if short is not None:
                return _shown(ref, look)
            body = Section(payload.fd, offset=0, size=payload.size, stopping=self._stopping) if payload.size else b""
            with self._short_way.watching(wish):
                self.client.put_object(
                    Bucket=ref.bucket,
                    Key=ref.key,
                    Body=body,  # type: ignore[arg-type]  # botocore wants read, seek and tell; its stubs want all of IO
                    ContentLength=payload.size,
                    ChecksumAlgorithm="CRC64NVME",
                    ChecksumCRC64NVME=payload.crc64nvme,
                    **described(payload),
                    **condition(if_match),
                )
        return None

    def _multipart(self, ref: ObjectRef, payload: Payload) -> Multipart:
        return Multipart(
            self.client,
            ref,
            payload,
            part_size=self._part_size,
            threads=self._upload_threads,
            stopping=self._stopping,
        )


def _shown(ref: ObjectRef, look: Reply | None) -> ObjectInfo | None:
    """Return what a look that came with a PUT says; what is wrong with it is found by whoever looks again."""
    if look is None or look.status != HTTPStatus.OK:
        return None
    with suppress(Failure):
        return object_info(ref, as_botocore_tells(look.headers))
    return None


def _chunks(ref: ObjectRef, body: Any, length: int) -> Iterator[bytes]:  # noqa: ANN401 - botocore's streaming body
    """Yield exactly `length` bytes. Raises `Transient` where the reply ends before."""
    left = length
    while left > 0:
        with asking(str(ref), "read on"):
            chunk: bytes = body.read(min(READ_CHUNK_BYTES, left))
        if not chunk:
            raise Transient(str(ref), f"the reply ended {left} bytes early")
        left -= len(chunk)
        yield chunk
