"""A short cut through the rules: most files of most folders are plainly finished, and one look says so. Pure."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from os import stat_result

from s3sync.dropzone.facts import FolderFacts
from s3sync.dropzone.rules import Standards
from s3sync.keys import MAX_KEY_BYTES

_KIND = 0o170000
"""The bits of a mode that say what kind of thing it is (inode(7))."""

Glance = Callable[[bytes, stat_result], bool]
"""Tells of a file's name and `lstat` whether no rule can refuse it; False says nothing."""


def glance(folder: FolderFacts, standards: Standards) -> Glance | None:
    """Return a test that most finished files of `folder` pass at once, so that a scan need not ask them rule by rule.

    None where something is known that only the rules weigh. What it passes no rule for files refuses; a test tries that on all
    it can think of.
    """
    known = standards.unreleasable or standards.exists or standards.partial is not None
    rights = folder.rights
    if known or standards.utf8_only or (folder.sticky and not (rights.owns_all or rights.uid == folder.owner)):
        return None
    longest = MAX_KEY_BYTES - len(folder.prefix)
    largest = sys.maxsize if standards.max_size is None else standards.max_size
    before_ns = standards.quiet.surely_quiet_ns
    readable = 0 if rights.reads_all else stat.S_IROTH
    looked_at, plain = _KIND | readable, stat.S_IFREG | readable
    temporary, in_flight, path = standards.temporary_pattern.match, standards.in_flight, folder.path

    def passes(name: bytes, seen: stat_result) -> bool:
        return (
            seen.st_mode & looked_at == plain
            and seen.st_ctime_ns < before_ns
            and seen.st_size <= largest
            and len(name) <= longest
            and temporary(name) is None
            and path + name not in in_flight
        )

    return passes
