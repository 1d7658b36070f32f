"""What the agent says of itself while it runs: the sentence of `systemctl status`, made anew when something has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from s3batch.app import App
from s3batch.pack.events import ArchiveReleased
from s3batch.pack.tally import Tally
from s3sync.errors import Failure
from s3sync.events import Event, StepFailed
from s3sync.observe.standing import Standing, files, sentence

WAITING = frozenset({"batch_not_full", "bucket_parked", "spool_full"})
"""Reasons of a pass for leaving files that are finished: they wait, the others are held."""


class Report:
    """Listens, and tells the manager. May be called from several threads."""

    def __init__(self, app: App) -> None:
        """Begin with what the journal knows."""
        self._app = app
        self._lock = threading.Lock()
        self._archives = 0
        self._pass_failed = ""
        self._index_away = ""
        last = max(app.history.last_archives().values(), default=None)
        self._standing = Standing(doing="starting", backlog="", last=last)
        self._attention: tuple[str, ...] | None = None
        self._say()

    def __call__(self, event: Event) -> None:
        """Take notice of an archive that is done, and of a pass that failed."""
        if isinstance(event, ArchiveReleased):
            with self._lock:
                self._archives += 1
                done = "1 archive" if self._archives == 1 else f"{self._archives:,} archives"
                self._standing = replace(self._standing, doing=f"at work, {done} done in this pass", last=self._app.now())
            self._say()
        elif isinstance(event, StepFailed) and event.step == "pass":
            self._pass_failed = f"the last pass failed: {event.wrong}"
            self._say()

    def ready(self) -> None:
        """Say that the first pass is about to begin."""
        self._stand(lambda now: replace(now, doing="ready"))

    def begins(self, *, restart_for: Sequence[str]) -> None:
        """Say that a pass begins."""
        self._archives = 0
        self._stand(lambda now: replace(now, doing="at work", restart_for=tuple(restart_for)))

    def rests(self, tally: Tally) -> None:
        """Say what a pass left."""
        self._pass_failed = ""
        self._attention = (*self._app.attention(), *self._app.degraded.values())
        unfinished = len(self._app.journal.unfinished())
        self._stand(lambda now: replace(now, doing="resting", backlog=backlog(tally.left, unfinished)))

    def index(self, failure: Failure | None) -> None:
        """Say whether the fleet's index can be reached."""
        self._index_away = "" if failure is None else f"the search is behind: {failure.wrong}"
        self._say()

    def _stand(self, change: Callable[[Standing], Standing]) -> None:
        with self._lock:
            self._standing = change(self._standing)
        self._say()

    def _say(self) -> None:
        with self._lock:
            trouble = [each for each in (self._pass_failed, *(self._attention or ()), self._index_away) if each]
            attention = None if self._attention is None and not trouble else tuple(dict.fromkeys(trouble))
            said = sentence(replace(self._standing, attention=attention))
        self._app.supervision.service.status(said)


def backlog(left: Mapping[str, int], unfinished: int) -> str:
    """Return what waits and what is held, from the files a pass left by reason, and how many batches are on their way."""
    waiting = sum(count for reason, count in left.items() if reason in WAITING)
    held = sum(left.values()) - waiting
    parts = [files(waiting, "waits", "wait")] if waiting else []
    parts += [f"{held:,} held"] if held else []
    parts += ["1 archive on its way" if unfinished == 1 else f"{unfinished:,} archives on their way"] if unfinished else []
    return ", ".join(parts) or "nothing waits"
