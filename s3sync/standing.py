"""What the agent says of itself while it runs: the sentence of `systemctl status`, made anew when something has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from s3sync.app import App
from s3sync.events import Event, StepFailed
from s3sync.observe.standing import Standing, files, sentence
from s3sync.transfer.agent import PassSummary
from s3sync.transfer.drops import Phase
from s3sync.transfer.outcome import FileReleased


class Report:
    """Listens, and tells the manager. May be called from several threads."""

    def __init__(self, app: App) -> None:
        """Begin with what the journal knows."""
        self._app = app
        self._lock = threading.Lock()
        self._pass_failed = ""
        self._attention: tuple[str, ...] | None = None
        done = app.journal.last_pass(successful=True)
        last = None if done is None else done.finished
        self._standing = Standing(doing="ready, about to look at the drop zone", backlog="", last=last)
        self._say()

    def __call__(self, event: Event) -> None:
        """Take notice of a file that is done, and of a pass that failed."""
        if isinstance(event, FileReleased):
            with self._lock:  # told with the next change: a word a file would be too many
                self._standing = replace(self._standing, last=self._app.now())
        elif isinstance(event, StepFailed) and event.step == "pass":
            self._pass_failed = f"the last pass failed: {event.wrong}"
            self._say()

    def begins(self, *, restart_for: Sequence[str]) -> None:
        """Say that a pass begins."""
        self._stand(lambda now: replace(now, doing="at work", restart_for=tuple(restart_for)))

    def rests(self, summary: PassSummary) -> None:
        """Say what a pass left."""
        self._pass_failed = ""
        self._attention = tuple(self._found())
        left = files(summary.left, "left where it is", "left where they are") if summary.left else "nothing waits"
        self._stand(lambda now: replace(now, doing="resting", backlog=left))

    def _found(self) -> Iterator[str]:
        journal = self._app.journal
        yield from (f"bucket {parked.bucket}: {parked.wrong}" for parked in journal.parked())
        counts = journal.counts()
        for phase, verb in ((Phase.UNRELEASED, "stored and not removed"), (Phase.EXISTS, "held: its key is taken")):
            if counts[phase]:
                yield files(counts[phase], verb, verb)
        yield from self._app.degraded.values()

    def _stand(self, change: Callable[[Standing], Standing]) -> None:
        with self._lock:
            self._standing = change(self._standing)
        self._say()

    def _say(self) -> None:
        with self._lock:
            trouble = [each for each in (self._pass_failed, *(self._attention or ())) if each]
            attention = None if self._attention is None and not trouble else trouble
            said = sentence(replace(self._standing, attention=attention))
        self._app.supervision.service.status(said)
