"""Addresses, as people write them and as they are shown again: what may be a secret in them is not shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from s3sync.quantities import whole_reader


def read_host(value: object) -> str:
    """Return a host's name or address. Raises `ValueError`."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", value):
        raise ValueError(value)
    return value


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(value: object) -> Address:
    """Return what `127.0.0.1:9477` or `[::1]:9477` means. Raises `ValueError`."""
    host, colon, port = str(value).strip().rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if isinstance(value, bool) or not colon or not bare or (":" in bare) != (host != bare):
        raise ValueError(value)
    return Address(read_host(bare), whole_reader(1, 65535)(port))


def read_url(value: object) -> str:
    """Return a URL of HTTP without a slash at its end. Raises `ValueError` or `TypeError`."""
    if not isinstance(value, str):
        raise TypeError(value)
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or not value.isprintable():
        raise ValueError(value)
    if parts.port == 0 or parts.netloc.endswith(":"):  # nothing behind it: a URL within a URL looks like that
        raise ValueError(value)
    return value.rstrip("/")


def show_url(value: object) -> str:
    """Return a URL without the name and password it may hold."""
    parts = urlsplit(str(value))
    secret, at, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"***@{place}").geturl() if at and secret else str(value)


def read_channels(value: object) -> tuple[str, ...]:
    """Return whom to tell, separated by commas. Raises `ValueError` or `TypeError`."""
    # A comma may be part of an address; only one before another address parts them.
    words = re.split(r",\s*(?=arn:|[a-z0-9]+://)", value.strip()) if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not words:
        raise TypeError(value)
    if not all(isinstance(word, str) and re.fullmatch(r"(arn:aws[a-z-]*:sns:\S+|[a-z0-9]+://\S+)", word) for word in words):
        raise ValueError(value)
    return tuple(dict.fromkeys(words))


def show_channels(value: object) -> str:
    """Return channels without what may be a secret in them: of an address only its kind, and of a webhook its host."""
    return ",".join(_shown_channel(each) for each in value) if isinstance(value, tuple | list) else _shown_channel(str(value))


def _shown_channel(address: str) -> str:
    if address.startswith("arn:"):
        return address
    kind, _, rest = address.partition("://")
    host = rest.rpartition("@")[2].partition("/")[0] if kind in {"http", "https"} else ""
    return f"{kind}://{host}/***" if host else f"{kind}://***"


def read_urls(value: object) -> tuple[str, ...]:
    """Return one URL or several, separated by commas. Raises `ValueError` or `TypeError`."""
    # A comma may be part of a password; only one before another URL parts them.
    words = re.split(r",\s*(?=https?://)", value.strip()) if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not words:
        raise TypeError(value)
    return tuple(read_url(word) for word in words)


def show_urls(value: object) -> str:
    """Return URLs without the names and passwords they may hold."""
    return ",".join(show_url(url) for url in value) if isinstance(value, tuple | list) else show_url(value)


def read_fingerprint(value: object) -> str:
    """Return a SHA-256 in lower-case digits. Raises `ValueError`."""
    digits = str(value).replace(":", "").strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ValueError(value)
    return digits
