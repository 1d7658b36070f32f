"""Fetch members out of archives: a HEAD that proves the archive, then ranged reads that cannot come from another object.

A lone member is fetched as exactly its bytes, neighbours as one range that is split while it streams. Nothing is held but the
chunk that is being written, so memory knows neither member nor archive sizes. Each member is checked against its SHA-256 before
its sink is told to finish; one that differs is read once more by itself, and then refused: it is never delivered.

A reply that breaks off is resumed where it ended as long as each attempt brings something. What the source fails with rises to
the caller; what a sink fails with concerns that one member, and the others of the range go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol, Self

from s3batch.model import mark_of
from s3batch.restore.requests import Part
from s3batch.restore.thaw import Thaw
from s3sync import keys
from s3sync.errors import Failure, Mismatch, Transient
from s3sync.store.contract import Missing, ObjectInfo, ObjectRef, Reads, Stopped
from s3sync.store.proof import BATCH_MARK
from s3sync.store.section import Stopping

GAP_BYTES = 4096
"""Bytes between two members that are fetched rather than asked around: a tar header, even one with PAX records, fits, and where
every byte leaves AWS ($0.09 a GiB) 4.7 KB cost as much as the GET they save ($0.0004 a thousand)."""

MANY = 100
"""So many members of one archive are a bulk job, whose time counts more than its bytes."""

GAP_BYTES_OF_MANY = 1 << 16
"""The same between members of a bulk job. A request of its own takes milliseconds of processor and a journey, in which as much
as this would have come; where every byte leaves AWS it costs half a cent for a thousand members at most."""


class Sink(Protocol):
    """Takes the bytes of one member. Every call raises `Failure` where the destination refuses."""

    def write(self, block: memoryview, /) -> None:
        """Take the next bytes."""

    def finish(self) -> str:
        """Put the member into its place, now that its bytes are known to be right, and return that place."""

    def discard(self) -> None:
        """Leave nothing behind; harmless after `finish`."""


OpenSink = Callable[[Part], Sink]


@dataclass(frozen=True, slots=True)
class Source:
    """An archive that a HEAD has just proved: reads demand this ETag."""

    ref: ObjectRef
    etag: str

    @classmethod
    def of(cls, thaw: Thaw, info: ObjectInfo) -> Source:
        """Return the source of a confirmed archive: the recorded version, or the one that was looked at."""
        return cls(info.ref if thaw.ref.version_id is None else thaw.ref, info.etag)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one part: its place, or why not."""

    part: Part
    place: str | None = None
    failure: Failure | None = None


def confirm(thaw: Thaw, info: ObjectInfo | None) -> ObjectInfo:
    """Return `info` where HEAD shows the very archive that was recorded.

    Raises `Missing`, `Mismatch` naming every difference. A checksum of another type than FULL_OBJECT (an archive that somebody
    copied) says nothing either way; the members' SHA-256 still do.
    """
    if info is None:
        raise Missing(str(thaw.ref), "is not there (any more)", "Look for it in the bucket's versions and replicas")
    pairs: list[tuple[str, object, object]] = [
        ("size", info.size, thaw.size),
        (BATCH_MARK, info.metadata.get(BATCH_MARK), mark_of(thaw.batch)),
    ]
    if info.crc64nvme is not None and info.checksum_type == "FULL_OBJECT":
        pairs.append(("CRC64NVME", info.crc64nvme, thaw.crc64nvme))
    wrong = "; ".join(f"{what} is {seen} instead of {wanted}" for what, seen, wanted in pairs if seen != wanted)
    if wrong:
        raise Mismatch(
            str(thaw.ref), f"is not the archive that was recorded: {wrong}", "Look for the right one in its versions"
        )
    return info


def gap_worth_reading(parts: int) -> int:
    """Return how many bytes between two of so many parts are cheaper to read than to ask around."""
    return GAP_BYTES_OF_MANY if parts >= MANY else GAP_BYTES


