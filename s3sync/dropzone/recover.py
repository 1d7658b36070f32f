"""Empty the quarantine of what no batch will come back for: at the start, and of batches that are ended without a release.

A batch the journal knows finishes its own slots when its release is repeated. Slots of a batch nobody knows (the journal was
lost) are given back by the note beside them; their files are then archived again, which costs a duplicate and loses nothing. A
slot without a note stays and is reported at every start: nothing is ever removed by guessing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOTEMPTY

from s3sync.dropzone.folders import LIST, open_listing
from s3sync.dropzone.quarantine import PROBE_PREFIX, quarantine
from s3sync.dropzone.reasons import Reason
from s3sync.dropzone.slots import Kept, Slots
from s3sync.dropzone.zone import DISPLACED, SPARE, DropZone


@dataclass(frozen=True, slots=True)
class RecoverReport:
    """What was found in quarantine that no known batch will come back for."""

    given_back: tuple[Kept, ...]
    """Files that were moved out, and where each lies now."""
    strays: tuple[bytes, ...]
    """Paths of files of which nobody knows where they came from; they stay."""


def recover(zone: DropZone, known_batches: Container[str]) -> RecoverReport:
    """Give back what lies in slots of batches that are not among `known_batches`, and remove what is empty.

    Repeating it is harmless. Raises `OSError` where a quarantine cannot be looked into.
    """
    given_back: list[Kept] = []
    strays: list[bytes] = []
    for path in zone.quarantines():
        with quarantine(zone, path) as fd:
            for name in _subfolders(fd):
                if name == DISPLACED:
                    _remove_empty_homes(fd)
                elif name != SPARE and os.fsdecode(name) not in known_batches:
                    _give_back(Slots.begin(zone, path, fd, os.fsdecode(name)), given_back, strays)
            _remove_probes(fd)
    for bucket in zone.bucket_folders():
        # A folder that cannot be looked into is told of by the scan.
        with suppress(OSError):
            _remove_lost_probes(zone, bucket)
    return RecoverReport(tuple(given_back), tuple(strays))


def give_back(zone: DropZone, batches: Container[str]) -> list[Kept]:
    """Give back what lies in slots of `batches`, which were ended, and return where each file lies now.

    Raises `OSError` where a quarantine cannot be looked into.
    """
    given_back: list[Kept] = []
    for path in zone.quarantines():
        with quarantine(zone, path) as fd:
            for name in _subfolders(fd):
                if os.fsdecode(name) in batches:
                    _give_back(Slots.begin(zone, path, fd, os.fsdecode(name)), given_back, strays=[])
    return given_back


def _give_back(slots: Slots, given_back: list[Kept], strays: list[bytes]) -> None:
    try:
        origins = slots.origins()
        for ordinal in sorted(slots.leftovers()):
            if ordinal in origins:
                given_back.append(slots.give_back(ordinal, origins[ordinal], Reason.CHANGED))
            else:
                strays.append(slots.path(ordinal))
        slots.end()
    finally:
        slots.close()


def _remove_empty_homes(quarantine_fd: int) -> None:
    displaced_fd = os.open(DISPLACED, LIST, dir_fd=quarantine_fd)
    try:
        for home in _subfolders(displaced_fd):
            _remove_empty(displaced_fd, home)
    finally:
        os.close(displaced_fd)


def _remove_empty(parent_fd: int, name: bytes) -> None:
    """Remove a folder and what is in it as far as it is empty folders."""
    fd = os.open(name, LIST, dir_fd=parent_fd)
    try:
        for below in _subfolders(fd):
            _remove_empty(fd, below)
    finally:
        os.close(fd)
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except OSError as error:
        if error.errno != ENOTEMPTY:
            raise


def _remove_probes(quarantine_fd: int) -> None:
    for name in os.listdir(quarantine_fd):
        if os.fsencode(name).startswith(PROBE_PREFIX):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=quarantine_fd)


def _remove_lost_probes(zone: DropZone, bucket: bytes) -> None:
    """Remove probes that were made in a bucket's folder and never went their way: empty files of ours."""
    with zone.folders() as folders:
        fd = open_listing(folders.folder(bucket))
    try:
        with os.scandir(fd) as entries:
            names = [entry.name for entry in entries if os.fsencode(entry.name).startswith(PROBE_PREFIX)]
        for name in names:
            seen = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(seen.st_mode) and seen.st_size == 0 and seen.st_uid == os.geteuid():
                os.unlink(name, dir_fd=fd)
    finally:
        os.close(fd)


def _subfolders(fd: int) -> Iterator[bytes]:
    with os.scandir(fd) as entries:
        yield from sorted(os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False))
