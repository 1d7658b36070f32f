"""A reverse proxy before an S3 server that knows no cold storage: it adds what that lacks, strictly as S3 does.

Every request goes on literally, `Host` and signed headers untouched, so the server behind verifies signatures, checksums and
conditions itself. The front remembers the storage class each object was stored in and answers HEAD, GET and the listings with
it; it refuses to read what is frozen, does what RestoreObject asks on a clock the test moves, lets readable copies lapse at a
midnight, counts and prices every request, and strikes with the faults a test writes. It is controlled as an object: it lives in
a thread of the test.

    with running(versitygw, clock) as front:      # an S3 at front.endpoint
        ...
        clock.advance(timedelta(hours=48))        # every thaw is done
        assert 1 == front.ledger.calls["RestoreObject"]
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET

import boto3
from botocore.exceptions import ClientError

from tests.doubles.billing import Ledger
from tests.doubles.clock import FakeClock
from tests.doubles.cold_listings import with_classes
from tests.doubles.cold_storage import ARCHIVED, Billed, ColdStorage, Name, Refused, Wanted
from tests.doubles.http_server import BROKEN, Asked, HttpServer, Reply, forward
from tests.doubles.network_faults import BEFORE_THE_REQUEST, INSTEAD, Fault, Faults, error, instead, spoilt
from tests.doubles.s3_calls import Call, call_of, header

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_READS = {"GetObject", "HeadObject"}
_LISTS = {"ListObjects", "ListObjectsV2", "ListObjectVersions", "ListParts", "ListMultipartUploads", "GetObjectAttributes"}
_COPIES = {"CopyObject", "UploadPartCopy"}
_COLD_HEADERS = {"x-amz-storage-class", "x-amz-restore"}
_SERVED_RESTORES = {200, 202, 501}
"""What the server behind may say of RestoreObject: it did it too, or has none. Anything else (a bad signature) stands."""


class S3Server(Protocol):
    """A server to stand before."""

    @property
    def endpoint(self) -> str:
        """Return its address."""

    def client(self) -> S3Client:
        """Return a client that may do everything."""


class ColdFront:
    """The front; `endpoint` is where programs find it."""

    def __init__(self, behind: S3Server, clock: FakeClock) -> None:
        """Stand before `behind`; `clock` says how far thaws are."""
        self.behind = behind
        self.clock = clock
        self.cold = ColdStorage(clock)
        self.ledger = Ledger()
        self.faults = Faults()
        self.stored: Counter[str] = Counter()
        """How often an object was stored under each `bucket/key`."""
        self.stall_seconds = 1.0
        """How long a stalled reply is silent; longer than the client's time-out."""
        self._forward = forward(behind.endpoint)
        self._side = behind.client()
        self._uploads: dict[str, tuple[str, dict[int, int]]] = {}
        """The class of each upload, and the sizes of its parts."""
        self._struck = threading.local()
        self.http = HttpServer(self._answer)
        self.http.cut = self._cut
        self.endpoint = self.http.endpoint

    def client(self) -> S3Client:
        """Return a plain client of the front."""
        return boto3.client("s3", endpoint_url=self.endpoint)

    def heal(self) -> None:
        """End every fault, and take connections again."""
        self.faults.clear()
        self.http.accept()

    def close(self) -> None:
        """Be no more."""
        self.http.close()
        self._side.close()

    # One request.

    def _cut(self, asked: Asked) -> int | None:
        """Choose what happens to this request; its handler's thread remembers it until the answer."""
        call = call_of(asked)
        self.ledger.arrived(call.operation)
        fault = self._struck.fault = self.faults.next(call)
        if fault is Fault.REFUSED:
            self.http.refuse()
        if fault not in BEFORE_THE_REQUEST:
            return None
        return int(header(asked, "content-length") or 0) // 2 if fault is Fault.CUT_REQUEST else 0

    def _answer(self, asked: Asked) -> Reply:
        fault: Fault | None = self._struck.fault
        head = asked.method == "HEAD"
        if fault in INSTEAD:
            return instead(fault, head=head)
        call = call_of(asked)
        try:
            reply = self._served(asked, call)
        except Refused as refused:
            reply = error(refused.status, refused.code, refused.message, head=head)
        except OSError:
            # The server behind is gone, and so are we.
            reply = BROKEN
        return spoilt(fault, reply, head=head, stall_seconds=self.stall_seconds)

    def _served(self, asked: Asked, call: Call) -> Reply:
        """Let the server behind do it, and add what it lacks. Raises `Refused`."""
        if call.operation == "RestoreObject":
            return self._restored(asked, call)
        if call.operation in _COPIES:
            self._refuse_frozen_source(asked)
        kept_in = self._class_for_request(asked, call)
        reply = self._forward(asked)
        if reply.status < 300:
            self._remember(asked, call, reply, kept_in)
        if reply.status < 500:
            self.ledger.request(call.operation, _shown(call), kept_in)
        if call.operation in _READS and reply.status < 300:
            return self._read(call, reply)
        if call.operation in _LISTS and reply.status < 300:
            return self._listed(asked, call, reply)
        return reply

    def _remember(self, asked: Asked, call: Call, reply: Reply, kept_in: str) -> None:
        name = _name(call, reply)
        match call.operation:
            case "PutObject" | "CopyObject":
                size = len(asked.body) if call.operation == "PutObject" else self._size(name)
                self._stored(call, name, kept_in, size)
            case "CreateMultipartUpload":
                self._uploads[_text(reply.body, "UploadId")] = (kept_in, {})
            case "UploadPart" if call.upload_id in self._uploads:
                self._uploads[call.upload_id][1][call.part or 0] = len(asked.body)
            case "CompleteMultipartUpload" if call.upload_id in self._uploads and not _is_error(reply.body):
                # Completing once more what is complete already answers 200 too, and stores nothing.
                _, sizes = self._uploads.pop(call.upload_id)
                self._stored(call, name, kept_in, sum(sizes.values()))
            case _:
                pass

    def _stored(self, call: Call, name: Name, kept_in: str, size: int) -> None:
        self.cold.keep(name, kept_in)
        self.stored[_shown(call)] += 1
        self.ledger.stored(call.operation, _shown(call), kept_in, size)

    def _class_for_request(self, asked: Asked, call: Call) -> str:
        if call.upload_id in self._uploads:
            return self._uploads[call.upload_id][0]
        return header(asked, "x-amz-storage-class") or "STANDARD"

    def _read(self, call: Call, reply: Reply) -> Reply:
        name = _name(call, reply)
        if call.operation == "GetObject" and not self.cold.readable(name):
            raise Refused(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
        kept_in = self.cold.storage_class(name)
        if kept_in is None:
            return reply
        headers = {key: value for key, value in reply.headers.items() if key.lower() not in _COLD_HEADERS}
        if kept_in != "STANDARD":
            headers["x-amz-storage-class"] = kept_in
        restore = self.cold.restore_header(name)
        if restore is not None:
            headers["x-amz-restore"] = restore
        return replace(reply, headers=headers)

    def _listed(self, asked: Asked, call: Call, reply: Reply) -> Reply:
        wants_restores = header(asked, "x-amz-optional-object-attributes") == "RestoreStatus"
        uploads = {upload_id: kept_in for upload_id, (kept_in, _) in self._uploads.items()}
        body = with_classes(reply.body, call, self.cold, uploads, wants_restores=wants_restores, seen=_name(call, reply))
        return replace(reply, body=body, says_length=len(body))

    # Thaws.

    def _restored(self, asked: Asked, call: Call) -> Reply:
        name, size = self._existing(call)
        served = self._forward(asked)
        if served.status not in _SERVED_RESTORES:
            return served
        wanted = Wanted.read(asked.body)
        status, billed = self.cold.restore(name, wanted)
        kept_in = self.cold.storage_class(name) or "STANDARD"
        if billed is Billed.THAW:
            self.ledger.thaw(_shown(call), kept_in, wanted.tier, size, wanted.days)
        elif billed is Billed.REQUEST:
            self.ledger.extension(_shown(call), kept_in, wanted.tier, size, wanted.days)
        return Reply(status=status)

    def _existing(self, call: Call) -> tuple[Name, int]:
        """Return the name and size of an object that is there. Raises `Refused`."""
        version = {} if call.version_id is None else {"VersionId": call.version_id}
        try:
            seen = self._side.head_object(Bucket=call.bucket, Key=call.key, **version)  # type: ignore[arg-type]
        except ClientError as missing:
            if missing.response["ResponseMetadata"]["HTTPStatusCode"] == 405:
                raise Refused(405, "MethodNotAllowed", "The specified method is not allowed against this resource") from None
            code = "NoSuchKey" if call.version_id is None else "NoSuchVersion"
            raise Refused(404, code, "The specified key does not exist") from None
        return (call.bucket, call.key, _version(seen.get("VersionId"))), seen["ContentLength"]

    def _refuse_frozen_source(self, asked: Asked) -> None:
        source, _, query = unquote(header(asked, "x-amz-copy-source") or "").removeprefix("/").partition("?")
        bucket, _, key = source.partition("/")
        version = parse_qs(query).get("versionId", [None])[0]
        name = self.cold.current(bucket, key) if version is None else (bucket, key, version)
        if self.cold.storage_class(name) in ARCHIVED and not self.cold.readable(name):
            raise Refused(403, "ObjectNotInActiveTierError", "The source object of the COPY operation is not readable")

    def _size(self, name: Name) -> int:
        bucket, key, version = name
        named = {} if version is None else {"VersionId": version}
        return self._side.head_object(Bucket=bucket, Key=key, **named)["ContentLength"]  # type: ignore[arg-type]


@contextmanager
def running(behind: S3Server, clock: FakeClock) -> Iterator[ColdFront]:
    """Stand before a server as long as the block."""
    front = ColdFront(behind, clock)
    try:
        yield front
    finally:
        front.close()


def _name(call: Call, reply: Reply) -> Name:
    shown = next((value for name, value in reply.headers.items() if name.lower() == "x-amz-version-id"), None)
    return call.bucket, call.key, _version(shown or call.version_id)


def _version(shown: str | None) -> str | None:
    return None if shown in {None, "null"} else shown


def _shown(call: Call) -> str:
    return f"{call.bucket}/{call.key}"


def _text(body: bytes, tag: str) -> str:
    root = ET.fromstring(body)  # noqa: S314 - from the server behind
    return next(element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == tag)


def _is_error(body: bytes) -> bool:
    return ET.fromstring(body.strip() or b"<Error/>").tag == "Error"  # noqa: S314 - from the server behind
