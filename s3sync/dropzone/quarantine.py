"""The quarantine of a bucket folder: made, opened, and proved by a real rename before anything is archived.

What cannot be removed must not be archived, or it would be paid for at every pass. Whether a rename from a bucket folder into
the quarantine works is therefore tried with an empty probe file, not deduced: two bind mounts of one filesystem look alike to
`stat` and refuse (EXDEV). Where the bucket folder itself takes no files (the root of a chroot belongs to root) and so cannot
hold a probe, the mounts are compared instead, which is what `foresee_quarantine` always does, for those who may change nothing.
So they are where the disk is full: what can be removed must be archived then more than ever. What is needed for that, the spare
folder, is made with the quarantine.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from s3sync.dropzone.folders import FolderCache, open_folder, open_listing
from s3sync.dropzone.reasons import FULL, Reason, Refusal, of_errno
from s3sync.dropzone.writers import Writing, drop_lease, take_lease
from s3sync.dropzone.zone import SPARE, DropZone, Mount, is_private
from s3sync.keys import display

PROBE_PREFIX = b".s3batch-probe-"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of the way from one bucket folder into its quarantine."""

    bucket: bytes
    quarantine: bytes
    """Its path, see `s3sync.dropzone.zone`."""
    refusal: Refusal | None
    """Why files of the bucket cannot be removed; None where they can."""
    leases: bool
    """Whether the filesystem knows leases (believed, where nothing was tried)."""
    proved: bool
    """Whether a file really went the way."""


Find = Callable[[DropZone, bytes], Finding]


class Unsafe(OSError):
    """The quarantine is not our own private folder."""


@contextmanager
def quarantine(zone: DropZone, path: bytes) -> Iterator[int]:
    """Open the quarantine at `path`, made with mode 0700 where it is missing.

    Raises `Unsafe` where it is somebody else's or open to others, `OSError` where it cannot be made or opened.
    """
    with zone.folders() as folders:
        parent_fd, name = folders.parent(path)
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        walking_fd = open_folder(parent_fd, name)
    try:
        fd = open_listing(walking_fd)
    finally:
        os.close(walking_fd)
    try:
        if not is_private(fd, zone.rights):
            raise Unsafe(errno.EPERM, "the quarantine must be the agent's own folder with mode 0700", path)
        yield fd
    finally:
        os.close(fd)


class ProvenQuarantines:
    """`prove_quarantine` with a memory: a way that worked is not tried again while the bucket folder is the same one."""

    def __init__(self) -> None:
        self._proved: dict[bytes, tuple[object, Finding]] = {}

    def __call__(self, zone: DropZone, bucket: bytes) -> Finding:
        """Return the finding for a bucket folder. Raises `OSError` where the bucket folder cannot be opened."""
        which = _folder_state(zone, bucket)
        remembered = self._proved.get(bucket)
        if remembered is not None and remembered[0] == which:
            return remembered[1]
        finding = prove_quarantine(zone, bucket)
        if finding.refusal is None:
            self._proved[bucket] = (which, finding)
        return finding


def prove_quarantine(zone: DropZone, bucket: bytes) -> Finding:
    """Rename a probe file from a bucket folder into its quarantine and remove it there.

    What stands in the way is the finding's refusal; raises `OSError` only where the bucket folder cannot be opened.
    """
    path = zone.quarantine_of_bucket(bucket)
    bucket_fd = open_folder(zone.fd, bucket)
    leases = True
    try:
        with quarantine(zone, path) as quarantine_fd:
            with suppress(FileExistsError):
                os.mkdir(SPARE, 0o700, dir_fd=quarantine_fd)
            probe = PROBE_PREFIX + os.urandom(8).hex().encode()
            leases, proved = _send_probe(probe, bucket_fd, quarantine_fd)
            return Finding(bucket, path, None, leases, proved)
    except OSError as error:
        return Finding(bucket, path, _explain(error, path), leases, proved=False)
    finally:
        os.close(bucket_fd)


