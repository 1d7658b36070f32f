"""A short cut through the rules: most files are plainly finished or plainly young, and one look says so. Pure."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from enum import Enum, auto
from os import stat_result

from s3sync.dropzone.facts import FolderFacts
from s3sync.dropzone.rules import Standards
from s3sync.keys import MAX_KEY_BYTES, is_utf8

_KIND = 0o170000
"""The bits of a mode that say what kind of thing it is (inode(7))."""

_NOBODY = -1


class Sight(Enum):
    """What one look at a file's name and `lstat` says."""

    FINISHED = auto()
    """No rule for files refuses it."""
    YOUNG = auto()
    """The quiet period refuses it, and no other rule."""
    UNSURE = auto()
    """Nothing: the rules have to be asked."""


Glance = Callable[[bytes, stat_result], Sight]


def glance(folder: FolderFacts, standards: Standards) -> Glance | None:
    """Return what tells most files of `folder` apart at once, so that a scan need not ask them rule by rule.

    None where only the rules can tell them apart. What it says of a file the rules say too; a test tries that on all it can
    think of.
    """
    rights = folder.rights
    if folder.sticky and not (rights.owns_all or rights.uid == folder.owner):
        return None
    ascii_only = standards.utf8_only
    if ascii_only and not is_utf8(folder.prefix):
        return None
    longest = MAX_KEY_BYTES - len(folder.prefix)
    largest = sys.maxsize if standards.max_size is None else standards.max_size
    before_ns = standards.quiet.surely_quiet_ns
    young_from_ns, young_to_ns = standards.quiet.surely_young_ns
    # Young files are told together, so all of them rest equally long: with leases for some, those are left to the rules.
    leased = rights.uid if folder.leases and not rights.leases_all else _NOBODY
    readable = 0 if rights.reads_all else stat.S_IROTH
    looked_at, plain = _KIND | readable, stat.S_IFREG | readable
    temporary, path = standards.temporary_pattern.match, folder.path
    in_flight, unreleasable, exists = standards.in_flight, standards.unreleasable, standards.exists
    known = bool(unreleasable or exists)
    suspects = None if standards.partial is None else standards.partial.suspects
    finished, young, unsure = Sight.FINISHED, Sight.YOUNG, Sight.UNSURE

    def look(name: bytes, seen: stat_result) -> Sight:
        if (
            seen.st_mode & looked_at != plain
            or seen.st_size > largest
            or len(name) > longest
            or temporary(name) is not None
            or path + name in in_flight
            or (known and (path + name in unreleasable or path + name in exists))
            or (ascii_only and not name.isascii())
            or (suspects is not None and suspects(name))
        ):
            return unsure
        ctime_ns = seen.st_ctime_ns
        if ctime_ns < before_ns:
            return finished
        return young if young_from_ns < ctime_ns <= young_to_ns and seen.st_uid != leased else unsure

    return look


class Young:
    """Files of one folder that a glance called young, as far as anybody asks about them."""

    __slots__ = ("bytes", "files", "name", "seen")

    def __init__(self, name: bytes, seen: stat_result) -> None:
        """Begin with one."""
        self.files = 1
        self.bytes = seen.st_size
        self.name, self.seen = name, seen
        """Of the one that will be quiet first."""

    def add(self, name: bytes, seen: stat_result) -> None:
        """Take in another."""
        self.files += 1
        self.bytes += seen.st_size
        if seen.st_ctime_ns < self.seen.st_ctime_ns:
            self.name, self.seen = name, seen
