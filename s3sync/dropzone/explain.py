"""Say of one path what every rule says of it. Changes nothing: it opens, looks, and asks for a lease it gives back at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from s3sync.dropzone.facts import FileFacts, FolderFacts
from s3sync.dropzone.folders import READ, FolderCache, open_listing
from s3sync.dropzone.ladder import Ladder, Verdict
from s3sync.dropzone.quarantine import Find, foresee_quarantine
from s3sync.dropzone.reasons import Reason, of_errno
from s3sync.dropzone.scan import Base, file_facts, folder_facts
from s3sync.dropzone.writers import Writing, is_written, snapshot
from s3sync.dropzone.zone import DropZone, Mount
from s3sync.errors import NotFound
from s3sync.keys import display


def explain(zone: DropZone, ladder: Ladder, path: bytes, find: Find = foresee_quarantine) -> list[Verdict]:
    """Return every rule's verdict for the file at `path` (relative to the root), in the order the scan asks them.

    Where a folder on the way cannot be entered, its refusal is the last verdict. Raises `NotFound` where nothing is there.
    """
    with zone.folders() as folders:
        try:
            return list(_verdicts(zone, ladder, path, find, folders))
        except FileNotFoundError as error:
            raise NotFound(display(path), "is not in the drop zone", "Name it relative to the drop zone's folder") from error


def writer_verdict(file: FileFacts, folder_fd: int) -> Verdict:
    """Say whether anybody writes the file, and how that was found out; the scan leaves this to whoever opens the file."""
    try:
        fd = os.open(file.name, READ, dir_fd=folder_fd)
    except OSError as error:
        return Verdict(Reason.WRITER.value, ok=False, detail=f"it cannot be opened: {error.strerror}")
    try:
        seen = snapshot if stat.S_ISREG(os.fstat(fd).st_mode) else None
        if seen is None:
            return Verdict(Reason.WRITER.value, ok=False, detail="it is no regular file")
        return _WRITING[is_written(fd, file.identity.file_id, seen)]
    finally:
        os.close(fd)


_WRITING = {
    None: Verdict(Reason.WRITER.value, ok=True, detail="a read lease was granted: nobody writes it"),
    Writing.SOMEBODY: Verdict(Reason.WRITER.value, ok=False, detail="somebody has it open for writing"),
    Writing.UNSUPPORTED: Verdict(
        Reason.WRITER.value, ok=True, detail="the filesystem has no leases; no process we may look into writes it"
    ),
    Writing.FORBIDDEN: Verdict(
        Reason.WRITER.value,
        ok=True,
        detail="no lease without CAP_LEASE on another user's file; no process we may look into writes it",
    ),
}


def _verdicts(zone: DropZone, ladder: Ladder, path: bytes, find: Find, folders: FolderCache) -> Iterator[Verdict]:
    bucket, slash, key = zone.drop_path(path).partition(b"/")
    if not slash:
        yield Verdict("bucket_name", ok=False, detail="what lies directly in the drop zone belongs to no bucket")
        return
    yield from ladder.bucket_verdicts(bucket)
    *above, name = key.split(b"/")
    for depth in range(1, len(above) + 1):
        yield from (verdict for verdict in ladder.folder_verdicts(b"/".join(above[:depth])) if not verdict.ok)
    top = path[: len(path) - len(key) - 1]
    try:
        base, fd = _entered(zone, find, folders, top, above)
        folder = _facts(fd, b"/".join([top, *above]), base, zone)
    except _NotEntered as stopped:
        yield stopped.verdict
        return
    file = file_facts(folder, fd, name, older=False)
    yield from ladder.file_verdicts(file)
    yield writer_verdict(file, fd)


class _NotEntered(Exception):
    """The scan would not get past a folder."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason)
        self.verdict = Verdict(reason.value, ok=False, detail=detail)


def _entered(zone: DropZone, find: Find, folders: FolderCache, top: bytes, above: list[bytes]) -> tuple[Base, int]:
    """Return the bucket folder's facts and the descriptor of the file's folder, entering every folder on the way."""
    fd = _entered_one(folders, top)
    mount = Mount.of(fd)
    displaced = zone.drop_path(top) != top
    bucket = top.rpartition(b"/")[2]
    finding = None if displaced else find(zone, bucket)
    refusal, leases = (None, True) if finding is None else (finding.refusal, finding.leases)
    for depth in range(1, len(above) + 1):
        path = b"/".join([top, *above[:depth]])
        fd = _entered_one(folders, path)
        if Mount.of(fd) != mount:
            raise _NotEntered(Reason.MOUNT, f"something is mounted at {display(path)}")
    return Base(display(bucket), top, mount, refusal, leases), fd


def _facts(fd: int, path: bytes, base: Base, zone: DropZone) -> FolderFacts:
    try:
        listing_fd = open_listing(fd)
    except PermissionError as error:
        raise _NotEntered(Reason.UNREADABLE, f"{display(path)} cannot be listed") from error
    try:
        return folder_facts(fd, listing_fd, path, base, zone.rights)
    finally:
        os.close(listing_fd)


def _entered_one(folders: FolderCache, path: bytes) -> int:
    try:
        return folders.folder(path)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise _NotEntered(Reason.SYMLINK, f"{display(path)} is a link or no folder") from error
    except OSError as error:
        reason = Reason.UNREADABLE if isinstance(error, PermissionError) else of_errno(error)
        raise _NotEntered(reason, f"{display(path)} cannot be opened: {error.strerror}") from error
