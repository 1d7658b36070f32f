"""What our programs ask of AWS, call by call, and for which of their duties: noted while tests run, in their own process.

botocore's one way out is watched. A call is ours where a file of `s3sync/store/` is among its callers, and its duty follows
from the room that is: a test that arranges or looks by a client of its own is not noted. Parts of an upload are sent by threads
of their own, of which no room can be told; what begins and ends the upload needs the same right.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, ClassVar

from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

ROOMS: Mapping[str, str] = {
    "s3batch.pack": "pack",
    "s3batch.restore": "restore",
    "s3batch.catalogue.drain": "index",
    "s3batch.catalogue.rebuild": "rebuild",
    "s3batch.operate": "doctor",
}
"""The room that asks, and the duty that this is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call."""

    duty: str
    operation: str
    bucket: str
    version: bool
    """Whether a version was named."""
    conditional: bool
    """Whether it says what may lie under the key."""


class Recorder:
    """Notes calls for as long as it is installed."""

    calls: ClassVar[list[Asked]] = []
    breaking: ClassVar[set[str]] = set()
    """Operations that fail once, as where the network is away."""

    @classmethod
    def install(cls) -> None:
        """Stand in botocore's way out."""
        through: Callable[..., Any] = BaseClient._make_api_call  # type: ignore[attr-defined]

        def noted(client: BaseClient, operation: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever it answers
            duty = _duty()
            if duty is not None:
                condition = "IfNoneMatch" in arguments or "IfMatch" in arguments
                bucket = arguments.get("Bucket", "")
                cls.calls.append(Asked(duty, operation, bucket, "VersionId" in arguments, condition))
                if operation in cls.breaking:
                    cls.breaking.remove(operation)
                    raise EndpointConnectionError(endpoint_url=client.meta.endpoint_url)
            return through(client, operation, arguments)

        BaseClient._make_api_call = noted  # type: ignore[attr-defined]


@contextmanager
def recording() -> Iterator[list[Asked]]:
    """Have the calls that are made in the block; what is in the list at its end."""
    found: list[Asked] = []
    begin = len(Recorder.calls)
    yield found
    found += Recorder.calls[begin:]


def _duty() -> str | None:
    """Return for which duty our store asks; None where it is not our store that asks, or nobody can say for what."""
    frame: FrameType | None = sys._getframe(2)
    ours = False
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        ours = ours or name.startswith("s3sync.store.")
        for room, duty in ROOMS.items():
            if ours and (name == room or name.startswith(f"{room}.")):
                return duty
        frame = frame.f_back
    return None
