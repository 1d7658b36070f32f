"""The eligibility ladder: every rule a finished file passes, each a small predicate with a name and a reason.

The rules are pure: what they judge is in the facts they are handed (names, one `lstat`, what is known of the folder), what they
demand is in `Standards`. A rule returns None or the `Refusal`; the tables at the end say in which order they are asked, and
`s3sync.dropzone.ladder` asks them. The order is: what is known already; what is no file of a bucket; what is no finished
name; what could not be removed; what is not ready yet. Whether somebody writes is asked last and by others
(`s3sync.dropzone.writers`), because it takes an open file.

To add a rule: write the predicate, give it a line in its table below, its reason a line in `reasons.py`.
"""

from __future__ import annotations

import fnmatch
import re
import stat
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.facts import BrokenOff, FileFacts, FolderFacts
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.reasons import Reason, Refusal
from s3sync.keys import MAX_KEY_BYTES, RESERVED_PREFIX, display, is_utf8

TEMPORARY_NAMES = (".*", "*.filepart", "*.part", "*.partial", "*.tmp", ".in.*", ".pureftpd-upload.*")
"""What WinSCP, rclone, lftp, rsync, proftpd and pure-ftpd call a file they are not done with; and hidden names."""


@dataclass(frozen=True, kw_only=True)
class Standards:
    """What the ladder demands. One for each pass: what is in flight changes."""

    quiet: QuietClock
    buckets: frozenset[str] | None = None
    """The allowed buckets; None where any valid name is."""
    temporary: tuple[str, ...] = TEMPORARY_NAMES
    """Shell patterns that no component of a key may match."""
    utf8_only: bool = False
    """The key becomes an object's key as it stands (`s3sync`)."""
    max_size: int | None = None
    """The largest file, in bytes, that the spool could ever hold."""
    in_flight: Container[bytes] = frozenset()
    """Paths of the members of batches on their way."""
    unreleasable: Mapping[bytes, Identity] = field(default_factory=lambda: MappingProxyType({}))
    """Paths that are archived and could not be removed, and the state they had then."""
    partial: BrokenOff | None = None
    """Who knows which uploads broke off; None where no server's log is read."""
    exists: Mapping[bytes, Identity] = field(default_factory=lambda: MappingProxyType({}))
    """Paths whose key is taken by an object of other content (`s3sync`), and the state they had then."""

    @cached_property
    def temporary_pattern(self) -> re.Pattern[bytes]:
        """All patterns as one, for one component."""
        translated = "|".join(fnmatch.translate(pattern) for pattern in self.temporary) or r"(?!)"
        return re.compile(translated.encode("utf-8", "surrogateescape"))


def bucket_problem(name: bytes) -> str | None:
    """Say what keeps `name` from naming a bucket (S3 User Guide, bucket naming rules); None for nothing."""
    if not _BUCKET_NAME.fullmatch(name):
        return "a bucket has 3 to 63 of a-z, 0-9, dot and hyphen, and begins and ends with a letter or digit"
    if b".." in name:
        return "a bucket's name has no two dots in a row"
    if _IP_ADDRESS.fullmatch(name):
        return "a bucket's name is not an IP address"
    if name.startswith(_RESERVED_BEGINNINGS) or name.endswith(_RESERVED_ENDS):
        return "the beginning or end of the name is reserved by S3"
    return None


