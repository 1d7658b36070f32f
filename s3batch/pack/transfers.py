"""What the servers' transfer logs say of broken-off uploads, read as it comes and kept in the journal.

How far each log was read and what was learnt from it are written in one transaction, so a restart neither misses a line nor
takes one twice, and evidence outlives the log it stood in. A log that cannot be read is told of once and is no reason to stop:
without evidence a file is judged by the other rules alone.

A connection may have been dead for long when its server notices, and the file quiet for as long; the line then comes at the
moment the file can be taken. So the logs are asked once more after a batch was built (`AskedAgain`): a server writes the line
before it lets go of the file, and no member was copied before that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from sqlite3 import Connection, Row
from types import TracebackType
from typing import Self

from s3batch.pack.accepted import AcceptedFiles
from s3batch.pack.build import BuildJob, Built, Left
from s3batch.pack.workers import Builders
from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.evidence import MAX_LINE_BYTES, LineReader, Server, Transfer
from s3sync.dropzone.facts import FileFacts
from s3sync.dropzone.logfile import LogFile, Place
from s3sync.dropzone.partial import Broken, BrokenUploads, Key
from s3sync.dropzone.reasons import Reason
from s3sync.events import Degraded, Listener
from s3sync.statedb import StateDb

ROOM = "transfers"

SCHEMA = (
    """
    CREATE TABLE transfer_logs (
      path        BLOB PRIMARY KEY,  -- of the log, absolute, as the settings name it
      device      TEXT NOT NULL,     -- which file was read, in decimal; as the next one
      inode       TEXT NOT NULL,
      "offset"    INTEGER NOT NULL,  -- bytes of it that were read
      head        BLOB NOT NULL,     -- how it begins: another beginning is another file
      within_line INTEGER NOT NULL   -- 1: up to the next line end it is the rest of a line that is skipped
    ) STRICT;
    CREATE TABLE broken_uploads (
      server TEXT NOT NULL,          -- dropzone.evidence.Server
      user   BLOB NOT NULL,          -- empty where the log does not say
      path   BLOB NOT NULL,          -- as the log has it, seen from inside the user's chroot
      parts  TEXT NOT NULL,          -- what each attempt wrote, in bytes, in order, separated by commas
      at_ns  TEXT NOT NULL,          -- when the last one ended, the same way; several where the log leaves it open
      PRIMARY KEY (server, user, path)
    ) STRICT;
    """,
)


class TransferLogs:
    """The evidence of this host's servers. Safe for several threads."""

    def __init__(
        self,
        db: StateDb,
        logs: Iterable[Path],
        accepted: AcceptedFiles,
        *,
        now: Callable[[], datetime],
        zones: Sequence[tzinfo],
        listener: Listener,
    ) -> None:
        """Keep in `db` what `logs` say; `zones` are those a time without one may be in."""
        self._db = db
        self._logs = tuple(logs)
        self._accepted = accepted
        self._now = now
        self._zones = zones
        self._listener = listener
        self._lock = threading.Lock()
        self._readers: dict[Path, tuple[LogFile, LineReader]] | None = None
        self._broken = BrokenUploads()
        self._unreadable: dict[Path, str] = {}
        self._news = 0
        """How often the logs spoke of broken-off uploads, or of renames, since the pass began."""
        db.migrate(ROOM, SCHEMA)

    def begin_pass(self) -> None:
        """Read what is new and keep it. Raises what the journal raises; nothing is lost then, it is read again."""
        with self._lock:
            self._follow(keep=True)
            self._news = 0

    def look(self) -> None:
        """Read what is new and keep nothing: for those who may change nothing."""
        with self._lock:
            self._follow(keep=False)

    def suspects(self, name: bytes) -> bool:
        """Tell whether anything is known of files of this name."""
        return self._broken.suspects(name)

    def standing(self, file: FileFacts) -> str | None:
        """Return what speaks for the file being partial, unless somebody accepted it as it is."""
        if not len(self._broken):
            return None
        return self._standing(file.folder.bucket, file.key, file.path, file.identity)

    def late(self, candidates: Iterable[Candidate]) -> list[bytes]:
        """Return the paths of those candidates, judged earlier in this pass, that turn out to be partial.

        Raises as `begin_pass` does.
        """
        with self._lock:
            self._follow(keep=True)
        if not self._news:
            return []
        return [each.path for each in candidates if self._standing(each.bucket, each.key, each.path, each.identity)]

    def _standing(self, bucket: str, key: bytes, path: bytes, identity: Identity) -> str | None:
        with self._lock:
            detail = self._broken.standing(b"%b/%b" % (bucket.encode(), key), identity.size, identity.mtime_ns)
        return None if detail is None or self._accepted.is_accepted(path, identity) else detail

    def _follow(self, *, keep: bool) -> None:
        readers = self._load() if self._readers is None else self._readers
        for path, (log, reader) in readers.items():
            self._read(path, log, reader)
        if keep:
            self._readers = None  # should the journal refuse now, both start again from what it has
            self._keep([log for log, _ in readers.values()])
        self._readers = readers

    def _read(self, path: Path, log: LogFile, reader: LineReader) -> None:
        now = self._now()
        try:
            for line in log.lines():
                event = reader.read(line, now)
                if event is not None:
                    self._broken.learn(event)
                    self._news += not (isinstance(event, Transfer) and event.complete)
        except OSError as error:
            self._complain(path, error.strerror or str(error))
        else:
            self._unreadable.pop(path, None)

    def _complain(self, path: Path, why: str) -> None:
        if self._unreadable.get(path) != why:
            self._unreadable[path] = why
            self._listener(Degraded(cause="transfer_log_unreadable", detail=f"{path} cannot be read: {why}"))

    def _load(self) -> dict[Path, tuple[LogFile, LineReader]]:
        with self._db.read() as connection:
            places = {row["path"]: _place(row) for row in connection.execute("SELECT * FROM transfer_logs")}
            rows = connection.execute("SELECT * FROM broken_uploads ORDER BY rowid").fetchall()
        self._broken = BrokenUploads(_broken(row) for row in rows)
        raw = {path: bytes(path) for path in self._logs}
        return {
            path: (LogFile(name, places.get(name), max_line=MAX_LINE_BYTES), LineReader(self._zones))
            for path, name in raw.items()
        }

    def _keep(self, logs: Iterable[LogFile]) -> None:
        changes = self._broken.changes()
        places = [(log.path, *_written(log.place)) for log in logs if log.place is not None]
        with self._db.write() as connection:
            _keep_changes(connection, changes)
            connection.executemany("INSERT OR REPLACE INTO transfer_logs VALUES (?, ?, ?, ?, ?, ?)", places)