def foresee_quarantine(zone: DropZone, bucket: bytes) -> Finding:
    """Say what `prove_quarantine` would find, as far as looking tells; changes nothing.

    Raises `OSError` where the bucket folder cannot be opened.
    """
    path = zone.quarantine_of_bucket(bucket)
    bucket_fd = open_folder(zone.fd, bucket)
    try:
        refusal = _foreseen(zone, path, bucket_fd)
    except OSError as error:
        refusal = _explain(error, path)
    finally:
        os.close(bucket_fd)
    return Finding(bucket, path, refusal, leases=True, proved=False)


def _folder_state(zone: DropZone, bucket: bytes) -> object:
    fd = open_folder(zone.fd, bucket)
    try:
        seen = os.fstat(fd)
        return (seen.st_dev, seen.st_ino, seen.st_mode, seen.st_uid, seen.st_gid, Mount.of(fd))
    finally:
        os.close(fd)


def _send_probe(probe: bytes, bucket_fd: int, quarantine_fd: int) -> tuple[bool, bool]:
    """Return whether the bucket folder's filesystem knows leases, and whether the probe really went the way."""
    try:
        fd = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=bucket_fd)
    except OSError as error:
        if not (isinstance(error, PermissionError) or error.errno in FULL):
            raise
        _compare_mounts(bucket_fd, quarantine_fd)
        return True, False
    try:
        refused = take_lease(fd)
        if refused is None:
            drop_lease(fd)
        os.rename(probe, probe, src_dir_fd=bucket_fd, dst_dir_fd=quarantine_fd)
    except OSError:
        # An append-only folder lets nothing go, not even this: a hidden, empty file.
        with suppress(PermissionError):
            os.unlink(probe, dir_fd=bucket_fd)
        raise
    finally:
        os.close(fd)
    os.unlink(probe, dir_fd=quarantine_fd)
    return refused is not Writing.UNSUPPORTED, True


def _foreseen(zone: DropZone, path: bytes, bucket_fd: int) -> Refusal | None:
    with zone.folders() as folders:
        try:
            place_fd = open_listing(folders.folder(path))
        except FileNotFoundError:
            return _could_be_made(folders, path, bucket_fd)
    try:
        if not is_private(place_fd, zone.rights):
            return _UNSAFE
        _compare_mounts(bucket_fd, place_fd)
    finally:
        os.close(place_fd)
    return None


def _could_be_made(folders: FolderCache, path: bytes, bucket_fd: int) -> Refusal | None:
    parent_fd, _ = folders.parent(path)
    _compare_mounts(bucket_fd, parent_fd)
    if not os.access(b".", os.W_OK | os.X_OK, dir_fd=parent_fd, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return None


def _compare_mounts(bucket_fd: int, quarantine_fd: int) -> None:
    if Mount.of(bucket_fd) != Mount.of(quarantine_fd):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


_UNSAFE = Refusal(Reason.QUARANTINE_UNSAFE, "the quarantine must be a folder of the agent's own user with mode 0700")

_WORDS = {
    Reason.OTHER_FILESYSTEM: "lies on another mount than the bucket folder; name one on the same mount in the settings",
    Reason.FOLDER_NOT_WRITABLE: "cannot be made or used by the agent's user; make it for that user with mode 0700",
    Reason.READ_ONLY: "cannot be used: the filesystem is mounted read-only",
    Reason.IMMUTABLE: "cannot be used: the bucket folder or the quarantine is immutable or append-only",
    Reason.NO_SPACE: "cannot be used: the disk or the quota is full",
    Reason.VANISHED: "cannot be made: a folder on the way to it is missing or is a link",
}


def _explain(error: OSError, path: bytes) -> Refusal:
    if isinstance(error, Unsafe):
        return _UNSAFE
    reason = of_errno(error)
    words = _WORDS.get(reason, "cannot be used")
    name = errno.errorcode.get(error.errno or 0, "unknown")
    return Refusal(reason, f"the quarantine {display(path)} {words} ({name})")
