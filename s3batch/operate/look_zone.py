"""The drop zone itself: whether files can leave it, and whether we may read and lease them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from s3batch.operate import people
from s3batch.operate.findings import Level, Looked
from s3batch.operate.survey import Survey, Tried, Unwritable
from s3sync.dropzone.folders import open_beneath
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quarantine import Finding, foresee_quarantine, prove_quarantine
from s3sync.dropzone.syscalls import effective_capabilities
from s3sync.dropzone.writers import Snapshot, Writing
from s3sync.dropzone.zone import SPARE, DropZone
from s3sync.keys import display


def bucket_folders(zone: DropZone, ladder: Ladder) -> list[bytes]:
    """Return the names of the folders a scan takes for buckets. Raises `OSError`."""
    with os.scandir(zone.fd) as entries:
        names = sorted(os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False))
    return [name for name in names if not zone.is_quarantine(name) and ladder.refuses_bucket(name) is None]


def look_at_quarantine(zone: DropZone, bucket: bytes, *, try_it: bool) -> Looked:
    """Send a probe file from a bucket folder into its quarantine, or only foresee it. Leaves nothing behind.

    Raises `OSError` where the bucket folder cannot be opened.
    """
    subject = f"quarantine of {display(bucket)}"
    place = zone.quarantine_of_bucket(bucket)
    was_there = _exists(zone, place)
    finding = prove_quarantine(zone, bucket) if try_it else foresee_quarantine(zone, bucket)
    if not was_there:
        _remove_empty(zone, place)
    yield (subject, *_said_of(finding))
    if finding.refusal is None and not finding.leases:
        hint = "Expect a longer quiet period, or move the drop zone to a local filesystem"
        yield f"leases in {display(bucket)}", Level.WARNING, "the filesystem knows no file leases", hint


def _said_of(finding: Finding) -> tuple[Level, str, str]:
    place = display(finding.quarantine)
    if finding.refusal is not None:
        hint = "Mend it, or name another with S3BATCH_QUARANTINE; until then every file of the bucket is held"
        return Level.WARNING, f"{finding.refusal.detail} [{finding.refusal.reason}]", hint
    if finding.proved:
        return Level.OK, f"a probe file went through {place} and was removed", ""
    return Level.OK, f"{place} is on the same mount (compared, not tried)", ""


def _exists(zone: DropZone, path: bytes) -> bool:
    try:
        parent_fd, name = open_beneath(zone.fd, path)
    except FileNotFoundError:
        return False
    try:
        os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    finally:
        os.close(parent_fd)
    return True


def _remove_empty(zone: DropZone, path: bytes) -> None:
    """Remove the quarantine that only our probe needed; one that is not empty has become somebody's."""
    with suppress(OSError):
        parent_fd, name = open_beneath(zone.fd, path)
        try:
            os.rmdir(name + b"/" + SPARE, dir_fd=parent_fd)
            os.rmdir(name, dir_fd=parent_fd)
        finally:
            os.close(parent_fd)


def look_at_rights() -> Looked:
    """Say as whom, and with which capabilities, everything here was tried."""
    who = (
        f"{people.user(os.geteuid())}, groups {', '.join(people.group(gid) for gid in sorted({os.getegid(), *os.getgroups()}))}"
    )
    yield "this process", Level.OK, f"{who}; capabilities: {people.capabilities(effective_capabilities())}", ""


def look_at_survey(found: Survey, look: Callable[[], Snapshot]) -> Looked:
    """Say what the walk through the drop zone found about rights."""
    walked = f"{'more than ' if found.cut else ''}{found.folders:,} folders walked"
    yield from _closed(found)
    yield from _unwritable(found)
    if not found.closed and not found.unwritable:
        yield "folders", Level.OK, f"{walked}: files may be removed from all of them", ""
    if not found.tried:
        yield "files", Level.OK, "there is none to try reading and leases on", ""
        return
    yield from _reading(found.tried)
    yield from _leases(found.tried, look)