class AskedAgain:
    """Builders that ask the logs once more about what they built: a batch with a partial member comes out with no members."""

    def __init__(self, builders: AbstractContextManager[Builders], transfers: TransferLogs) -> None:
        """Build by `builders`."""
        self._context = builders
        self._transfers = transfers

    def __enter__(self) -> Self:
        self._builders = self._context.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._context.__exit__(kind, error, trace)

    def submit(self, job: BuildJob) -> Future[Built]:
        """Begin to build `job`; the future raises what the journal raises, besides what it raised before."""
        asked: Future[Built] = Future()
        self._builders.submit(job).add_done_callback(lambda built: self._ask(job, built, asked))
        return asked

    def _ask(self, job: BuildJob, future: Future[Built], asked: Future[Built]) -> None:
        try:
            built = future.result()
            late = tuple(Left(path, Reason.PROBABLY_PARTIAL) for path in self._transfers.late(job.candidates))
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks the future
            asked.set_exception(error)
            return
        asked.set_result(replace(built, members=0, left=(*built.left, *late)) if late else built)


def _keep_changes(connection: Connection, changes: Mapping[Key, Broken | None]) -> None:
    gone = [key for key, one in changes.items() if one is None]
    connection.executemany("DELETE FROM broken_uploads WHERE server = ? AND user = ? AND path = ?", gone)
    connection.executemany(
        "INSERT OR REPLACE INTO broken_uploads VALUES (?, ?, ?, ?, ?)",
        [(*one.key, _joined(one.parts), _joined(one.at_ns)) for one in changes.values() if one is not None],
    )


def _broken(row: Row) -> Broken:
    key = Key(Server(row["server"]), row["user"], row["path"])
    return Broken(key=key, parts=_numbers(row["parts"]), at_ns=_numbers(row["at_ns"]))


def _place(row: Row) -> Place:
    return Place(int(row["device"]), int(row["inode"]), row["offset"], row["head"], bool(row["within_line"]))


def _written(place: Place) -> tuple[str, str, int, bytes, int]:
    return str(place.device), str(place.inode), place.offset, place.head, int(place.within_line)


def _joined(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))
