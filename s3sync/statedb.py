"""The state database: one SQLite file, several rooms, one writer at a time.

What `write` has returned from is on the disk for good (WAL with synchronous=FULL: a power cut takes back nothing that was
committed). Each room numbers its own migrations, and the steps that a file lacks are applied together with their record in one
transaction, so a kill at any instant leaves either the old schema or the new one. Before tables that hold something are
changed, a copy of the file is kept beside it, for whoever has to go back. A file with a newer schema than this program knows is
refused rather than guessed at.

One connection a `StateDb`, guarded by a lock, so threads may share it; other processes open the same file for themselves and
SQLite keeps them apart, waiting up to ten seconds for each other.

A database appears under its name only when it is complete (private rights, WAL), made beside and linked into place: two
programs starting at once would otherwise meet in the switch to WAL, where SQLite does not wait. An existing file is never
opened by anything but SQLite, because closing any other descriptor of it would drop SQLite's locks in this process.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from s3sync.errors import Failure, Permanent, Preflight, Transient

BUSY_SECONDS = 10.0
"""How long a transaction waits for another process's."""

_RECORD = """
-- Which steps of which room's schema this file has.
--   room    the part of the program that owns the tables, such as `pack`
--   number  the step, counted from 1; a room's steps are applied in order and never removed
CREATE TABLE IF NOT EXISTS migrations (
    room   TEXT    NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (room, number)
) WITHOUT ROWID, STRICT
"""

_WAITABLE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_RUINED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNUSABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}


class StateDb:
    """One state database, open."""

    def __init__(self, path: Path, file: os.stat_result, connection: sqlite3.Connection) -> None:
        """Use `StateDb.open`."""
        self.path = path
        self._file = file
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> StateDb:
        """Open the database at `path`, making it (0600) where there is none; its folder must exist.

        Raises `Preflight` (no regular file, no folder, no rights, a filesystem without WAL), `Permanent` (not a database, or
        a damaged one), `Transient` (disk full, busy).
        """
        try:
            _make_if_missing(path)
            # Looked at before SQLite opens it: whatever takes the name from here on is another file, and takes no writes.
            file = _regular_file(path)
        except OSError as error:
            raise Preflight(
                str(path), f"cannot be opened: {error.strerror}", "Check the state folder and its rights"
            ) from error
        with _sorted_failures(path):
            return cls(path, file, _connect(path))

    def migrate(self, room: str, steps: Sequence[str]) -> None:
        """Apply those of the room's `steps` (SQL scripts, in order) that this file lacks, all of them or none.

        Where the room has tables already, the file is copied first, to its name with the room and its old version behind:
        `journal.db.pack-1`. Raises `Preflight` where the file has more steps than these (a newer program has been here), and
        what `write` raises, also where there is no space for the copy.
        """
        with self.write() as db:
            db.execute(_RECORD)
            present = _steps_present(db, room)
            if present > len(steps):
                raise Preflight(
                    str(self.path),
                    f"its {room} schema is version {present}, this program knows versions up to {len(steps)}",
                    "Run the newer program that wrote it",
                )
            if 0 < present < len(steps):
                self.keep_copy(f"{room}-{present}")
            for number, script in enumerate(steps[present:], start=present + 1):
                for statement in statements(script):
                    db.execute(statement)
                db.execute("INSERT INTO migrations (room, number) VALUES (?, ?)", (room, number))

    def keep_copy(self, version: str) -> None:
        """Copy the file to its name with `version` behind, durably. Called within `write`, so that nobody writes meanwhile.

        What is copied is what was committed before, read by a connection of its own: SQLite lets nobody copy from one that
        writes. An older copy of that name is replaced: it is of the same version, and this one knows more.
        """
        kept = self.path.with_name(f"{self.path.name}.{version}")
        descriptor, beside = tempfile.mkstemp(prefix=f".{kept.name}.", dir=kept.parent)
        try:
            with closing(_connect(self.path)) as reader, closing(sqlite3.connect(beside)) as copy:
                reader.backup(copy)
            os.fsync(descriptor)
            os.replace(beside, kept)
            _sync_folder(kept.parent)
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):
                os.unlink(beside)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction: committed and durable when it ends, rolled back where it raises.

        One writer at a time, in this process and among all others; not to be nested. Raises `Transient` (busy for ten
        seconds, disk full), `Permanent` (damaged file), `Preflight` (the file was removed or replaced while it was open:
        SQLite would go on writing where nobody ever looks again).
        """
        with self._lock, _sorted_failures(self.path):
            self._refuse_if_replaced()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for reading; other threads wait until the block ends. Raises as `write` does."""
        with self._lock, _sorted_failures(self.path):
            yield self._connection

    def _refuse_if_replaced(self) -> None:
        try:
            same = os.path.samestat(self._file, os.lstat(self.path))
        except OSError:
            same = False
        if not same:
            wrong = "was removed or replaced while it was in use"
            raise Preflight(str(self.path), wrong, "Start the program again; it goes on with what is there")

    def close(self) -> None:
        """Close the file; a second time is harmless."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _make_if_missing(path: Path) -> None:
    if os.path.lexists(path):
        return
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    try:
        with _sorted_failures(path), closing(_connect(Path(beside))):
            pass
        _link_into_place(beside, path)
    finally:
        os.unlink(beside)


def _link_into_place(beside: str, path: Path) -> None:
    try:
        os.link(beside, path)
    except FileExistsError:
        return  # somebody else was a moment faster, and theirs is as good
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _regular_file(path: Path) -> os.stat_result:
    file = os.lstat(path)
    if not stat.S_ISREG(file.st_mode):
        raise Preflight(str(path), "is not a regular file", "Move it away, or name another state folder")
    return file


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise Preflight(
                str(path), f"its filesystem allows only journal mode {mode}", "Put the state folder on a local disk"
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _steps_present(db: sqlite3.Connection, room: str) -> int:
    found = db.execute("SELECT coalesce(max(number), 0) FROM migrations WHERE room = ?", (room,)).fetchone()[0]
    return int(found)


def statements(script: str) -> Iterator[str]:
    """Yield the script's statements one by one: `executescript` would commit in between."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _sorted_failures(path: Path) -> Iterator[None]:
    """Sort SQLite's result codes (sqlite.org/rescode.html) into our family; what is a mistake of ours rises as it is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        failure = _failure(path, error)
        if failure is None:
            raise
        raise failure from error


def _failure(path: Path, error: sqlite3.DatabaseError) -> Failure | None:
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in _WAITABLE:
        return Transient(
            str(path), f"cannot be used now: {error}", "Wait for the next attempt; look at disk space if it stays so"
        )
    if primary in _RUINED:
        return Permanent(str(path), f"is damaged or no database: {error}", "Keep a copy, then move it away")
    if primary in _UNUSABLE:
        return Preflight(str(path), f"cannot be opened: {error}", "Check the rights of the file and of its folder")
    return None
