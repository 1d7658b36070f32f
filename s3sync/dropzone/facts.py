"""What is known of a folder and of a file in it: everything the rules may judge by, from one look each."""

from __future__ import annotations

from dataclasses import dataclass
from os import stat_result
from typing import NamedTuple, Protocol

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.reasons import Refusal
from s3sync.dropzone.zone import Rights


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """What is known of one folder; every file in it is judged with it."""

    bucket: str
    path: bytes
    """Where it lies, as `Candidate.path` says it, with a trailing slash."""
    prefix: bytes
    """What the keys of its files begin with; empty in the bucket folder itself."""
    rights: Rights
    owner: int
    """The folder's uid."""
    sticky: bool
    writable: bool
    """Names may be removed from it by us, as far as its mode and mount go."""
    pinned: bool
    """Marked immutable or append-only."""
    quarantine: Refusal | None
    """Why the quarantine cannot be reached, or None."""
    leases: bool
    """The filesystem knows leases."""


class FileFacts(NamedTuple):
    """What is known of one file, from one look at it. A tuple because a scan makes millions of them."""

    folder: FolderFacts
    name: bytes
    key: bytes
    path: bytes
    stat: stat_result
    """Of the name itself: links are not followed."""
    readable: bool
    older: bool
    """An older file of the same key waits in quarantine."""

    @property
    def identity(self) -> Identity:
        """The file's state when it was looked at."""
        return Identity.of(self.stat)

    @property
    def leased(self) -> bool:
        """Whether a lease can tell if anybody writes it."""
        rights = self.folder.rights
        return self.folder.leases and (rights.leases_all or rights.uid == self.stat.st_uid)

    def remaining_ns(self, quiet: QuietClock) -> int:
        """Return how long it has to rest still, by a clock that takes note of it."""
        seen = self.stat
        return quiet.remaining_ns((seen.st_dev, seen.st_ino), seen.st_ctime_ns, leased=self.leased)


class BrokenOff(Protocol):
    """Knows which uploads broke off."""

    def suspects(self, name: bytes, /) -> bool:
        """Tell whether anything is known of files of this name; where not, nothing speaks against any of them."""

    def standing(self, file: FileFacts, /) -> str | None:
        """Return what speaks for the file being partial, or None."""
