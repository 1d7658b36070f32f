"""What has to happen before a file that is held is taken up: by itself, or by whom.

`lasting` tells apart what passes without anybody's help (or is meant to stay, such as a client's temporary name) from what a
person has to mend: an agent cannot be healthy while files wait for something that never happens by itself.
"""

from __future__ import annotations

from typing import NamedTuple

from s3sync.dropzone.reasons import Reason


class Remedy(NamedTuple):
    """A sentence for people, and whether a person has to act on it."""

    lasting: bool
    sentence: str


def _passes(sentence: str) -> Remedy:
    return Remedy(lasting=False, sentence=sentence)


def _asks(sentence: str) -> Remedy:
    return Remedy(lasting=True, sentence=sentence)


_DISK = "Mend the disk or mount; the next pass tries again."
_NOT_A_FILE = "Remove it, or put a regular file in its place; it is never taken up as it is."

REMEDIES: dict[Reason, Remedy] = {
    Reason.IN_FLIGHT: _passes("Nothing to do: it is removed once its archive is proved."),
    Reason.UNRELEASABLE: _asks("Mend what keeps it from being removed; the next pass removes it, nothing is archived twice."),
    Reason.EXISTS: _asks("Rename the file, or turn versioning on for the bucket; a changed file is looked at again."),
    Reason.OLDER_VERSION_FIRST: _passes("Nothing to do: it follows once the older file of the same key is archived."),
    Reason.BUCKET_NAME: _passes("Move it into a folder named for its bucket; as it lies it is never taken up."),
    Reason.BUCKET_NOT_LISTED: _passes("Add the bucket to the allowed ones in the settings, if it is meant to be served."),
    Reason.RESERVED_PREFIX: _asks("Rename the folder: keys below this prefix are never accepted."),
    Reason.TEMPORARY_NAME: _passes("Rename it when it is finished, as uploading clients do."),
    Reason.KEY_TOO_LONG: _asks("Shorten the names of the file or its folders."),
    Reason.KEY_NOT_UTF8: _asks("Rename it to something in UTF-8."),
    Reason.SYMLINK: _passes(_NOT_A_FILE),
    Reason.FIFO: _passes(_NOT_A_FILE),
    Reason.SOCKET: _passes(_NOT_A_FILE),
    Reason.DEVICE: _passes(_NOT_A_FILE),
    Reason.MOUNT: _asks("Mount it as a bucket's folder or elsewhere; mounts further down are never entered."),
    Reason.UNREADABLE: _asks("Give the agent the right to read it: a shared group, or CAP_DAC_READ_SEARCH."),
    Reason.VANISHED: _passes("Nothing to do: the next pass sees what is there then."),
    Reason.FOLDER_NOT_WRITABLE: _asks(
        "Let the agent remove names from the folder: a shared group with setgid folders, and umask 002 for uploads."
    ),
    Reason.FOLDER_STICKY: _asks("Take the sticky bit off the folder, or give the agent CAP_FOWNER."),
    Reason.IMMUTABLE: _asks("Take the mark off with chattr -i -a."),
    Reason.READ_ONLY: _asks("Mount the filesystem for writing."),
    Reason.OTHER_FILESYSTEM: _asks("Name a quarantine on the bucket folder's own mount in the settings."),
    Reason.QUARANTINE_UNSAFE: _asks("Give the quarantine to the agent's user with mode 0700, or move it away."),
    Reason.BUSY: _passes("Nothing to do: the next pass tries again."),
    Reason.NO_SPACE: _asks("Free space on the disk, or raise the quota."),
    Reason.IO_ERROR: _asks(_DISK),
    Reason.SYSTEM_ERROR: _asks(_DISK),
    Reason.LARGER_THAN_SPOOL: _asks("Raise the spool's limit above the file's size, or take the file away."),
    Reason.PROBABLY_PARTIAL: _asks(
        "Let the client resume or repeat the upload; if it is whole as it is, say so with `s3batch accept PATH`."
    ),
    Reason.QUIET: _passes("Nothing to do: it is taken up by itself if nobody touches it until then."),
    Reason.WRITER: _passes("Nothing to do: it is taken up when whoever writes has closed it and the quiet period is over."),
    Reason.CHANGED: _passes("Nothing to do: the next pass judges it as it is then."),
}


def remedy(reason: str) -> Remedy:
    """Return what to do about a reason; one that is no `Reason` of the drop zone passes by itself."""
    known = {each.value for each in Reason}
    return REMEDIES[Reason(reason)] if reason in known else _passes("Nothing to do: the next pass tries again.")
