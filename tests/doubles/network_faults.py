"""Scripted faults of a network and of the server behind it: the n-th request of a kind gets one.

    front.faults.on("PutObject").at(2).strike(Fault.LOST_REPLY)
    front.faults.on("GetObject").strike(Fault.STALL, times=EVERY)
    ...
    front.heal()

A kind is an operation, perhaps of certain keys only. Requests are counted from the moment the fault is written, retries of the
client's library too. `heal` ends every fault; `struck` says how many requests were hit, so that a test can hold that its fault
did happen: one that never struck proves nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from tests.doubles.http_server import BROKEN, Reply
from tests.doubles.s3_calls import Call

EVERY = 1 << 30
"""As often as it is asked for until `heal`."""
TRICKLE_SECONDS = 0.01


class Fault(StrEnum):
    """What happens to a request."""

    REFUSED = "connection refused"
    """The server goes away: this request's connection breaks, and none is taken any more until `heal`."""
    RESET = "reset before the request"
    CUT_REQUEST = "reset mid-body"
    LOST_REPLY = "reset after the server applied it"
    TRUNCATED = "truncated reply"
    TRICKLE = "slow trickle"
    """The reply comes, slowly."""
    STALL = "stall"
    """The server applied it, and says nothing for longer than anybody waits."""
    INTERNAL = "500"
    INTERNAL_AFTER = "500, applied"
    SLOW_DOWN = "503 SlowDown"
    FORBIDDEN = "403"
    EXPIRED = "expired token"
    SKEWED = "clock skew"
    PRECONDITION = "412"
    CONFLICT = "409"
    ERROR_IN_200 = "200 with an error"
    """Of CompleteMultipartUpload only: the error comes in the body, after 200 was said."""
    PAGE = "a proxy's page, 200"
    """Something in between answers in S3's place, with a page for people; the server never hears of it."""
    BAD_GATEWAY = "a proxy's page, 502"


ANSWERS = {
    Fault.INTERNAL: (500, "InternalError"),
    Fault.INTERNAL_AFTER: (500, "InternalError"),
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.FORBIDDEN: (403, "AccessDenied"),
    Fault.EXPIRED: (400, "ExpiredToken"),
    Fault.SKEWED: (403, "RequestTimeTooSkewed"),
    Fault.PRECONDITION: (412, "PreconditionFailed"),
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
    Fault.ERROR_IN_200: (200, "InternalError"),
}
BEFORE_THE_REQUEST = {Fault.REFUSED, Fault.RESET, Fault.CUT_REQUEST}
PAGES = {Fault.PAGE: 200, Fault.BAD_GATEWAY: 502}
INSTEAD = (set(ANSWERS) - {Fault.INTERNAL_AFTER}) | set(PAGES)
"""Answered without asking the server behind."""


@dataclass(frozen=True, slots=True)
class _Script:
    matches: Callable[[Call], bool]
    fault: Fault
    skip: int
    times: int


class Kind:
    """Requests of one kind; made by `Faults.on`."""

    def __init__(self, faults: Faults, matches: Callable[[Call], bool], skip: int = 0) -> None:
        self._faults = faults
        self._matches = matches
        self._skip = skip

    def at(self, number: int) -> Kind:
        """Begin with the `number`-th of them, counted from 1."""
        return Kind(self._faults, self._matches, number - 1)

    def strike(self, fault: Fault, *, times: int = 1) -> None:
        """Let `fault` happen to the next `times` of them."""
        self._faults.add(_Script(self._matches, fault, self._skip, times))


class Faults:
    """The script of one front. May be used from several threads."""

    def __init__(self) -> None:
        self.struck = 0
        """Requests that were hit."""
        self._scripts: list[_Script] = []
        self._lock = threading.Lock()

    def on(self, operation: str, where: Callable[[Call], bool] = lambda _call: True) -> Kind:
        """Speak of requests of `operation`, or only of those `where` says yes to."""
        return Kind(self, lambda call: call.operation == operation and where(call))

    def add(self, script: _Script) -> None:
        """Go on with one more fault."""
        with self._lock:
            self._scripts.append(script)

    def clear(self) -> None:
        """No more faults."""
        with self._lock:
            self._scripts.clear()

    def next(self, call: Call) -> Fault | None:
        """Return what happens to this request."""
        with self._lock:
            for at, script in enumerate(self._scripts):
                if script.matches(call):
                    return self._use(at, script)
        return None

    def _use(self, at: int, script: _Script) -> Fault | None:
        if script.skip:
            self._scripts[at] = replace(script, skip=script.skip - 1)
            return None
        self._scripts[at] = replace(script, times=script.times - 1)
        if script.times <= 1:
            del self._scripts[at]
        self.struck += 1
        return script.fault


def error(status: int, code: str, message: str, *, head: bool) -> Reply:
    """Return an error as S3 says it; to HEAD it says only the status."""
    body = f"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Reply(status=status, headers={"Content-Type": "application/xml"}, body=b"" if head else body)


def instead(fault: Fault, *, head: bool) -> Reply:
    """Return the answer that a fault gives in place of the server's."""
    if fault in PAGES:
        page = b"<html><body><p>Welcome to <b>the network<p>of this house</body></html>"
        return Reply(status=PAGES[fault], headers={"Content-Type": "text/html"}, body=b"" if head else page)
    status, code = ANSWERS[fault]
    return error(status, code, f"as scripted: {fault}", head=head)


def spoilt(fault: Fault | None, reply: Reply, *, head: bool, stall_seconds: float) -> Reply:
    """Return what a fault makes of the server's reply."""
    match fault:
        case Fault.LOST_REPLY:
            return BROKEN
        case Fault.TRUNCATED:
            return replace(reply, cut_in_header=True) if head or not reply.body else _first_half(reply)
        case Fault.TRICKLE:
            return replace(reply, pause_seconds=TRICKLE_SECONDS)
        case Fault.STALL:
            return replace(reply, pause_seconds=stall_seconds)
        case Fault.INTERNAL_AFTER:
            return instead(fault, head=head)
        case _:
            return reply


def _first_half(reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2], says_length=len(reply.body))
