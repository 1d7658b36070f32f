"""What a person means by WHAT: parse it, then look it up without ever guessing.

    s3://bucket/key                 the key's newest version (or the one of a moment, or all)
    s3://bucket/folder/             every key below the folder; `s3://bucket/` is the whole bucket
    s3://bucket/archive.tar         every member of that archive
    s3://bucket/archive.tar#key     that member of that archive, whichever version it is
    folder/report.pdf               a bare key, if only one bucket has it
    report.pdf                      a bare file name, if only one key ends in it
    folder/                         a bare folder, if only one bucket has it
    folder/archive.tar, ...#key     a bare archive: batch ids are unique
    base64:...                      wherever a key stands: a key that is not UTF-8

An exact key wins over a key that merely ends in the name. Anything that fits several keys comes back as candidates in a form
that can be typed as it stands. `#` may be part of a key, so only an archive that the catalogue knows is taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby

from s3batch.catalogue.contract import Entry, Lookup, Query
from s3batch.model import ArchiveRecord
from s3sync import keys
from s3sync.errors import Usage
from s3sync.times import rfc3339

SCHEME = "s3://"
MOST_CANDIDATES = 20
"""As many candidates as are worth showing; more are cut off and `Resolution.cut` says so."""
_PAGES_TO_READ = 4
"""How many pages of keys holding a bare name are read before giving up on telling whether it is unambiguous."""


class Kind(StrEnum):
    """The three shapes of WHAT."""

    OBJECT = "object"
    """A bucket and a key, an archive, or an archive and a key: the catalogue knows which."""
    PREFIX = "prefix"
    """Everything below a folder, of one bucket or of the only bucket that has it."""
    BARE = "bare"
    """A key or file name without its bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One WHAT, taken apart but not yet looked up."""

    text: str
    """As it was typed."""
    kind: Kind
    bucket: str | None
    key: bytes
    """The raw key or prefix; of an `archive.tar#key`, all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a target turned out to be: `entries`, or else `candidates` to choose from, or else nothing and `why`."""

    target: Target
    entries: tuple[Entry, ...] = ()
    """In key order, versions of one key newest first; of an archive, in the order they lie in it."""
    archive: ArchiveRecord | None = None
    """The archive, where the target names one (with or without a member)."""
    other_versions: int = 0
    """Versions of these keys that exist (no later than the moment asked for) and are not among the entries."""
    candidates: tuple[str, ...] = ()
    """Targets that can be typed instead."""
    cut: bool = False
    """There are more candidates than these."""
    why: str = ""
    """Where there are no entries: the reason, a phrase."""

    @property
    def ambiguous(self) -> bool:
        """Tell whether the target fits several keys."""
        return bool(self.candidates)


def parse(text: str) -> Target:
    """Return what `text` says.

    Raises `Usage` where it says nothing: empty, no bucket after `s3://`, or bad base64.
    """
    if text.startswith(SCHEME):
        bucket, _, rest = text.removeprefix(SCHEME).partition("/")
        if not bucket:
            raise Usage(keys.printable(text), "names no bucket", "Write s3://bucket/key")
        key = keys.parse(rest)
        return Target(text=text, kind=_kind(key, Kind.OBJECT), bucket=bucket, key=key)
    key = keys.parse(text)
    if not key:
        raise Usage("the empty name", "names nothing", "Write a key, a prefix ending in / or s3://bucket/key")
    return Target(text=text, kind=_kind(key, Kind.BARE), bucket=None, key=key)


def uri(bucket: str, key: bytes) -> str:
    """Return the target that names exactly this key of this bucket."""
    return f"{SCHEME}{bucket}/{keys.typed(key)}"


def member_uri(entry: Entry) -> str:
    """Return the target that names exactly this version: archive and key."""
    return f"{entry.archive.ref}#{keys.typed(entry.member.key)}"


def resolve(catalogue: Lookup, target: Target, as_of: datetime | None = None, *, all_versions: bool = False) -> Resolution:
    """Look `target` up: the newest version of each key (no later than `as_of`), or every version.

    An archive, with or without a member, is exact and heeds neither. Raises what the catalogue raises.
    """
    wish = _Wish(as_of, all_versions=all_versions)
    if target.kind is Kind.PREFIX:
        return _resolve_prefix(catalogue, target, wish)
    in_archive = _resolve_archive(catalogue, target)
    if in_archive is not None:
        return in_archive
    if target.bucket is None:
        return _resolve_bare(catalogue, target, wish)
    return _chosen(catalogue, target, target.bucket, target.key, wish)


def archive_of(catalogue: Lookup, target: Target) -> ArchiveRecord | None:
    """Return the archive that `target` names as a whole, or None where it names something else."""
    for archive_key, member in _archive_readings(target.key):
        if member is None:
            return _find_archive(catalogue, target, archive_key)
    return None


@dataclass(frozen=True, slots=True)
class _Wish:
    as_of: datetime | None
    all_versions: bool

    def choose(self, newest_first: list[Entry]) -> list[Entry]:
        return newest_first if self.all_versions else newest_first[:1]


def _kind(key: bytes, otherwise: Kind) -> Kind:
    return Kind.PREFIX if not key or key.endswith(b"/") else otherwise


def _resolve_archive(catalogue: Lookup, target: Target) -> Resolution | None:
    """Return the resolution where the target names an archive the catalogue knows, with or without `#key`."""
    for archive_key, member in _archive_readings(target.key):
        archive = _find_archive(catalogue, target, archive_key)
        if archive is not None:
            return _in_archive(catalogue, target, archive, member)
    return None


def _find_archive(catalogue: Lookup, target: Target, key: str) -> ArchiveRecord | None:
    buckets = [target.bucket] if target.bucket is not None else catalogue.buckets()
    return next((found for bucket in buckets if (found := catalogue.archive(bucket, key)) is not None), None)


def _in_archive(catalogue: Lookup, target: Target, archive: ArchiveRecord, member: str | None) -> Resolution:
    entries = catalogue.members(archive.ref.bucket, archive.ref.key)
    if member is not None:
        key = keys.parse(member)
        entries = (entry for entry in entries if entry.member.key == key)
    found = tuple(entries)
    why = "" if found else f"{archive.ref} has no such member"
    return Resolution(target=target, entries=found, archive=archive, why=why)


def _archive_readings(key: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield the ways to read `key` as an archive's key and, after a `#`, a member's key as it was typed."""
    if key.endswith(b".tar") and keys.is_utf8(key):
        yield key.decode("utf-8"), None
    at = key.find(b".tar#")
    while at >= 0:
        archive, member = key[: at + len(b".tar")], key[at + len(b".tar#") :]
        if keys.is_utf8(archive):
            yield archive.decode("utf-8"), member.decode("utf-8", "surrogateescape")
        at = key.find(b".tar#", at + 1)