def _closed(found: Survey) -> Iterator[tuple[str, Level, str, str]]:
    if found.closed:
        names = ", ".join(map(display, found.closed_shown))
        detail = f"{found.closed:,} may not be looked into, such as {names}"
        yield "folders", Level.WARNING, detail, "Give the agent a group that may, or CAP_DAC_READ_SEARCH"


def _unwritable(found: Survey) -> Iterator[tuple[str, Level, str, str]]:
    if not found.unwritable:
        return
    for folder in found.unwritable_shown:
        detail = f"{display(folder.path)}: files cannot be removed from it, so they are held (folder_not_writable)"
        yield "folders", Level.WARNING, detail, _missing(folder)
    more = found.unwritable - len(found.unwritable_shown)
    if more > 0:
        yield "folders", Level.WARNING, f"and {more:,} more folders that files cannot be removed from", _UMASK


_UMASK = "Let uploads use umask 002 (internal-sftp -u 002, vsftpd local_umask=002) below setgid folders of a shared group"


def _missing(folder: Unwritable) -> str:
    """Say which group the agent lacks, or that the folder is closed even to its group."""
    mine = {os.getegid(), *os.getgroups()}
    if folder.mode & stat.S_IWGRP and folder.gid not in mine:
        return f"Add the agent's user to group {people.group(folder.gid)}, which may write there"
    if not folder.mode & stat.S_IWGRP:
        whose = f"mode {folder.mode:04o} of {people.user(folder.uid)}: made with umask 022"
        mend = f"chmod g+w it{'' if folder.gid in mine else f', chgrp it from {people.group(folder.gid)} to a shared group'}"
        return f"{whose}. {mend}; for the future: {_UMASK[0].lower()}{_UMASK[1:]}"
    return "Look at its ACL, and whether it is mounted read-only"


def _reading(tried: Iterable[Tried]) -> Iterator[tuple[str, Level, str, str]]:
    files = list(tried)
    closed = [each for each in files if not each.readable]
    if closed:
        whose = ", ".join(sorted({people.user(each.uid) for each in closed}))
        detail = f"{len(closed)} of {len(files)} files tried may not be read, such as {display(closed[0].path)} (of {whose})"
        hint = "Give the agent CAP_DAC_READ_SEARCH (AmbientCapabilities= in its unit), or let uploads be readable for its group"
        yield "reading", Level.WARNING, detail, hint
    else:
        yield "reading", Level.OK, f"all of {len(files)} files tried may be read", ""


def _leases(tried: Iterable[Tried], look: Callable[[], Snapshot]) -> Iterator[tuple[str, Level, str, str]]:
    readable = [each for each in tried if each.readable]
    forbidden = [each for each in readable if each.lease is Writing.FORBIDDEN]
    unsupported = [each for each in readable if each.lease is Writing.UNSUPPORTED]
    if forbidden:
        whose = ", ".join(sorted({people.user(each.uid) for each in forbidden}))
        detail = f"not granted on files of {whose}: who writes them is looked for among processes"
        yield "leases", Level.WARNING, detail, "Give the agent CAP_LEASE (AmbientCapabilities= in its unit)"
    if unsupported:
        detail = f"not known to the filesystem of {display(unsupported[0].path)}: who writes is looked for among processes"
        yield "leases", Level.WARNING, detail, "Expect a longer quiet period, or move the drop zone to a local filesystem"
    if forbidden or unsupported:
        yield from _processes(look())
    elif readable:
        busy = sum(each.lease is Writing.SOMEBODY for each in readable)
        said = f"the kernel answers on all of {len(readable)} files tried; {busy} of them are open for writing now"
        yield "leases", Level.OK, said, ""


def _processes(seen: Snapshot) -> Iterator[tuple[str, Level, str, str]]:
    if seen.opaque:
        detail = f"{seen.opaque} cannot be looked into, so files they write look closed; an SFTP session is such a process"
        yield "processes", Level.WARNING, detail, "Give the agent CAP_LEASE, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    else:
        yield "processes", Level.OK, "the open files of all of them can be seen", ""
