"""The manifest: the record of one archive that outlives us, in S3, readable with `zcat | jq` or by eye.

    {"version":1,
    "archive":{"bucket":...,"key":...,"version_id":null,"size":...,"checksum_crc64nvme":...,"storage_class":...,
               "batch":...,"created":...,"host":...,"tool":...},
    "members":[
    {"key":...,"offset":...,"size":...,"sha256":...,"mtime":...,"mode":"0644","uid":...,"gid":...,"user":...,"group":...},
    ...
    ]}

One member a line, in the order they lie in the archive. `offset` is where the member's bytes begin in the tar, so a ranged GET
of `offset` to `offset + size - 1` is the file. Sizes are bytes, times RFC 3339 in UTC (`mtime` with nine more digits where it
is not whole seconds), `mode` four octal digits as `chmod` takes them (JSON has no octal numbers, and 420 says nothing),
`checksum_crc64nvme` as S3 shows it. A key that is not UTF-8 has its raw bytes beside it as `key_base64`.

Writing is deterministic and streams: the same record and members are the same bytes, whatever their number costs no memory.
Reading believes nothing: a manifest lies where others may write, so its size, types, ranges and order are checked before
anything is made of it, and `believe` asks the archive itself whether it is the one described.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from s3batch.catalogue.contract import manifest_ref
from s3batch.catalogue.jsonstream import ArrayDocument
from s3batch.catalogue.manifest_fields import VERSION, Previous, clamped_ns, member_from, plain, record_from
from s3batch.model import ArchiveRecord, Member, mark_of
from s3sync import keys
from s3sync.errors import Permanent
from s3sync.store.contract import ObjectRef, Reads
from s3sync.store.proof import BATCH_MARK
from s3sync.times import rfc3339, rfc3339_ns

MOST_COMPRESSED_BYTES = 512 << 20
MOST_TEXT_BYTES = 8 << 30
"""A limit for the unpacked text, some thirty million members; what claims to be longer is not read."""

_LEVEL = 6
_FLUSH_CHARS = 1 << 18
_AS_IT_IS = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_IN_ASCII = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read and found well formed. Whether it is true, `believe` asks."""

    record: ArchiveRecord
    _packed: bytes = field(repr=False)

    @property
    def packed_bytes(self) -> int:
        """How much memory it holds."""
        return len(self._packed)

    def members(self) -> Iterator[Member]:
        """Yield the members in the order they lie in the archive; may be called again."""
        return _members(_open(self._packed)[1], self.record.size)


def write(out: BinaryIO, record: ArchiveRecord, members: Iterable[Member]) -> None:
    """Write the manifest of `record` to `out`, which is left open and not flushed to disk."""
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=out, mtime=0) as packed:
        for piece in _gathered(_text(record, members)):
            packed.write(piece.encode("utf-8"))


def render(record: ArchiveRecord, members: Iterable[Member]) -> bytes:
    """Return the manifest of `record` as bytes, for those who hold it in memory anyway."""
    out = io.BytesIO()
    write(out, record, members)
    return out.getvalue()


def read(packed: bytes, ref: ObjectRef) -> Manifest:
    """Return the manifest that the object `ref` holds as `packed`.

    Raises `Permanent` naming the first thing that is wrong with it.
    """
    if len(packed) > MOST_COMPRESSED_BYTES:
        raise _refused(ref, "it is too large for a manifest")

    def checked() -> Manifest:
        head, document = _open(packed)
        record = record_from(head, ref)
        count = sum(1 for _ in _members(document, record.size))
        if not count:
            raise ValueError("it has no members")
        return Manifest(replace(record, members=count), packed)

    return _telling(ref, checked)


def believe(store: Reads, manifest: Manifest, ref: ObjectRef) -> None:
    """Make sure that `manifest`, read from `ref`, lies where it belongs and that its archive is the one it describes.

    Raises `Permanent` naming every difference, and what the store raises.
    """
    record = manifest.record
    place = manifest_ref(record.ref.bucket, record.batch, record.created, ref.bucket).key
    if place != ref.key:
        raise _refused(ref, f"it belongs at {keys.printable(place)}")
    info = store.head(record.ref)
    if info is None:
        raise _refused(ref, f"its archive {keys.printable(str(record.ref))} is not there")
    mark = mark_of(record.batch)
    pairs: list[tuple[str, object, object]] = [
        (BATCH_MARK, info.metadata.get(BATCH_MARK), mark),
        ("size", info.size, record.size),
    ]
    if mark is not None or (info.crc64nvme is not None and info.checksum_type == "FULL_OBJECT"):
        pairs.append(("CRC64NVME", info.crc64nvme, record.crc64nvme))  # an imported one may be older than that checksum
    wrong = [f"{what} is {seen} instead of {wanted}" for what, seen, wanted in pairs if seen != wanted]
    if wrong:
        raise _refused(ref, "its archive differs: " + "; ".join(wrong))


