"""The short way to S3 for the two requests that every small file takes: its PUT, and the HEAD that proves it.

botocore makes a request out of models, rules and hooks, and takes longer for it than everything else that happens to a small
file. What it writes for one file of a bucket is what it wrote for the one before, but for a few headers. So the first request
of each kind to a bucket goes by botocore, and is looked at as it leaves: where we would have written the very same, address,
headers and signature, we write the next ones ourselves. Whatever is special about a bucket (another way of signing, a header we
do not know, a proxy for plain http) makes a difference, and its requests go by botocore for good.

A reply that is not plainly a success, or that an object is in the way, is none: the request goes by botocore, which asks again
and knows what to make of the answer, redirects and retries included, and what was learnt is forgotten. That is what becomes of
a lost reply as well: a PUT that is repeated can find its own success in the way, as any retry can. Credentials, proxies and
certificates are botocore's own in every request, and so is the connection until it is open.

The HEAD follows its PUT without waiting for the reply, which saves one of two journeys. HTTP/1.1 allows it (RFC 9112, 9.3.2: a
PUT is idempotent, and what follows it on a connection is not carried out before it), and not every server takes it. Nothing
rests on it: a reply that does not describe what was stored, whyever, is as good as none, and the object is looked at again.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import gmtime, monotonic, strftime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from s3sync.store.contract import ObjectRef, Payload
from s3sync.store.section import Section, Stopping
from s3sync.store.sigv4 import UNSIGNED_PAYLOAD, Keys, Scope, authorization
from s3sync.store.wire import Asked, Dial, Reply, Wires

SMALL_BYTES = 1 << 20
"""Up to this size a body is held in memory and sent with its headers; above it the bytes outweigh the request."""

APART_SECONDS = 300.0
"""How long a server that did not answer two requests is sent one at a time. One that closes its connection with the second
unread may take its first reply back with it, and then its PUT is asked again."""

_AS_LEARNT = frozenset(
    {"host", "user-agent", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-mode", "x-amz-expected-bucket-owner"}
)
"""Headers that are the same in every request of a kind to a bucket."""
_OF_NO_MATTER = frozenset({"expect", "amz-sdk-invocation-id", "amz-sdk-request"})
"""What botocore sends besides, to be told whether to go on and for AWS's statistics."""
_AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, .*")
_DOTTED = frozenset({"", ".", ".."})


class Sent(NamedTuple):
    """A request as botocore sends it."""

    method: str
    url: str
    headers: Mapping[str, str]


class Wish(NamedTuple):
    """One request as far as it differs from others of its kind to the same bucket; header names in lower case."""

    method: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    body: bytes


def wish_to_put(ref: ObjectRef, payload: Payload, if_match: str | None, stopping: Stopping) -> Wish | None:
    """Return what is asked to store a small payload, None for one that is not small. Raises `Halted`, `OSError`."""
    if payload.size > SMALL_BYTES:
        return None
    body = Section(payload.fd, offset=0, size=payload.size, stopping=stopping).read()
    headers = {
        "content-length": str(len(body)),
        "content-type": payload.content_type,
        "x-amz-checksum-crc64nvme": payload.crc64nvme,
        "x-amz-storage-class": payload.storage_class.value,
        **{f"x-amz-meta-{name.lower()}": value for name, value in payload.metadata.items()},
        **({"if-none-match": "*"} if if_match is None else {"if-match": if_match}),
    }
    if payload.content_encoding is not None:
        headers["content-encoding"] = payload.content_encoding
    return Wish("PUT", ref.bucket, ref.key, headers, body)


