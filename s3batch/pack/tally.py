"""What one pass did: counted from several threads, summed up once."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from s3batch.model import SpooledArchive
from s3batch.pack.planner import Waiting
from s3sync.dropzone.release import ReleaseReport
from s3sync.errors import Exit, Failure


@dataclass(slots=True)
class Tally:
    """A pass in numbers. `files` and `bytes` are members archived and proved in this pass."""

    files: int = 0
    bytes: int = 0
    archives: int = 0
    released: int = 0
    redelivered: int = 0
    """Of `files`: what had been archived not long ago and came again unchanged."""
    left: Counter[str] = field(default_factory=Counter)
    """Files that stay where they are, by reason."""
    errors: list[Failure] = field(default_factory=list)
    interrupted: bool = False
    oldest_waiting_ns: int | None = None
    """The ctime of the oldest file that waits for its batch to close."""
    again_seconds: float | None = None
    """In how many seconds there will be something to do, as far as this pass could see."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def archived(self, spooled: SpooledArchive, report: ReleaseReport) -> None:
        """Count an archive that went all the way."""
        with self._lock:
            self.archives += 1
            self.files += spooled.members
            self.bytes += spooled.content_bytes
            self.released += report.released
            for kept in report.kept:
                self.left[kept.reason] += 1

    def redeliver(self, files: int) -> None:
        """Count files that had been archived before, the same bytes under the same keys."""
        with self._lock:
            self.redelivered += files

    def leave(self, reason: str, files: int = 1) -> None:
        """Count files that stay."""
        with self._lock:
            self.left[reason] += files

    def wait(self, waiting: Waiting) -> None:
        """Count files that do not make a batch yet."""
        self.leave("batch_not_full", waiting.members)
        self.oldest_waiting_ns = min(waiting.oldest_ns, self.oldest_waiting_ns or waiting.oldest_ns)

    def fail(self, failure: Failure) -> None:
        """Count a batch or bucket that did not get through."""
        with self._lock:
            self.errors.append(failure)

    def summary(self) -> dict[str, object]:
        """Return the one line of `run --once`."""
        return {
            "files": self.files,
            "bytes": self.bytes,
            "archives": self.archives,
            "released": self.released,
            "redelivered": self.redelivered,
            "left": self.left.total(),
            "errors": len(self.errors),
            "held": dict(sorted(self.left.items())),
            "failures": [str(error) for error in self.errors],
        }

    @property
    def exit(self) -> Exit:
        """The exit code of a single pass."""
        if not self.errors:
            return Exit.DONE
        return Exit.PARTIAL if self.archives else Exit.FAILED
