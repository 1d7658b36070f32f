"""An S3 that forgets: it takes what it is sent, remembers what a HEAD has to answer, and throws the bytes away.

So that what is measured is the client. It speaks just enough for put, multipart, HEAD, listing uploads and aborting; it checks
nothing. `latency` delays every answer, as the way to S3 does, without using the processor. One process, one event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, unquote, urlsplit

_KEPT = re.compile(r"x-amz-(meta-.*|checksum-(?!algorithm|type).*|storage-class)")
_BUFFER_BYTES = 1 << 20
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_XML = "http://s3.amazonaws.com/doc/2006-03-01/"
_NONE_LISTED = '<{0} xmlns="' + _XML + '"><IsTruncated>false</IsTruncated></{0}>'


@dataclass(slots=True)
class _Known:
    """What a HEAD says of an object, or will once its upload is complete."""

    size: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class _Request(asyncio.BufferedProtocol):
    """One connection: its requests one after another, bodies read into one buffer and forgotten."""

    def __init__(self, server: NullS3) -> None:
        self._server = server
        self._buffer = bytearray(_BUFFER_BYTES)
        self._head = b""
        self._left = 0
        self._asked: tuple[str, str, Mapping[str, str]] | None = None
        self._waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left >= nbytes > 0:
            # The middle of a large body: counted, not looked at.
            self._left -= nbytes
            if self._left == 0:
                self._answer()
            return
        self._take(bytes(self._buffer[:nbytes]))

    def _take(self, data: bytes) -> None:
        while data:
            if self._left:
                skipped = min(self._left, len(data))
                self._left -= skipped
                data = data[skipped:]
                if self._left == 0:
                    self._answer()
                continue
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            self._begin(head.decode("latin-1"))

    def _begin(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._asked = (method, target, headers)
        self._left = int(headers.get("content-length", "0"))
        if headers.get("expect") == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._left == 0:
            self._answer()

    def _answer(self) -> None:
        assert self._asked is not None
        answer = self._server.answer(*self._asked)
        if not self._server.latency:
            self._transport.write(answer)
            return
        asyncio.get_running_loop().call_later(self._server.latency, self._transport.write, answer)


class NullS3:
    """What is known of objects and uploads, and the answers."""

    def __init__(self, latency: float) -> None:
        """Answer after `latency` seconds."""
        self.latency = latency
        self._objects: dict[str, _Known] = {}
        self._uploads: dict[str, _Known] = {}
        self._requests = 0

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """Return the whole answer to a request whose body has been read."""
        self._requests += 1
        url = urlsplit(target)
        path, query = unquote(url.path), parse_qs(url.query, keep_blank_values=True)
        size = int(headers.get("x-amz-decoded-content-length", headers.get("content-length", "0")))
        if method == "HEAD":
            return self._head(path)
        if method == "PUT" and "uploadId" in query:
            self._uploads[query["uploadId"][0]].size += size
            return _reply(200, "", {"ETag": f'"{self._requests:032x}"', **_checksums(headers)})
        if method == "PUT":
            self._objects[path] = _Known(size, _kept(headers))
            return _reply(200, "", {"ETag": f'"{self._requests:032x}"', **_checksums(headers)})
        if method == "POST" and "uploads" in query:
            return self._create(path, headers)
        if method == "POST" and "uploadId" in query:
            return self._complete(path, query["uploadId"][0], headers)
        if method == "DELETE":
            return _reply(204)
        if "uploads" in query:
            return _reply(
                200, f'<ListMultipartUploadsResult xmlns="{_XML}"><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>'
            )
        return _reply(200, _NONE_LISTED.format("ListBucketResult"))

    def _head(self, path: str) -> bytes:
        if path.count("/") == 1:
            return _reply(200)
        known = self._objects.get(path)
        if known is None:
            return _reply(404)
        told = {"ETag": '"e"', "x-amz-checksum-type": "FULL_OBJECT", **known.headers}
        return _reply(200, "", told, length=known.size)

    def _create(self, path: str, headers: Mapping[str, str]) -> bytes:
        upload = f"upload-{self._requests}"
        self._uploads[upload] = _Known(0, _kept(headers))
        name, key = path[1:].split("/", 1)
        body = f"<Bucket>{name}</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId>"
        return _reply(200, f'<InitiateMultipartUploadResult xmlns="{_XML}">{body}</InitiateMultipartUploadResult>')

    def _complete(self, path: str, upload: str, headers: Mapping[str, str]) -> bytes:
        known = self._uploads.pop(upload)
        known.headers.update(_kept(headers))
        self._objects[path] = known
        return _reply(200, f'<CompleteMultipartUploadResult xmlns="{_XML}"><ETag>"e-1"</ETag></CompleteMultipartUploadResult>')


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if _KEPT.fullmatch(name)}


def _checksums(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in _kept(headers).items() if "checksum" in name}


def _reply(
    status: int, body: str = "", headers: Mapping[str, str] = MappingProxyType({}), *, length: int | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


async def _serve(port_file: Path, latency: float) -> None:
    server = NullS3(latency)
    listening = await asyncio.get_running_loop().create_server(lambda: _Request(server), "127.0.0.1", 0)
    beside = port_file.with_suffix(".new")
    beside.write_text(str(listening.sockets[0].getsockname()[1]))
    beside.rename(port_file)
    await listening.serve_forever()


@contextmanager
def null_s3(latency_seconds: float = 0.0) -> Iterator[str]:
    """Run one in a process of its own; yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        command = [sys.executable, "-m", "tests.bench.null_s3", str(port_file), str(latency_seconds)]
        with subprocess.Popen(command) as process:
            try:
                while not port_file.exists():
                    if process.poll() is not None:
                        raise RuntimeError(f"the null S3 ended with {process.returncode}")
                    os.sched_yield()
                yield f"http://127.0.0.1:{port_file.read_text()}"
            finally:
                process.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port_file", type=Path)
    parser.add_argument("latency", type=float)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port_file, arguments.latency))