def _text(record: ArchiveRecord, members: Iterable[Member]) -> Iterator[str]:
    yield f'{{"version":{VERSION},\n"archive":{_json(_archive_object(record))},\n"members":['
    before = "\n"
    tails: dict[tuple[int, int, int, str, str], str] = {}
    for member in members:
        owner = (member.mode, member.uid, member.gid, member.user, member.group)
        tail = tails.get(owner)
        if tail is None:
            tail = tails[owner] = _owner_text(member)
        yield f"{before}{_member_text(member)}{tail}"
        before = ",\n"
    yield "\n]}\n"


def _archive_object(record: ArchiveRecord) -> dict[str, object]:
    return {
        "bucket": record.ref.bucket,
        "key": record.ref.key,
        "version_id": record.ref.version_id,
        "size": record.size,
        "checksum_crc64nvme": record.crc64nvme,
        "storage_class": record.storage_class.value,
        "batch": record.batch,
        "created": rfc3339(record.created),
        "host": plain(record.host),
        "tool": record.tool,
    }


def _member_text(member: Member) -> str:
    raw = keys.to_base64(member.key)
    beside = "" if raw is None else f',"key_base64":"{raw}"'
    return (
        f'{{"key":{_json(keys.display(member.key))}{beside},"offset":{member.offset},"size":{member.size},'
        f'"sha256":"{member.sha256}","mtime":"{rfc3339_ns(clamped_ns(member.mtime_ns))}"'
    )


def _owner_text(member: Member) -> str:
    return (
        f',"mode":"{member.mode:04o}","uid":{member.uid},"gid":{member.gid},'
        f'"user":{_json(plain(member.user))},"group":{_json(plain(member.group))}}}'
    )


def _json(value: object) -> str:
    """Return `value` as compact JSON, in ASCII where it holds what a terminal could act on or take for a line's end."""
    text = _AS_IT_IS.encode(value)
    return text if text.isprintable() else _IN_ASCII.encode(value)


def _gathered(pieces: Iterable[str]) -> Iterator[str]:
    """Join short pieces into long ones: the compressor is called per piece."""
    waiting: list[str] = []
    chars = 0
    for piece in pieces:
        waiting.append(piece)
        chars += len(piece)
        if chars >= _FLUSH_CHARS:
            yield "".join(waiting)
            waiting.clear()
            chars = 0
    yield "".join(waiting)


def _open(packed: bytes) -> tuple[dict[str, object], ArrayDocument]:
    # GzipFile is itself a reader of bytes; its read returns less than asked for only at the end.
    source = gzip.GzipFile(fileobj=io.BytesIO(packed), mode="rb")
    document = ArrayDocument(source, "members", MOST_TEXT_BYTES)  # type: ignore[arg-type]
    return document.head(), document


def _members(document: ArrayDocument, archive_size: int) -> Iterator[Member]:
    previous = Previous(end=0, archive_size=archive_size)
    for number, element in enumerate(document.elements(), start=1):
        try:
            member = member_from(element, previous)
        except ValueError as error:
            raise ValueError(f"member {number}: {error}") from None
        previous = previous.after(member)
        yield member


def _telling(ref: ObjectRef, reading: Callable[[], Manifest]) -> Manifest:
    """Run `reading`, turning everything that can be wrong with somebody's bytes into one `Permanent`."""
    try:
        return reading()
    except UnicodeDecodeError:
        raise _refused(ref, "it is not UTF-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise _refused(ref, "it is not whole gzip") from None
    except ValueError as error:
        raise _refused(ref, str(error)) from None


def _refused(ref: ObjectRef, wrong: str) -> Permanent:
    return Permanent(f"manifest {keys.printable(str(ref))}", wrong, "Leave it out; nothing is catalogued on its word")
