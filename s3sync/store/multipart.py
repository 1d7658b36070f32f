"""One payload into one object in parts, so that hours of upload survive a restart.

The upload's id is noted before the first part is sent. A resumed upload keeps the parts whose size and checksum equal our bytes
and sends the others again: what is joined is what we have, whatever an earlier process sent. The whole object's checksum and
size, known beforehand, are demanded when the parts are joined, so no mixture can ever become an object.

What becomes of the upload when something fails: after `Transient` it stays, to be resumed; where the answer would be the same
next time (the object exists, the bytes differ, the parts cannot be joined) it is aborted, because its parts are billed.

Beginning is the one request that makes something new each time it is repeated. Where the client library had to repeat it, an
earlier attempt may have begun an upload whose id nobody heard; what the same account began under this key in that moment is
aborted.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from s3sync.errors import Failure, Permanent, Transient
from s3sync.store.aws import asking
from s3sync.store.checksum import READ_BYTES, of_fd
from s3sync.store.contract import AlreadyThere, Missing, ObjectRef, Payload, Rejected, UploadLog
from s3sync.store.parts import Part, cut, part_size_for
from s3sync.store.s3_errors import JOINING, Raced, UnusableParts, UploadGone
from s3sync.store.s3_replies import said
from s3sync.store.s3_requests import condition, described
from s3sync.store.section import Halted, Section, Stopping, stoppable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, MultipartUploadTypeDef, PartTypeDef

CompletedPart = dict[str, Any]

TWINS_WITHIN = timedelta(minutes=10)
"""As long as all attempts at one request may take together, each until its time-out."""


class Multipart:
    """Stores one payload in parts. Made for one `store` call."""

    def __init__(
        self, client: S3Client, ref: ObjectRef, payload: Payload, *, part_size: int, threads: int, stopping: Stopping
    ) -> None:
        """Cut `payload` into parts of about `part_size` bytes, of which `threads` are under way at once.

        Raises `Permanent` where no parts can hold it.
        """
        self._client = client
        self._ref = ref
        self._payload = payload
        self._parts = cut(payload.size, part_size_for(payload.size, part_size))
        self._threads = threads
        self._stopping = stopping
        self._halted = Event()

    def store(self, log: UploadLog, if_match: str | None) -> None:
        """Resume the upload that `log` names, or begin one, send what is missing and join the parts.

        Raises what `Writes.put` raises.
        """
        with stoppable(str(self._ref), self._stopping):
            self._store(log, if_match)

    def _store(self, log: UploadLog, if_match: str | None) -> None:
        upload_id, completed = self._resume(log)
        try:
            self._send(upload_id, completed)
            self._complete(upload_id, completed, if_match)
        except UploadGone as gone:
            log.note(None)
            raise Transient(str(self._ref), "its upload was ended by somebody, or is complete already") from gone
        except (AlreadyThere, Rejected, Raced, UnusableParts) as failure:
            self._give_up(upload_id, log, failure)
            raise
        log.note(None)

    def _resume(self, log: UploadLog) -> tuple[str, dict[int, CompletedPart]]:
        if log.upload_id is not None:
            try:
                return log.upload_id, self._kept(log.upload_id)
            except UploadGone:
                log.note(None)
        upload_id, repeated = self._begin()
        log.note(upload_id)
        if repeated:
            self._abort_twins(upload_id)
        return upload_id, {}

    def _begin(self) -> tuple[str, bool]:
        """Begin an upload; return its id, and whether more than one may have been begun."""
        with asking(str(self._ref), "begin its upload"):
            reply = self._client.create_multipart_upload(
                Bucket=self._ref.bucket,
                Key=self._ref.key,
                ChecksumAlgorithm="CRC64NVME",
                ChecksumType="FULL_OBJECT",
                **described(self._payload),
            )
        return said(str(self._ref), reply, "UploadId"), reply["ResponseMetadata"]["RetryAttempts"] > 0

    def _abort_twins(self, upload_id: str) -> None:
        """Abort what the same account began under this key just before. Raises `Transient` where that does not go now."""
        try:
            uploads = self._uploads_of_key()
            for ours in [upload for upload in uploads if upload["UploadId"] == upload_id]:
                for upload in uploads:
                    if upload is not ours and _is_twin(upload, ours):
                        abort(self._client, self._ref, upload["UploadId"])
        except Permanent as refusal:
            wrong = f"another upload of it may have been begun, unheard, and cannot be looked for: {refusal.wrong}"
            raise Transient(str(self._ref), wrong, refusal.hint) from refusal

    def _uploads_of_key(self) -> list[MultipartUploadTypeDef]:
        bucket, key = self._ref.bucket, self._ref.key
        with asking(str(self._ref), "list its uploads"):
            page = self._client.list_multipart_uploads(Bucket=bucket, Prefix=key, EncodingType="url")
        return [upload for upload in page.get("Uploads", []) if unquote_plus(upload["Key"]) == key]

    def _kept(self, upload_id: str) -> dict[int, CompletedPart]:
        """Return the parts S3 holds that are our bytes, by number."""
        ours = {part.number: part for part in self._parts}
        kept = {}
        for theirs in self._listed(upload_id):
            part = ours.get(theirs["PartNumber"])
            if part is not None and theirs["Size"] == part.size:
                self._stop_if_asked()
                checksum = self._checksum(part)
                if self._same(part, checksum, theirs):
                    kept[part.number] = _completed(part, theirs["ETag"], checksum)
        return kept

    def _listed(self, upload_id: str) -> list[PartTypeDef]:
        """Return all parts at once: while they are compared with ours, no page of the listing goes stale."""
        with asking(str(self._ref), "list the parts of its upload"):
            pages = self._client.get_paginator("list_parts").paginate(
                Bucket=self._ref.bucket, Key=self._ref.key, UploadId=upload_id
            )
            return [part for page in pages for part in page.get("Parts", [])]

    def _same(self, part: Part, checksum: str, theirs: PartTypeDef) -> bool:
        """Compare by the checksum, and by the ETag (the MD5 of a part, save under KMS) with servers that list no checksums."""
        shown = theirs.get("ChecksumCRC64NVME")
        return shown == checksum if shown else theirs["ETag"].strip('"') == self._md5(part)

    def _send(self, upload_id: str, completed: dict[int, CompletedPart]) -> None:
        """Send the parts missing in `completed` and add them there. The first failure ends the others."""
        missing = [part for part in self._parts if part.number not in completed]
        with ThreadPoolExecutor(max_workers=self._threads, thread_name_prefix="upload") as pool:
            sent = [pool.submit(self._send_part, upload_id, part) for part in missing]
            try:
                for future in as_completed(sent):
                    part = future.result()
                    completed[part["PartNumber"]] = part
            except BaseException:
                self._halted.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _send_part(self, upload_id: str, part: Part) -> CompletedPart:
        self._stop_if_asked()
        checksum = self._checksum(part)
        body = Section(self._payload.fd, offset=part.offset, size=part.size, stopping=self._halting)
        with asking(str(self._ref), f"send part {part.number}"):
            reply = self._client.upload_part(
                Bucket=self._ref.bucket,
                Key=self._ref.key,
                UploadId=upload_id,
                PartNumber=part.number,
                Body=body,  # type: ignore[arg-type]  # botocore wants read, seek and tell; its stubs want all of IO
                ContentLength=part.size,
                ChecksumAlgorithm="CRC64NVME",
                ChecksumCRC64NVME=checksum,
            )
        return _completed(part, said(str(self._ref), reply, "ETag"), checksum)

    def _complete(self, upload_id: str, completed: dict[int, CompletedPart], if_match: str | None) -> None:
        in_order: list[CompletedPartTypeDef] = [completed[part.number] for part in self._parts]  # type: ignore[misc]
        self._stop_if_asked()
        with asking(str(self._ref), "join its parts", as_in=JOINING):
            self._client.complete_multipart_upload(
                Bucket=self._ref.bucket,
                Key=self._ref.key,
                UploadId=upload_id,
                MultipartUpload={"Parts": in_order},
                ChecksumCRC64NVME=self._payload.crc64nvme,
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=self._payload.size,
                **condition(if_match),
            )

    def _give_up(self, upload_id: str, log: UploadLog, failure: Failure) -> None:
        """Abort the upload; where that fails too, the log goes on naming it, and `failure` says so."""
        try:
            abort(self._client, self._ref, upload_id)
        except Failure as left:
            failure.add_note(f"upload {upload_id} could not be aborted: {left}")
        else:
            log.note(None)

    def _checksum(self, part: Part) -> str:
        return of_fd(self._payload.fd, part.size, offset=part.offset).base64()

    def _md5(self, part: Part) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        body = Section(self._payload.fd, offset=part.offset, size=part.size)
        while chunk := body.read(READ_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def _halting(self) -> bool:
        return self._halted.is_set() or self._stopping()

    def _stop_if_asked(self) -> None:
        if self._halting():
            raise Halted


def abort(client: S3Client, ref: ObjectRef, upload_id: str) -> None:
    """Abort a multipart upload; one that is not there is no error. Raises `Denied`, `Transient`."""
    try:
        with asking(str(ref), "abort its upload"):
            client.abort_multipart_upload(Bucket=ref.bucket, Key=ref.key, UploadId=upload_id)
    except Missing:
        return


def _is_twin(upload: MultipartUploadTypeDef, ours: MultipartUploadTypeDef) -> bool:
    same_account = upload.get("Initiator", {}).get("ID") == ours.get("Initiator", {}).get("ID")
    return same_account and timedelta() <= ours["Initiated"] - upload["Initiated"] <= TWINS_WITHIN


def _completed(part: Part, etag: str, checksum: str) -> CompletedPart:
    return {"PartNumber": part.number, "ETag": etag, "ChecksumCRC64NVME": checksum}
