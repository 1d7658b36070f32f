"""Where members go: below a local folder or below a prefix in S3, always as `<bucket>/<key>`. Pure but for one `realpath`.

Keys and bucket names come from a catalogue and thus from whoever dropped the files: as places on a disk they are refused,
never repaired, where a component could lead elsewhere. In S3 a key is only a name; there the reserved prefix is refused, since
a forged manifest could be delivered to it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from s3sync import keys
from s3sync.errors import Permanent, Usage
from s3sync.keys import MAX_KEY_BYTES, RESERVED_PREFIX

SCHEME = "s3://"
MAX_COMPONENT_BYTES = 255
"""Of a file name, on every filesystem of Linux in common use."""
_LEAVE = "Restore it to s3:// instead, or fetch it with the lines of `s3batch show`"


@dataclass(frozen=True, slots=True)
class Folder:
    """A local folder: absolute, raw bytes, without symbolic links when it was named; it need not exist yet."""

    path: bytes

    def __str__(self) -> str:
        """Return the path for people."""
        return keys.display(self.path)

    def stored(self) -> bytes:
        """Return it as the journal keeps it."""
        return self.path


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix in a bucket: empty, or ending in `/`."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        """Return the `s3://` form."""
        return f"{SCHEME}{self.bucket}/{self.prefix}"

    def stored(self) -> bytes:
        """Return it as the journal keeps it."""
        return str(self).encode()


Destination = Folder | Prefix


def parse(text: str) -> Destination:
    """Return the destination a person typed; a folder is made absolute and its symbolic links are followed once, now.

    Raises `Usage` (no bucket, a bad prefix, an empty name, something that is not a folder).
    """
    if text.startswith(SCHEME):
        return _prefix(text)
    if not text or "\0" in text:
        raise Usage(repr(text), "is no folder", "Name a folder, or s3://bucket/prefix")
    path = os.path.realpath(os.fsencode(text))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise Usage(keys.printable(text), "is not a folder", "Name a folder; members are laid out below it as bucket/key")
    return Folder(path)


def from_stored(stored: bytes) -> Destination:
    """Return the destination the journal keeps; the inverse of `stored()`."""
    return Folder(stored) if stored.startswith(b"/") else _prefix(stored.decode())


def is_below(folder: Folder, root: str) -> bool:
    """Tell whether `folder` is `root` or lies beneath it, symbolic links of `root` followed."""
    above = os.path.realpath(os.fsencode(root))
    return folder.path == above or folder.path.startswith(above.rstrip(b"/") + b"/")


def place(bucket: str, key: bytes, *, version: str | None = None) -> bytes:
    """Return where a member goes below its destination; versions beside each other get a folder of their own."""
    plain = bucket.encode() + b"/" + key
    return plain if version is None else version.encode() + b"/" + plain


def components(relative: bytes) -> list[bytes]:
    """Return the components of a place, each a name that stays where it is put.

    Raises `Permanent` naming the first that does not.
    """
    if b"\0" in relative:
        raise _refused(relative, "holds a NUL byte, which no file name can")
    parts = relative.split(b"/")
    for part in parts:
        wrong = _wrong_with(part)
        if wrong:
            raise _refused(relative, wrong)
    return parts


def object_key(prefix: Prefix, relative: bytes) -> str:
    """Return the object key of a place below `prefix`.

    Raises `Permanent` where S3 could not store it, or where it is reserved.
    """
    if not keys.is_utf8(relative):
        raise Permanent(keys.printable(keys.display(relative)), "is not UTF-8, as S3 keys must be", "Restore it to a folder")
    key = prefix.prefix + relative.decode()
    if len(key.encode()) > MAX_KEY_BYTES:
        raise Permanent(keys.printable(key), f"is longer than {MAX_KEY_BYTES} bytes", "Choose a shorter prefix, or a folder")
    if key.encode().startswith(RESERVED_PREFIX):
        raise Permanent(keys.printable(key), f"lies below the reserved {RESERVED_PREFIX.decode()}", "Choose another prefix")
    return key


def _wrong_with(part: bytes) -> str:
    if not part:
        return "has an empty component (a leading, trailing or doubled slash)"
    if part in {b".", b".."}:
        return f"has a component {part.decode()!r}, which is no name"
    if len(part) > MAX_COMPONENT_BYTES:
        return f"has a component longer than {MAX_COMPONENT_BYTES} bytes"
    return ""


def _refused(relative: bytes, wrong: str) -> Permanent:
    return Permanent(keys.printable(keys.display(relative)), f"cannot be a file: it {wrong}", _LEAVE)


def _prefix(text: str) -> Prefix:
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise Usage(keys.printable(text), "names no bucket", "Write s3://bucket/prefix")
    if not keys.is_utf8(os.fsencode(text)):
        raise Usage(keys.printable(text), "is not UTF-8, as S3 keys must be", "Choose another prefix")
    ended = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    if ended.encode().startswith(RESERVED_PREFIX):
        raise Usage(keys.printable(text), f"lies below the reserved {RESERVED_PREFIX.decode()}", "Choose another prefix")
    return Prefix(bucket, ended)
