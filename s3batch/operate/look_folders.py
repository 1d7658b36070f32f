"""Folders and disks: there, ours, private, on the right kind of filesystem, with room."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from s3batch.operate import people
from s3batch.operate.findings import Level, Looked
from s3batch.pack.spool import needed_bytes
from s3sync.mounts import Filesystem, filesystem_of, nearest_existing
from s3sync.output import human_size
from s3sync.statedb import StateDb


def look_at_drop_zone(path: Path) -> Looked:
    """Look at the drop zone's root. Raises `OSError`."""
    seen, filesystem = os.stat(path), filesystem_of(path)
    subject = f"drop zone {path}"
    if stat.S_IMODE(seen.st_mode) & stat.S_IWOTH and not seen.st_mode & stat.S_ISVTX:
        hint = f"Take the right from others: chmod o-w {path}"
        yield subject, Level.WARNING, "everybody on this host may make and remove bucket folders", hint
    if filesystem.shared:
        hint = "Expect a longer quiet period; lock other hosts out, for agents there are not seen from here"
        yield subject, Level.WARNING, f"lies on {filesystem.kind}: no file leases, and locks may not reach other hosts", hint
    yield subject, Level.OK, f"on {filesystem.kind or 'an unknown filesystem'}, of {people.user(seen.st_uid)}", ""


def look_at_own_folder(name: str, path: Path, variable: str, *, agents_uid: int) -> Looked:
    """Look at a folder that is to be the agent's alone, or at the place where it will be made. Raises `OSError`."""
    subject = f"{name} {path}"
    place = nearest_existing(path)
    if place != path:
        yield _will_be_made(subject, place, variable)
        return
    seen = os.stat(path)
    if not stat.S_ISDIR(seen.st_mode):
        yield subject, Level.ERROR, "is no folder", f"Move it away, or set {variable}"
        return
    if seen.st_uid != agents_uid:
        detail = f"belongs to {people.user(seen.st_uid)}, and the agent is {people.user(agents_uid)}"
        yield subject, Level.WARNING, detail, f"Give it to the agent's user, or set {variable}"
    if seen.st_mode & stat.S_IRWXO:
        hint = f"Close it to others: chmod o-rwx {path}"
        yield subject, Level.WARNING, f"others may look into it (mode {stat.S_IMODE(seen.st_mode):04o})", hint
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        yield subject, Level.ERROR, "may not be written by us", f"Give it to the agent's user, or set {variable}"
        return
    whose, mode = people.user(seen.st_uid), stat.S_IMODE(seen.st_mode)
    yield subject, Level.OK, f"of {whose}, mode {mode:04o}, on {filesystem_of(path).kind}", ""


def _will_be_made(subject: str, place: Path, variable: str) -> tuple[str, Level, str, str]:
    if os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return subject, Level.OK, f"not there yet; the agent will make it in {place}", ""
    hint = f"Make it for the agent's user with mode 0700, or set {variable}"
    return subject, Level.ERROR, f"is not there, and {place} is not ours to make it in", hint


def look_at_state_disk(state: Path) -> Looked:
    """Say whether the state folder's filesystem suits SQLite's write-ahead log. Raises `OSError`."""
    filesystem = filesystem_of(nearest_existing(state))
    subject = "disk of the state folder"
    if filesystem.in_memory:
        hint = "Set S3BATCH_STATE to a folder on a disk"
        yield subject, Level.WARNING, f"{filesystem.kind} at {filesystem.mounted_at}: the journal is gone after a restart", hint
    elif filesystem.shared:
        hint = "Set S3BATCH_STATE to a folder on a local disk"
        yield subject, Level.WARNING, f"{filesystem.kind} at {filesystem.mounted_at}: SQLite's journal is not safe there", hint
    else:
        yield subject, Level.OK, f"local ({filesystem.kind} at {filesystem.mounted_at})", ""


def look_at_journal(db: StateDb) -> Looked:
    """Let SQLite check the journal. Raises what reading it raises."""
    with db.read() as connection:
        said = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if said == ["ok"]:
        yield f"journal {db.path}", Level.OK, "SQLite finds it in order", ""
    else:
        hint = "Stop the agent and keep a copy; without a journal everything not yet released is archived again"
        yield f"journal {db.path}", Level.ERROR, f"damaged: {'; '.join(said)}", hint


def look_at_spool_disk(spool: Path, *, limit_bytes: int, max_batch_bytes: int, max_batch_members: int) -> Looked:
    """Compare the spool's disk with what the settings let it take. Raises `OSError`."""
    place = nearest_existing(spool)
    filesystem, free = filesystem_of(place), shutil.disk_usage(place).free
    subject = "disk of the spool"
    if filesystem.in_memory:
        hint = "Set S3BATCH_SPOOL to a folder on a disk"
        yield subject, Level.WARNING, f"{filesystem.kind} at {filesystem.mounted_at}: archives are built in memory", hint
    yield from _room(subject, filesystem, free, limit_bytes, needed_bytes(max_batch_bytes, min(max_batch_members, 1000)))


def _room(subject: str, filesystem: Filesystem, free: int, limit_bytes: int, archive_bytes: int) -> Iterator[_One]:
    said = f"{human_size(free)} free on {filesystem.kind} at {filesystem.mounted_at}"
    if free < archive_bytes:
        hint = "Free space, or lower S3BATCH_MAX_BATCH_SIZE"
        yield subject, Level.WARNING, f"{said}: not even one archive of {human_size(archive_bytes)} fits", hint
    elif free < limit_bytes:
        hint = "Free space, or lower S3BATCH_SPOOL_LIMIT: a full disk makes batches fail, a lower limit makes them wait"
        yield subject, Level.WARNING, f"{said}, less than S3BATCH_SPOOL_LIMIT ({human_size(limit_bytes)})", hint
    else:
        yield subject, Level.OK, f"{said}; the spool may take {human_size(limit_bytes)}", ""


_One = tuple[str, Level, str, str]
