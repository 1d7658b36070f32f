r"""Object keys as bytes, and how they are shown.

A key comes from file names, and a file name on Linux is any bytes but NUL and `/`. Inside, a key is always `bytes`. Where text
is needed (JSON, the catalogue, a terminal) a UTF-8 key is itself, and any other key is shown with its odd bytes as `\xNN` and
backslashes doubled, with the raw bytes in base64 beside it; `base64:...` is how a person types such a key.
"""

from __future__ import annotations

import base64
import binascii

from s3sync.errors import Usage

MAX_KEY_BYTES = 1024
"""S3's limit on an object key in UTF-8 (User Guide, object keys)."""

RESERVED_PREFIX = b"s3-batch/"
"""Keys below this are ours (manifests); a drop there is refused."""

BASE64_MARK = "base64:"


def is_utf8(raw: bytes) -> bool:
    """Tell whether `raw` can be an S3 key and a JSON string as it stands."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def display(raw: bytes) -> str:
    """Return `raw` as text: itself where it is UTF-8, otherwise escaped so that it can be read back by eye."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def to_base64(raw: bytes) -> str | None:
    """Return the raw bytes in base64 where the key is not UTF-8, and None where its text says it all."""
    return None if is_utf8(raw) else base64.b64encode(raw).decode("ascii")


def from_text(text: str, key_base64: str | None = None) -> bytes:
    """Return the raw key of a stored pair of text and optional base64.

    Raises `Usage` where the base64 is not base64.
    """
    if key_base64 is None:
        return text.encode("utf-8")
    try:
        return base64.b64decode(key_base64, validate=True)
    except binascii.Error as error:
        raise Usage(printable(text), "its key_base64 is not base64", "Correct the document it came from") from error


def parse(typed: str) -> bytes:
    """Return the raw key a person typed: `base64:...` or the text itself (undecodable arguments arrive surrogate-escaped)."""
    if typed.startswith(BASE64_MARK):
        return from_text(typed, typed.removeprefix(BASE64_MARK))
    return typed.encode("utf-8", "surrogateescape")


def typed(raw: bytes) -> str:
    """Return what a person types to name `raw`; the inverse of `parse`. What would not survive being copied is base64."""
    if is_utf8(raw) and (text := raw.decode("utf-8")).isprintable() and not text.startswith(BASE64_MARK):
        return text
    return BASE64_MARK + base64.b64encode(raw).decode("ascii")


def printable(text: str) -> str:
    """Return `text` with everything a terminal or a log line could act on escaped: names are somebody else's text."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii") for char in text
    )
