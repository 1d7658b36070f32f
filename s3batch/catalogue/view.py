"""Members and archives as JSON objects: the names that `--json` and everything else outside speak (formats, `find`)."""

from __future__ import annotations

from s3batch.catalogue.contract import Entry
from s3batch.model import ArchiveRecord
from s3sync import keys
from s3sync.times import rfc3339, rfc3339_ns


def entry_object(entry: Entry) -> dict[str, object]:
    """Return what `find` says of one member."""
    member, archive = entry.member, entry.archive
    found: dict[str, object] = {
        "bucket": entry.bucket,
        "key": keys.display(member.key),
        "archive": archive.ref.key,
        "offset": member.offset,
        "size": member.size,
        "sha256": member.sha256,
        "mtime": rfc3339_ns(member.mtime_ns),
        "archived_at": rfc3339(archive.created),
    }
    encoded = keys.to_base64(member.key)
    return found if encoded is None else found | {"key_base64": encoded}


def owner_object(entry: Entry) -> dict[str, object]:
    """Return whose the original was, and with which rights."""
    member = entry.member
    return {
        "mode": f"{member.mode:04o}",
        "uid": member.uid,
        "gid": member.gid,
        "user": member.user,
        "group": member.group,
    }


def archive_object(archive: ArchiveRecord) -> dict[str, object]:
    """Return what is known of one archive, by the manifest's names and where that lies."""
    return {
        "bucket": archive.ref.bucket,
        "archive": archive.ref.key,
        "version_id": archive.ref.version_id,
        "archive_size": archive.size,
        "checksum_crc64nvme": archive.crc64nvme,
        "storage_class": archive.storage_class.value,
        "batch": archive.batch,
        "archived_at": rfc3339(archive.created),
        "host": archive.host,
        "tool": archive.tool,
        "members": archive.members,
        "manifest": str(archive.manifest),
    }
