"""Which files are probably partial: uploads a server's log calls broken off, and nothing says they were finished since.

A log names a file as its client saw it, from inside a chroot. A file of the drop zone is that one where its path ends as the
logged path does; where there are bytes to compare, the first folder of the logged path may be called differently (what is
mounted into a chroot need not keep its name), and where nobody is in a chroot the logged path may be the whole one. Several
customers may use one name, so that alone proves nothing: the file must also have the very size at which the upload broke off,
and have been written last before it did, and not long before.

An upload that was resumed and broke off again counts what each part wrote; the sizes that fit are the sums of the last parts.
Evidence goes when a transfer to the same path by the same user ends well, follows a rename, and stops to fit by itself as soon
as anybody writes to the file. What is remembered is bounded: the oldest goes first.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from s3sync.dropzone.evidence import Event, Renamed, Server, Transfer, blurred
from s3sync.times import rfc3339_ns

MOST_REMEMBERED = 20_000
MOST_PARTS = 16
"""How often one upload may break off and be resumed before the earliest part is forgotten."""

STALLED_NS = 2 * 24 * 3600 * 10**9
"""How long before it is noticed a connection may have been dead: nothing was written any more by then."""

SLACK_NS = 60 * 10**9
"""How much later than the log says it a file may have been written: logs round down, and other hosts' clocks differ."""


class Key(NamedTuple):
    """Which upload: who wrote which path, in the words of which server."""

    server: Server
    user: bytes
    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """An upload that broke off, once or several times in a row."""

    key: Key
    parts: tuple[int, ...]
    """What each attempt wrote, in bytes, the last one last."""
    at_ns: tuple[int, ...]
    """When the last attempt ended; several where the log leaves it open."""

    @property
    def sizes(self) -> frozenset[int]:
        """The sizes a file may have that was left like this."""
        return frozenset(accumulate(reversed(self.parts)))

    @property
    def detail(self) -> str:
        """What the log said, for people."""
        when = " or ".join(rfc3339_ns(at) for at in self.at_ns)
        who = f" by {self.key.user.decode('utf-8', 'backslashreplace')}" if self.key.user else ""
        return f"the {self.key.server} log says that its upload{who} broke off at {when} after {self.parts[-1]} bytes"

    def fits(self, path: bytes, size: int, mtime_ns: int) -> bool:
        """Tell whether the file at `path` (`<bucket>/<key>`), with its size and time in this state, is what was left."""
        if size not in self.sizes or not any(at - STALLED_NS <= mtime_ns <= at + SLACK_NS for at in self.at_ns):
            return False
        logged = posixpath.normpath(b"/" + self.key.path).lstrip(b"/")
        if self.key.server.exact:
            return _same_file(path, logged, strictly=size == 0)
        return _same_file(blurred(path), blurred(logged), strictly=size == 0)


class BrokenUploads:
    """All that is known to have broken off. Not for several threads at once."""

    def __init__(self, known: Iterable[Broken] = (), *, most: int = MOST_REMEMBERED) -> None:
        """Begin with `known`, the oldest first."""
        self._most = most
        self._broken: dict[Key, Broken] = {}
        self._by_name: dict[bytes, dict[Key, None]] = {}
        """The same by the blurred last component of the path."""
        self._changed: set[Key] = set()
        self._kept: set[Key] = set()
        """What whoever asks for `changes` has been told of and not been told to forget."""
        for one in known:
            self._put(one)
        self.changes()

    def __len__(self) -> int:
        return len(self._broken)

    def __iter__(self) -> Iterator[Broken]:
        return iter(self._broken.values())

    def learn(self, event: Event) -> None:
        """Take in what a log says, in the order it says it."""
        if isinstance(event, Renamed):
            self._renamed(event)
        elif event.complete:
            self._complete(event)
        else:
            self._broke_off(event)

    def changes(self) -> dict[Key, Broken | None]:
        """Return what is new or different since this was last asked, None for what is forgotten."""
        changes = {key: self._broken.get(key) for key in self._changed}
        self._changed.clear()
        self._kept = set(self._broken)
        return changes

    def suspects(self, name: bytes) -> bool:
        """Tell whether anything is known of files of this name."""
        return bool(self._by_name) and blurred(name) in self._by_name

    def standing(self, path: bytes, size: int, mtime_ns: int) -> str | None:
        """Return what speaks against the file at `path` (`<bucket>/<key>`), or None."""
        keys = self._by_name.get(blurred(path[path.rfind(b"/") + 1 :]))
        if keys is None:
            return None
        found = (self._broken[key] for key in keys)
        return next((one.detail for one in found if one.fits(path, size, mtime_ns)), None)

    def _broke_off(self, event: Transfer) -> None:
        key = Key(event.server, event.user, event.path)
        before = self._broken.get(key)
        parts = (*(before.parts if before else ()), event.written)[-MOST_PARTS:]
        self._put(Broken(key=key, parts=parts, at_ns=event.at_ns))

    def _complete(self, event: Transfer) -> None:
        for key in self._same_upload(event.server, event.user, event.path):
            self._forget(key)

    def _renamed(self, event: Renamed) -> None:
        for old, new in event.pairs:
            for key in self._same_upload(event.server, event.user, old):
                one = self._broken[key]
                self._forget(key)
                self._put(replace(one, key=key._replace(path=new)))

    def _same_upload(self, server: Server, user: bytes, path: bytes) -> list[Key]:
        """Return what broke off at exactly this path; who did it is compared as far as the log says it."""
        keys = self._by_name.get(_name(path), ())
        return [
            key for key in keys if key.server is server and key.path == path and (key.user == user or not (key.user and user))
        ]

    def _put(self, one: Broken) -> None:
        self._forget(one.key)
        self._broken[one.key] = one
        self._by_name.setdefault(_name(one.key.path), {})[one.key] = None
        self._changed.add(one.key)
        if len(self._broken) > self._most:
            self._forget(next(iter(self._broken)))

    def _forget(self, key: Key) -> None:
        if self._broken.pop(key, None) is None:
            return
        (self._changed.add if key in self._kept else self._changed.discard)(key)
        keys = self._by_name[_name(key.path)]
        del keys[key]
        if not keys:
            del self._by_name[_name(key.path)]


def _name(path: bytes) -> bytes:
    return blurred(path.rstrip(b"/").rpartition(b"/")[2])


def _same_file(path: bytes, logged: bytes, *, strictly: bool) -> bool:
    """Tell whether a path of the drop zone and one of a log may name one file; `strictly` every logged folder is compared."""
    whole, in_log = b"/" + path, b"/" + logged
    if whole.endswith(in_log) or in_log.endswith(whole):
        return True
    below = logged.partition(b"/")[2]
    return not strictly and below != b"" and whole.endswith(b"/" + below)
