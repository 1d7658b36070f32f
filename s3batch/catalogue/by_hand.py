"""The plain `aws` and `tar` lines that get a file back without any of this: for the day when there is only a shell and S3.

Lines are for bash and survive being copied: a name with anything unusual in it (control characters, bytes that are not UTF-8)
is written as `$'...'`, and a name that begins with a dash is never taken for an option.
"""

from __future__ import annotations

import json
import shlex

from s3batch.catalogue.contract import Entry
from s3batch.model import ArchiveRecord
from s3sync import keys
from s3sync.store.contract import ObjectRef

DAYS = 3
"""How long the lines ask S3 to keep a thawed copy."""

_CLOSE = {ord("'"): "\\'", ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


def member_lines(entry: Entry) -> list[str]:
    """Return the lines that bring one member back and check it."""
    member, archive = entry.member, entry.archive
    out = _local_name(member.key)
    if member.size == 0:
        return [f": > {out}  # it is empty; nothing need be fetched"]
    last = member.offset + member.size - 1
    return [
        *_thaw_lines(archive),
        f"aws s3api get-object {_named(archive.ref)} --range bytes={member.offset}-{last} {out}",
        f"sha256sum {out}  # {member.sha256}",
    ]


def archive_lines(archive: ArchiveRecord, member: bytes | None = None) -> list[str]:
    """Return the lines that bring a whole archive back and unpack it, or `member` of it alone."""
    return [
        *_thaw_lines(archive),
        f"aws s3api get-object {_named(archive.ref)} archive.tar",
        "tar xf archive.tar" if member is None else f"tar xf archive.tar {_tar_member(member)}",
    ]


def manifest_line(archive: ArchiveRecord) -> str:
    """Return the line that lists an archive's members from its manifest."""
    return f"aws s3 cp {shlex.quote(str(archive.manifest))} - | zcat | jq -c '.members[]'"


def quoted(raw: bytes) -> str:
    """Return one word of a bash line that means exactly these bytes."""
    if keys.is_utf8(raw) and (text := raw.decode("utf-8")).isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_CLOSE.get(byte) or _escaped(byte) for byte in raw) + "'"


def _escaped(byte: int) -> str:
    # Octal with all three digits: what follows can never be taken for one of them.
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"  # noqa: PLR2004 - the printable ASCII


def _thaw_lines(archive: ArchiveRecord) -> list[str]:
    if not archive.storage_class.needs_thaw:
        return []
    request = json.dumps({"Days": DAYS, "GlacierJobParameters": {"Tier": "Bulk"}})
    named = _named(archive.ref)
    return [
        f"aws s3api restore-object {named} --restore-request {shlex.quote(request)}",
        f'aws s3api head-object {named} --query Restore  # go on when it says ongoing-request="false"',
    ]


def _named(ref: ObjectRef) -> str:
    version = "" if ref.version_id is None else f" --version-id {shlex.quote(ref.version_id)}"
    return f"--bucket {shlex.quote(ref.bucket)} --key {quoted(ref.key.encode('utf-8'))}{version}"


def _local_name(key: bytes) -> str:
    name = key.rpartition(b"/")[2] or b"file"
    return quoted(b"./" + name if name.startswith(b"-") else name)


def _tar_member(key: bytes) -> str:
    # GNU tar takes a backslash in a name it is given for an escape unless told not to.
    literal = "--no-unquote " if b"\\" in key else ""
    return f"{literal}-- {quoted(key)}"
