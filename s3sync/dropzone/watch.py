"""Wake the loop when something happens in a drop zone. The periodic scan is the truth; this only brings it forward.

What wakes: a file closed after writing, a file or folder made. What does not: renames, reads, removals, and names that begin
with a dot. Renames are left out for their price: following each costs watchdog more than 200 microseconds, and a release
renames every file; what is renamed into its final name was written, and closed, a moment before.

watchdog takes one inotify watch a folder. Where the kernel has no more, or no inotify at all, the agent goes on by scanning
alone and says so. watchdog is imported here and nowhere else.
"""

from __future__ import annotations

import errno
import os
import threading
import warnings
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from watchdog.events import DirModifiedEvent, FileClosedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from s3sync.events import Degraded, Listener, silent

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

CAUSE = "no_watch"
"""The stable cause of the `Degraded` event."""

_KINDS: list[type[FileSystemEvent]] = [FileClosedEvent, FileSystemEvent]
"""The first says what the kernel is asked for: closes after writing, and what is made, for the folders' sake. The second, the
family of all events, lets through what watchdog reports besides: the content of a folder that was filled before its watch."""


class Watcher:
    """Sets `wake` when something below `root` may have become a file to look at. A context, or start and stop it."""

    def __init__(self, root: Path, wake: threading.Event, listener: Listener = silent) -> None:
        self._root = root
        self._handler = _Waker(root, wake)
        self._listener = listener
        self._observer: BaseObserver | None = None

    @property
    def watching(self) -> bool:
        """Whether wake-ups can be expected."""
        return self._observer is not None

    def start(self) -> bool:
        """Begin to watch; tell whether that worked. Walks the whole tree once."""
        _quieten_watchdog()
        observer = None
        try:
            observer = Observer()
            observer.schedule(self._handler, str(self._root), recursive=True, event_filter=_KINDS)
            observer.start()
            _ask_for_one_more(self._root)
        except OSError as error:
            _end(observer)
            self._listener(Degraded(cause=CAUSE, detail=_explain(error)))
            return False
        self._observer = observer
        return True

    def stop(self) -> None:
        """Stop watching; harmless when repeated."""
        observer, self._observer = self._observer, None
        _end(observer)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class _Waker(FileSystemEventHandler):
    """Turns any number of events into one flag."""

    def __init__(self, root: Path, wake: threading.Event) -> None:
        self._root = os.fsencode(root)
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake the loop, unless a name on the way is hidden: a temporary name, or our own quarantine."""
        if isinstance(event, DirModifiedEvent):
            # Said of the folder above besides the event itself, also of hidden ones.
            return
        if b"/." not in os.fsencode(event.src_path).removeprefix(self._root):
            self._wake.set()


def _ask_for_one_more(root: Path) -> None:
    """Raise `OSError` where the kernel has no further watch to give: watchdog passes over the folders it was refused for."""
    observer = Observer()
    try:
        observer.schedule(FileSystemEventHandler(), str(root), event_filter=[FileClosedEvent])
        observer.start()
    finally:
        _end(observer)


def _end(observer: BaseObserver | None) -> None:
    if observer is None:
        return
    observer.stop()
    if observer.is_alive():
        observer.join()


def _quieten_watchdog() -> None:
    """Keep watchdog from warning of folders that come and go faster than their watches.

    It warns in paragraphs whenever a new folder is watched twice. For us a missed wake-up is a later scan and no more.
    """
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")


def _explain(error: OSError) -> str:
    words = {
        errno.ENOSPC: "the user's inotify watches are used up (fs.inotify.max_user_watches)",
        errno.EMFILE: "the user's inotify instances or this process's files are used up (fs.inotify.max_user_instances)",
    }
    what = words.get(error.errno or 0, f"the folder cannot be watched: {error.strerror}")
    return f"{what}; new files are found by the periodic scan alone"
