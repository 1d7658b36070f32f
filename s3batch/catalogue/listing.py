"""What every catalogue makes of keys in the order of their bytes: ranges, folders, and versions without their twins."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterable, Sequence

from s3batch.catalogue.contract import Entry, Listed
from s3sync import keys

_BEYOND_ALL_KEYS = b"\xff" * (keys.MAX_KEY_BYTES + 1)
_AFTER_SURROGATES = 0xE000
_SURROGATES = range(0xD800, _AFTER_SURROGATES)
_CODE_POINTS = range(0x110000)


def after_prefix(prefix: bytes) -> bytes:
    """Return the least key that is greater than every key beginning with `prefix`."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else _BEYOND_ALL_KEYS


def folder_of(key: bytes, prefix: bytes) -> bytes | None:
    """Return the folder directly below `prefix` that `key` lies in, or None where it lies in none."""
    slash = key.find(b"/", len(prefix))
    return None if slash < 0 else key[: slash + 1]


def up_to_folder(keys_found: Iterable[Sequence[Entry]], prefix: bytes) -> Generator[Listed, None, bytes | None]:
    """Yield keys (each its versions, newest first) as listed directly below `prefix`, up to the first folder and with it.

    Returns where to go on, behind everything in that folder, and None where there was none.
    """
    for versions in keys_found:
        newest = versions[0]
        folder = folder_of(newest.member.key, prefix)
        if folder is not None:
            yield Listed(folder, None, 0)
            return after_prefix(folder)
        yield Listed(newest.member.key, newest, len(versions))
    return None


def without_twins(newest_first: Iterable[Entry]) -> list[Entry]:
    """Leave out what a newer version repeats: same key (given), same bytes, same mtime, in the same bucket."""
    seen: set[tuple[str, str, int]] = set()
    kept = []
    for found in newest_first:
        twin = (found.bucket, found.member.sha256, found.member.mtime_ns)
        if twin not in seen:
            seen.add(twin)
            kept.append(found)
    return kept


def text_start(raw: bytes) -> str:
    """Return the longest beginning of `raw` that is text: every key that begins with `raw` is shown beginning with it."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return raw[: error.start].decode("utf-8")


def first_text(low: bytes) -> str | None:
    """Return the least text whose UTF-8 is not below `low`; None where there is none."""
    start = text_start(low)
    rest = low[len(start.encode()) :]
    if not rest:
        return start
    code_point = bisect_left(_CODE_POINTS, rest, key=lambda point: chr(point).encode("utf-8", "surrogatepass"))
    if code_point in _CODE_POINTS:
        return start + chr(_AFTER_SURROGATES if code_point in _SURROGATES else code_point)
    return _text_after(start)


def _text_after(text: str) -> str | None:
    """Return the least text that is greater than every text beginning with `text`."""
    kept = text.rstrip(chr(_CODE_POINTS[-1]))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(_AFTER_SURROGATES if following in _SURROGATES else following)