def _chosen(catalogue: Lookup, target: Target, bucket: str, key: bytes, wish: _Wish) -> Resolution:
    versions = catalogue.versions(key, bucket, wish.as_of)
    chosen = wish.choose(versions)
    return Resolution(
        target=target,
        entries=tuple(chosen),
        other_versions=len(versions) - len(chosen),
        why="" if chosen else _why_nothing(catalogue.versions(key, bucket)),
    )


def _why_nothing(versions: Iterable[Entry]) -> str:
    first = min((entry.archive.created for entry in versions), default=None)
    return "the catalogue has no such key" if first is None else f"its first version was archived at {rfc3339(first)}"


def _resolve_prefix(catalogue: Lookup, target: Target, wish: _Wish) -> Resolution:
    buckets = [target.bucket] if target.bucket is not None else catalogue.buckets()
    holding = [bucket for bucket in buckets if next(catalogue.below(bucket, target.key), None) is not None]
    if not holding:
        return Resolution(target=target, why="the catalogue has no key below it")
    if len(holding) > 1:
        return _ambiguous(target, [uri(bucket, target.key) for bucket in holding])
    entries: list[Entry] = []
    others = 0
    below = catalogue.below(holding[0], target.key, wish.as_of, every_version=True)
    for _, group in groupby(below, key=lambda entry: entry.member.key):
        versions = list(group)
        chosen = wish.choose(versions)
        entries.extend(chosen)
        others += len(versions) - len(chosen)
    why = "" if entries else "everything below it was archived later"
    return Resolution(target=target, entries=tuple(entries), other_versions=others, why=why)


def _resolve_bare(catalogue: Lookup, target: Target, wish: _Wish) -> Resolution:
    versions = catalogue.versions(target.key)
    if not versions:
        return _resolve_name(catalogue, target, wish)
    buckets = sorted({entry.bucket for entry in versions})
    if len(buckets) > 1:
        return _ambiguous(target, [uri(bucket, target.key) for bucket in buckets])
    return _chosen(catalogue, target, buckets[0], target.key, wish)


def _resolve_name(catalogue: Lookup, target: Target, wish: _Wish) -> Resolution:
    """Take a bare name for the last part of a key, where only one key ends in it."""
    fitting, exhausted = _keys_named(catalogue, target.key)
    if not fitting:
        why = "the catalogue has no such key" if exhausted else "no key near the top of the search ends in it"
        return Resolution(target=target, why=why)
    if len(fitting) > 1 or not exhausted:
        found = _ambiguous(target, sorted(uri(bucket, key) for bucket, key in fitting))
        return replace(found, cut=found.cut or not exhausted)
    bucket, key = fitting.pop()
    return _chosen(catalogue, target, bucket, key, wish)


def _keys_named(catalogue: Lookup, name: bytes) -> tuple[set[tuple[str, bytes]], bool]:
    """Return the keys whose last parts are `name`, and whether the search came to its end."""
    found: set[tuple[str, bytes]] = set()
    ending = b"/" + name
    query = Query(words=(keys.display(name),), limit=500)
    for _ in range(_PAGES_TO_READ):
        page = catalogue.find(query)
        found.update((entry.bucket, entry.member.key) for entry in page.entries if entry.member.key.endswith(ending))
        if page.next is None:
            return found, True
        if len(found) > MOST_CANDIDATES:
            break
        query = replace(query, after=page.next)
    return found, False


def _ambiguous(target: Target, names: list[str]) -> Resolution:
    return Resolution(
        target=target,
        candidates=tuple(names[:MOST_CANDIDATES]),
        cut=len(names) > MOST_CANDIDATES,
        why="it fits several keys",
    )
