"""An agent under supervision: signs of life from its duties, and every word to the manager that started it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from s3sync.loop import StopFlag
from s3sync.observe.pulse import Pulse
from s3sync.observe.service import Manager, Service


class Supervision:
    """Where nobody supervises, all of this is done to nobody's notice."""

    def __init__(self, manager: Manager, stop: StopFlag) -> None:
        """Tell `manager`; take looks at `stop` for signs of life."""
        self.service = Service(manager)
        self._pulse: Pulse | None = None
        if manager.watchdog is not None:
            self._pulse = Pulse(self.service.alive, manager.watchdog.total_seconds())
            stop.watched_by(self._pulse, self._pulse.every_seconds)
        stop.telling(self.service.stopping)

    def duty(self, name: str) -> AbstractContextManager[None]:
        """Count the calling thread as the one that carries a duty, while the context lasts."""
        return nullcontext() if self._pulse is None else self._pulse.duty(name)
