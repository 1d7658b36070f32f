"""A store that fails as scripted: the effect may never happen, or happen and the reply be lost.

    with Faulty(store) as faulty:
        faulty.on("put").fail(Transient("bucket", "slow down"), times=2)
        ...

Steps of one call are used up in the order they were written; once none is left, calls pass through. Leaving the `with` block
holds that every step was used: a fault that never struck proves nothing.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from s3sync.errors import Transient
from s3sync.store.contract import (
    ObjectInfo,
    ObjectRef,
    ObjectStore,
    Payload,
    ThawAnswer,
    Tier,
    UnfinishedUpload,
    UploadLog,
)

T = TypeVar("T")
CALLS = frozenset({"put", "abort", "uploads", "head", "read", "list", "versioned", "thaw"})


@dataclass(frozen=True, slots=True)
class _Step:
    before: Exception | None = None
    after: Exception | None = None
    change: Callable[[Any], Any] | None = None

    def run(self, act: Callable[[], T]) -> T:
        if self.before is not None:
            raise self.before
        result = act()
        if self.after is not None:
            raise self.after
        return result if self.change is None else self.change(result)


class Script:
    """What is to happen at the next calls of one kind."""

    def __init__(self, steps: deque[_Step]) -> None:
        self._steps = steps

    def fail(self, error: Exception, *, times: int = 1, after_effect: bool = False) -> Script:
        """Raise `error` instead of making the call, or, with `after_effect`, after it was made."""
        step = _Step(after=error) if after_effect else _Step(before=error)
        self._steps.extend([step] * times)
        return self

    def let_through(self, *, times: int = 1) -> Script:
        """Make the call as it is."""
        self._steps.extend([_Step()] * times)
        return self

    def change(self, into: Callable[[Any], Any], *, times: int = 1) -> Script:
        """Make the call and hand on what `into` makes of its result: a store that lies."""
        self._steps.extend([_Step(change=into)] * times)
        return self

    def cut_after(self, count: int, *, times: int = 1) -> Script:
        """Let a read break off after `count` bytes."""
        return self.change(lambda opened: _cut(opened, count), times=times)


class Faulty(ObjectStore):
    """`store` with faults. Thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._scripts: defaultdict[str, deque[_Step]] = defaultdict(deque)
        self._lock = threading.Lock()

    def on(self, call: str) -> Script:
        """Go on with the script of `call`, one of the contract's methods."""
        assert call in CALLS
        return Script(self._scripts[call])

    def assert_used_up(self) -> None:
        """Hold that every scripted step has happened."""
        left = {call: len(steps) for call, steps in self._scripts.items() if steps}

        assert {} == left

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.assert_used_up()

    def put(self, ref: ObjectRef, payload: Payload, log: UploadLog, *, if_match: str | None = None) -> ObjectInfo | None:
        return self._run("put", lambda: self.store.put(ref, payload, log, if_match=if_match))

    def abort(self, ref: ObjectRef, upload_id: str) -> None:
        self._run("abort", lambda: self.store.abort(ref, upload_id))

    def uploads(self, bucket: str, prefix: str) -> Iterator[UnfinishedUpload]:
        return self._run("uploads", lambda: iter([*self.store.uploads(bucket, prefix)]))

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        return self._run("head", lambda: self.store.head(ref))

    def read(self, ref: ObjectRef, *, offset: int, length: int, etag: str) -> AbstractContextManager[Iterator[bytes]]:
        return self._run("read", lambda: self.store.read(ref, offset=offset, length=length, etag=etag))

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        return self._run("list", lambda: iter([*self.store.list(bucket, prefix)]))

    def versioned(self, bucket: str) -> bool:
        return self._run("versioned", lambda: self.store.versioned(bucket))

    def thaw(self, ref: ObjectRef, *, days: int, tier: Tier) -> ThawAnswer:
        return self._run("thaw", lambda: self.store.thaw(ref, days=days, tier=tier))

    def _run(self, call: str, act: Callable[[], T]) -> T:
        with self._lock:
            steps = self._scripts[call]
            step = steps.popleft() if steps else _Step()
        return step.run(act)


@contextmanager
def _cut(opened: AbstractContextManager[Iterator[bytes]], count: int) -> Iterator[Iterator[bytes]]:
    with opened as chunks:
        yield _first(chunks, count)


def _first(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    left = count
    for chunk in chunks:
        if left < len(chunk):
            yield chunk[:left]
            raise Transient("the connection", "it broke")
        left -= len(chunk)
        yield chunk
    raise Transient("the connection", "it broke")