def wish_to_head(ref: ObjectRef) -> Wish | None:
    """Return what is asked to look at the current version of an object, None for another version."""
    return None if ref.version_id is not None else Wish("HEAD", ref.bucket, ref.key, {}, b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """How one kind of request to one bucket is written."""

    origin: str
    prefix: str
    """Of the path, before the key."""
    scope: Scope
    hashed: bool
    """Whether the body's SHA-256 is signed."""
    as_learnt: Mapping[str, str]

    def path(self, key: str) -> str:
        """Return the path of an object's URL, quoted."""
        return self.prefix + quote(key, safe="/~")

    def headers(self, wish: Wish, path: str, keys: Keys, moment: str) -> dict[str, str]:
        """Return all headers of the request for `path`, signed as of `moment`."""
        headers = {**self.as_learnt, **wish.headers}
        agent = headers.pop("user-agent", None)
        headers["x-amz-date"] = moment
        headers["x-amz-content-sha256"] = hashlib.sha256(wish.body).hexdigest() if self.hashed else UNSIGNED_PAYLOAD
        if keys.token is not None:
            headers["x-amz-security-token"] = keys.token
        headers["authorization"] = authorization(wish.method, path, headers, keys, self.scope)
        if agent is not None:
            headers["user-agent"] = agent
        return headers

    def rendered(self, wish: Wish, keys: Keys, moment: str) -> bytes | None:
        """Return the request as it goes over the wire; None where something in it cannot go as it is."""
        if not _DOTTED.isdisjoint(wish.key.split("/")):
            return None  # what lies between here and S3 may shorten such a path
        path = self.path(wish.key)
        headers = self.headers(wish, path, keys, moment)
        values = "".join(headers.values())
        if not (values.isascii() and values.isprintable()):
            return None
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return f"{wish.method} {path} HTTP/1.1\r\n{lines}accept-encoding: identity\r\n\r\n".encode() + wish.body


def learnt(wish: Wish, sent: Sent, keys: Keys) -> Pattern | None:
    """Return the pattern by which we would have written `sent` ourselves, to the letter; None where there is none."""
    url, key = urlsplit(sent.url), quote(wish.key, safe="/~")
    headers = {name: value for name, value in sent.headers.items() if name not in _OF_NO_MATTER}
    signed = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if signed is None or not url.path.endswith(f"/{key}"):
        return None
    pattern = Pattern(
        origin=f"{url.scheme}://{url.netloc}",
        prefix=url.path.removesuffix(key),
        scope=Scope(signed["region"], signed["service"]),
        hashed=headers.get("x-amz-content-sha256") != UNSIGNED_PAYLOAD,
        as_learnt={name: value for name, value in headers.items() if name in _AS_LEARNT},
    )
    same = pattern.headers(wish, url.path, keys, headers.get("x-amz-date", "")) == headers
    return pattern if same and pattern.origin + pattern.path(wish.key) == sent.url and sent.method == wish.method else None


class ShortWay:
    """Makes requests by what it has learnt. May be used from several threads."""

    def __init__(self, keys: Callable[[], Keys | None], dial: Dial) -> None:
        """Sign with the `keys` of the moment (None where there are none), over connections opened by `dial`."""
        self._keys = keys
        self._wires = Wires(dial)
        self._patterns: dict[tuple[str, str], Pattern] = {}
        self._here = threading.local()
        self._apart_until: dict[str, float] = {}
        """By origin: until when no second request is sent before the first is answered."""

    def close(self) -> None:
        """Close the connections."""
        self._wires.close()

    def ask(self, wish: Wish | None) -> Reply | None:
        """Return a reply that says it is done, or that an object is in the way (412).

        None is returned where the request is to go by botocore, whether or not it went this way too.
        """
        return self.ask_in_one(wish, None)[0]

    def ask_in_one(self, wish: Wish | None, then: Wish | None) -> tuple[Reply | None, Reply | None]:
        """Ask for `wish` and, without waiting for its reply, for `then`; return the replies, each as `ask` does.

        `wish` is asked for alone where `then` is to go by botocore, and where the server was seen not to take a second request
        before it answered the first.
        """
        first = self._rendered(wish)
        if wish is None or first is None:
            return None, None
        second = None if monotonic() < self._apart_until.get(first[0], 0.0) else self._rendered(then)
        if then is None or second is None or second[0] != first[0]:
            return self._judged(wish, self._wires.exchange(*first)), None
        replies = self._wires.exchange(*first, second[1])
        done = self._judged(wish, replies[:1])
        if len(replies) < 2:  # noqa: PLR2004 - as many as were asked
            self._apart_until[first[0]] = monotonic() + APART_SECONDS
        return done, self._judged(then, replies[1:]) if replies[1:] else None

    def _rendered(self, wish: Wish | None) -> tuple[str, Asked] | None:
        """Return a request and whereto it goes; None where it is to go by botocore."""
        pattern = None if wish is None else self._patterns.get((wish.method, wish.bucket))
        keys = None if pattern is None else self._keys()
        if wish is None or pattern is None or keys is None:
            return None
        request = pattern.rendered(wish, keys, _moment())
        return None if request is None else (pattern.origin, Asked(request, bodyless=wish.method == "HEAD"))

    def _judged(self, wish: Wish, replies: Sequence[Reply]) -> Reply | None:
        """Return the reply where it is plain; forget what was learnt where it is not."""
        # A success with a body may be a failure by what it says. Unread is a body too long to be nothing.
        for reply in replies:
            if reply.status == HTTPStatus.PRECONDITION_FAILED or (reply.status, reply.body) == (HTTPStatus.OK, b""):
                return reply
        self._patterns.pop((wish.method, wish.bucket), None)
        return None

    @contextmanager
    def watching(self, wish: Wish | None) -> Iterator[None]:
        """Learn from the request that botocore makes for `wish` in the block, if it succeeds."""
        self._here.sent = None
        yield
        sent: Sent | None = self._here.sent
        keys = None if wish is None or sent is None else self._keys()
        if wish is None or sent is None or keys is None:
            return
        pattern = learnt(wish, sent, keys)
        if pattern is not None:
            self._patterns[wish.method, wish.bucket] = pattern

    def on_sending(self, request: Any, **_: object) -> None:  # noqa: ANN401 - botocore's prepared request
        """Look at a request as it leaves. A hook of botocore's, `before-send`."""
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        # Which host is asked is signed, and written when it is sent.
        self._here.sent = Sent(request.method, request.url, {"host": _host(request.url), **headers})


def _moment() -> str:
    return strftime("%Y%m%dT%H%M%SZ", gmtime())


def _host(url: str) -> str:
    """Return the `Host` of a request: without the port that its scheme has anyway."""
    parts = urlsplit(url)
    return parts.netloc.removesuffix({"http": ":80", "https": ":443"}[parts.scheme])


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