_BUCKET_NAME = re.compile(rb"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS = re.compile(rb"\d{1,3}(\.\d{1,3}){3}")
_RESERVED_BEGINNINGS = (b"xn--", b"sthree-", b"amzn-s3-demo-")
_RESERVED_ENDS = (b"-s3alias", b"--ol-s3", b".mrap", b"--x-s3", b"--table-s3")


# Rules for a first-level folder, handed its name.


def _bucket_name(name: bytes, _: Standards) -> Refusal | None:
    problem = bucket_problem(name)
    return None if problem is None else Refusal(Reason.BUCKET_NAME, problem)


def _bucket_not_listed(name: bytes, standards: Standards) -> Refusal | None:
    if standards.buckets is None or display(name) in standards.buckets:
        return None
    return Refusal(Reason.BUCKET_NOT_LISTED, f"{display(name)} is not among the {len(standards.buckets)} allowed buckets")


# Rules for a folder below it, handed its path in the bucket.


def _reserved_folder(key: bytes, _: Standards) -> Refusal | None:
    if (key + b"/").startswith(RESERVED_PREFIX):
        return Refusal(Reason.RESERVED_PREFIX, f"{display(RESERVED_PREFIX)} is kept for manifests")
    return None


def _temporary_folder(key: bytes, standards: Standards) -> Refusal | None:
    return _temporary(key.rpartition(b"/")[2], standards)


def _long_folder(key: bytes, _: Standards) -> Refusal | None:
    # The shortest file in it adds a slash and a letter.
    return _too_long(len(key) + 2)


# Rules for removing anything from a folder: what cannot be removed must not be archived.


def _other_filesystem(folder: FolderFacts, _: Standards) -> Refusal | None:
    return folder.quarantine


def _folder_not_writable(folder: FolderFacts, _: Standards) -> Refusal | None:
    if folder.writable:
        return None
    detail = f"uid {folder.rights.uid} may not remove names from the folder, which belongs to uid {folder.owner}"
    return Refusal(Reason.FOLDER_NOT_WRITABLE, detail)


def _immutable(folder: FolderFacts, _: Standards) -> Refusal | None:
    if folder.pinned:
        return Refusal(Reason.IMMUTABLE, "the folder is marked immutable or append-only (lsattr shows it)")
    return None


# Rules for a file.


def _in_flight(file: FileFacts, standards: Standards) -> Refusal | None:
    if file.path in standards.in_flight:
        return Refusal(Reason.IN_FLIGHT, "it is a member of a batch on its way")
    return None


def _unreleasable(file: FileFacts, standards: Standards) -> Refusal | None:
    known = standards.unreleasable.get(file.path)
    if known is not None and known == file.identity:
        return Refusal(Reason.UNRELEASABLE, "it is archived and could not be removed; it has not changed since")
    return None


def _exists(file: FileFacts, standards: Standards) -> Refusal | None:
    known = standards.exists.get(file.path)
    if known is not None and known == file.identity:
        return Refusal(Reason.EXISTS, "another object lies under its key, and the bucket keeps no versions")
    return None


def _older_version_first(file: FileFacts, _: Standards) -> Refusal | None:
    if file.older:
        return Refusal(Reason.OLDER_VERSION_FIRST, "an older file of this key waits in quarantine to be archived")
    return None


def _regular_file(file: FileFacts, _: Standards) -> Refusal | None:
    mode = file.stat.st_mode
    if stat.S_ISREG(mode):
        return None
    reason = _KINDS.get(stat.S_IFMT(mode), Reason.CHANGED)
    return Refusal(reason, "only regular files are archived; links are not followed")


_KINDS = {
    stat.S_IFLNK: Reason.SYMLINK,
    stat.S_IFIFO: Reason.FIFO,
    stat.S_IFSOCK: Reason.SOCKET,
    stat.S_IFCHR: Reason.DEVICE,
    stat.S_IFBLK: Reason.DEVICE,
}


def _temporary_name(file: FileFacts, standards: Standards) -> Refusal | None:
    return _temporary(file.name, standards)


def _key_too_long(file: FileFacts, _: Standards) -> Refusal | None:
    return None if len(file.key) <= MAX_KEY_BYTES else _too_long(len(file.key))


def _key_not_utf8(file: FileFacts, standards: Standards) -> Refusal | None:
    if standards.utf8_only and not is_utf8(file.key):
        return Refusal(Reason.KEY_NOT_UTF8, f"{display(file.key)} cannot be the key of an object")
    return None


def _folder_sticky(file: FileFacts, _: Standards) -> Refusal | None:
    folder = file.folder
    if not folder.sticky or folder.rights.owns_all or folder.rights.uid in {folder.owner, file.stat.st_uid}:
        return None
    return Refusal(Reason.FOLDER_STICKY, f"the folder is sticky and the file belongs to uid {file.stat.st_uid}")


def _unreadable(file: FileFacts, _: Standards) -> Refusal | None:
    if file.readable:
        return None
    seen = file.stat
    detail = (
        f"mode {stat.S_IMODE(seen.st_mode):04o}, uid {seen.st_uid}, gid {seen.st_gid}, and we are uid {file.folder.rights.uid}"
    )
    return Refusal(Reason.UNREADABLE, detail)


def _larger_than_spool(file: FileFacts, standards: Standards) -> Refusal | None:
    if standards.max_size is None or file.stat.st_size <= standards.max_size:
        return None
    return Refusal(Reason.LARGER_THAN_SPOOL, f"{file.stat.st_size} bytes, and at most {standards.max_size} fit")


def _probably_partial(file: FileFacts, standards: Standards) -> Refusal | None:
    detail = None if standards.partial is None else standards.partial.standing(file)
    return None if detail is None else Refusal(Reason.PROBABLY_PARTIAL, detail)


def _quiet(file: FileFacts, standards: Standards) -> Refusal | None:
    if file.stat.st_ctime_ns < standards.quiet.surely_quiet_ns:
        return None
    remaining_ns = file.remaining_ns(standards.quiet)
    return None if remaining_ns == 0 else resting(remaining_ns)


def resting(remaining_ns: int) -> Refusal:
    """Return what the last rule says of a file that has to rest still."""
    return Refusal(Reason.QUIET, f"quiet for another {-(-remaining_ns // 1_000_000_000)} s and it is finished")


# What rules share.


def _temporary(name: bytes, standards: Standards) -> Refusal | None:
    if standards.temporary_pattern.match(name):
        return Refusal(Reason.TEMPORARY_NAME, f"{display(name)} is a name for something unfinished")
    return None


def _too_long(length: int) -> Refusal | None:
    if length > MAX_KEY_BYTES:
        return Refusal(Reason.KEY_TOO_LONG, f"a key of {length} bytes, and S3 takes {MAX_KEY_BYTES}")
    return None


NameCheck = Callable[[bytes, Standards], Refusal | None]
FolderCheck = Callable[[FolderFacts, Standards], Refusal | None]
FileCheck = Callable[[FileFacts, Standards], Refusal | None]
Matters = Callable[[Standards], bool]
"""Whether a rule could refuse anything under these standards; a scan asks a rule a million times, so it asks none in vain."""


def _always(_: Standards) -> bool:
    return True


BUCKET_RULES: tuple[tuple[str, NameCheck], ...] = (
    ("bucket_name", _bucket_name),
    ("bucket_not_listed", _bucket_not_listed),
)

FOLDER_RULES: tuple[tuple[str, NameCheck], ...] = (
    ("reserved_prefix", _reserved_folder),
    ("temporary_name", _temporary_folder),
    ("key_too_long", _long_folder),
)

KNOWN_RULES: tuple[tuple[str, FileCheck, Matters], ...] = (
    ("in_flight", _in_flight, lambda standards: standards.in_flight != frozenset()),
    ("unreleasable", _unreleasable, lambda standards: bool(standards.unreleasable)),
    ("exists", _exists, lambda standards: bool(standards.exists)),
    ("older_version_first", _older_version_first, _always),
)

REMOVAL_RULES: tuple[tuple[str, FolderCheck], ...] = (
    ("other_filesystem", _other_filesystem),
    ("immutable", _immutable),
    ("folder_not_writable", _folder_not_writable),
)

FILE_RULES: tuple[tuple[str, FileCheck, Matters], ...] = (
    ("regular_file", _regular_file, _always),
    ("temporary_name", _temporary_name, _always),
    ("key_too_long", _key_too_long, _always),
    ("key_not_utf8", _key_not_utf8, lambda standards: standards.utf8_only),
    ("folder_sticky", _folder_sticky, _always),
    ("unreadable", _unreadable, _always),
    ("larger_than_spool", _larger_than_spool, lambda standards: standards.max_size is not None),
    ("probably_partial", _probably_partial, lambda standards: standards.partial is not None),
    ("quiet", _quiet, _always),
)