def spans(parts: Iterable[Part], gap_bytes: int = GAP_BYTES) -> Iterator[list[Part]]:
    """Group parts in order of their offsets into ranges that are cheaper to read as one."""
    span: list[Part] = []
    end = 0
    for part in sorted(parts, key=lambda part: (part.offset, part.size)):
        if span and not 0 <= part.offset - end <= gap_bytes:
            yield span
            span = []
        span.append(part)
        end = part.offset + part.size
    if span:
        yield span


def fetch(store: Reads, source: Source, span: Sequence[Part], open_sink: OpenSink, stopping: Stopping) -> Iterator[Outcome]:
    """Yield what became of each part of one span, in order.

    Raises what `Reads.read` raises, and `Stopped`; parts without an outcome were not touched.
    """
    with _Stream(store, source, span[0].offset, span[-1].offset + span[-1].size, stopping) as stream:
        for part in span:
            outcome = _copy(stream, part, open_sink)
            if isinstance(outcome.failure, Mismatch):
                with _Stream(store, source, part.offset, part.offset + part.size, stopping) as again:
                    outcome = _copy(again, part, open_sink)
            yield outcome


def _copy(stream: _Stream, part: Part, open_sink: OpenSink) -> Outcome:
    """Copy one member into its sink; the bytes of a member whose sink refuses are left to be skipped."""
    try:
        sink = open_sink(part)
    except Failure as failure:
        return Outcome(part, failure=failure)
    try:
        digest = hashlib.sha256()
        for block in stream.take(part.offset, part.size):
            digest.update(block)
            refusal = _refusal(sink, block)
            if refusal is not None:
                return Outcome(part, failure=refusal)
        if digest.hexdigest() != part.sha256:
            return Outcome(part, failure=_differs(part, digest.hexdigest()))
        return _finished(sink, part)
    finally:
        sink.discard()


def _refusal(sink: Sink, block: memoryview) -> Failure | None:
    try:
        sink.write(block)
    except Failure as failure:
        return failure
    return None


def _finished(sink: Sink, part: Part) -> Outcome:
    try:
        return Outcome(part, place=sink.finish())
    except Failure as failure:
        return Outcome(part, failure=failure)


def _differs(part: Part, seen: str) -> Mismatch:
    name = keys.printable(keys.display(part.key))
    return Mismatch(name, f"SHA-256 is {seen} instead of {part.sha256}, twice", f"Examine s3://{part.bucket}/{part.archive}")


class _Stream:
    """The bytes of one range, opened when the first of them is wanted and resumed where a reply broke off."""

    def __init__(self, store: Reads, source: Source, start: int, end: int, stopping: Stopping) -> None:
        self._store = store
        self._source = source
        self._position = start
        self._end = end
        self._stopping = stopping
        self._open = ExitStack()
        self._chunks: Iterator[bytes] | None = None
        self._left_over = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self, offset: int, size: int) -> Iterator[memoryview]:
        """Yield `size` bytes from `offset`, which is never before what was taken last; what lies between is skipped."""
        if self._chunks is None:
            self._position = offset
        while self._position < offset and size:
            self._next(offset - self._position)
        end = offset + size
        while self._position < end:
            yield self._next(end - self._position)

    def _next(self, most: int) -> memoryview:
        if self._stopping():
            raise Stopped(str(self._source.ref), "reading it was interrupted", "Start again; nothing is lost")
        chunk = self._left_over or memoryview(self._read())
        block, self._left_over = chunk[:most], chunk[most:]
        self._position += len(block)
        return block

    def _read(self) -> bytes:
        """Return the next chunk, from a new request where there is none open or the open one broke off after some bytes."""
        if self._chunks is None:
            return self._first_of_new_request()
        try:
            return next(self._chunks)
        except (Transient, StopIteration):
            return self._first_of_new_request()

    def _first_of_new_request(self) -> bytes:
        """Return the first chunk of a new request; one that brings nothing at all is not repeated here."""
        self._open.close()
        reading = self._store.read(
            self._source.ref, offset=self._position, length=self._end - self._position, etag=self._source.etag
        )
        self._chunks = filter(None, self._open.enter_context(reading))
        try:
            return next(self._chunks)
        except StopIteration:
            raise Transient(str(self._source.ref), "its reply ended at once", "Leave it; it is tried again") from None
