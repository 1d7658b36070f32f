"""Say of one path what every rule says of it. Changes nothing: it opens, looks, and asks for a lease it gives back at once."""

from __future__ import annotations

import os
import stat

from s3sync.dropzone.facts import FileFacts
from s3sync.dropzone.folders import READ, FolderCache, open_listing
from s3sync.dropzone.ladder import Ladder, Verdict
from s3sync.dropzone.quarantine import Find, foresee_quarantine
from s3sync.dropzone.reasons import Reason, of_errno
from s3sync.dropzone.scan import Base, file_facts, folder_facts
from s3sync.dropzone.writers import Writing, is_written, snapshot
from s3sync.dropzone.zone import DropZone, Mount
from s3sync.errors import NotFound
from s3sync.keys import display

WRITER = Reason.WRITER.value


def explain(zone: DropZone, ladder: Ladder, path: bytes, find: Find = foresee_quarantine) -> list[Verdict]:
    """Return every rule's verdict for the file at `path` (relative to the root), in the order the scan asks them.

    Where a folder on the way cannot be entered, its refusal is the last verdict. Raises `NotFound` where nothing is there.
    """
    bucket, slash, key = zone.drop_path(path).partition(b"/")
    if not slash:
        return [Verdict(Reason.BUCKET_NAME.value, ok=False, detail="what lies directly in the drop zone belongs to no bucket")]
    verdicts = ladder.bucket_verdicts(bucket)
    below = [key[:end] for end, letter in enumerate(key) if letter == ord("/")]
    for folder in below:
        verdicts += [verdict for verdict in ladder.folder_verdicts(folder) if not verdict.ok]
    with zone.folders() as folders:
        try:
            return verdicts + _Path(zone, ladder, find, folders).verdicts(bucket, path, len(key))
        except FileNotFoundError as error:
            raise NotFound(display(path), "is not in the drop zone", "Name it relative to the drop zone's folder") from error


class _Path:
    """One path being explained."""

    def __init__(self, zone: DropZone, ladder: Ladder, find: Find, folders: FolderCache) -> None:
        self._zone = zone
        self._ladder = ladder
        self._find = find
        self._folders = folders

    def verdicts(self, bucket: bytes, path: bytes, key_length: int) -> list[Verdict]:
        """Return the verdicts of the folders on the way, then of the file. Raises `FileNotFoundError`."""
        top = path[: len(path) - key_length - 1]
        try:
            base = self._base(bucket, top, displaced=self._zone.drop_path(path) != path)
            self._check_mounts(path, top, base.mount)
            file, folder_fd = self._file(path, base)
        except _NotEntered as stop:
            return [Verdict(stop.rule, ok=False, detail=stop.detail)]
        return [*self._ladder.file_verdicts(file), self._writer(file, folder_fd)]
