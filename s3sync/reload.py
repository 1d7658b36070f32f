"""Settings read again while the agent runs: what can change takes effect with the next pass, what cannot is named.

SIGHUP asks for it (`systemctl reload`). Flags and environment are those of the start, which nobody can change from outside, so
what is read anew is the settings file. Settings that are wrong change nothing: the agent goes on with those it has.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from s3sync.errors import Failure
from s3sync.events import Event, Level, Listener
from s3sync.settings import CommonSettings

AnySettings = TypeVar("AnySettings", bound=CommonSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReloaded(Event):
    """The settings were read again; those named have changed."""

    name: ClassVar[str] = "settings_reloaded"
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartNeeded(Event):
    """Settings have changed that a running agent cannot take over."""

    name: ClassVar[str] = "restart_needed"
    level: ClassVar[Level] = Level.WARNING
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadRefused(Event):
    """The settings that were read again are wrong; the agent goes on with those it has."""

    name: ClassVar[str] = "reload_refused"
    level: ClassVar[Level] = Level.WARNING
    wrong: str


@dataclass(frozen=True, slots=True)
class Change(Generic[AnySettings]):
    """What reading the settings again comes to."""

    settings: AnySettings
    """What the agent goes on with."""
    changed: tuple[str, ...]
    """Variables that take effect."""
    waiting: tuple[str, ...]
    """Variables that wait for a restart."""


def change(old: AnySettings, new: AnySettings) -> Change[AnySettings]:
    """Return `new` as far as an agent that runs with `old` can take it over."""
    differ = [name for name in type(old).model_fields if getattr(old, name) != getattr(new, name)]
    waiting = [name for name in differ if name not in old.RELOADED]
    return Change(
        new.model_copy(update={name: getattr(old, name) for name in waiting}),
        tuple(old.variable(name) for name in differ if name in old.RELOADED),
        tuple(old.variable(name) for name in waiting),
    )


class Reloading(Generic[AnySettings]):
    """Reads the settings again when asked, and has what came of it ready for whoever begins a pass."""

    def __init__(self, settings: AnySettings, read: Callable[[], AnySettings], listener: Listener) -> None:
        """Begin with `settings`; `read` returns them anew, and raises `Usage` where they are wrong."""
        self._settings = settings
        self._read = read
        self._listener = listener
        self._fresh: AnySettings | None = None
        self._lock = threading.Lock()
        self.waiting: tuple[str, ...] = ()
        """Variables that wait for a restart."""

    def __call__(self) -> AnySettings | None:
        """Read the settings again and tell of it; return them, or None where they are wrong."""
        try:
            found = change(self._settings, self._read())
        except Failure as failure:
            self._listener(ReloadRefused(wrong=str(failure)))
            return None
        with self._lock:
            self._settings = self._fresh = found.settings
        self.waiting = found.waiting
        self._listener(SettingsReloaded(changed=found.changed))
        if found.waiting:
            self._listener(RestartNeeded(settings=found.waiting))
        return found.settings

    def take(self) -> AnySettings | None:
        """Return settings that nobody has taken over yet, once."""
        with self._lock:
            fresh, self._fresh = self._fresh, None
        return fresh


@contextmanager
def on_hangup(reload: Callable[[], None]) -> Iterator[None]:
    """Call `reload` in a thread of its own at each SIGHUP, while the context lasts; main thread only."""
    arrivals: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # may be put into by a handler, see `StopFlag.on_signals`

    def carry() -> None:
        while arrivals.get() is not None:
            reload()

    carrier = threading.Thread(target=carry, name="reload", daemon=True)
    before = signal.signal(signal.SIGHUP, lambda seen, _frame: arrivals.put(seen))
    carrier.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
        arrivals.put(None)
        carrier.join()
