"""What the state database promises: durable transactions, one writer, migrations that are all or nothing."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from s3sync import statedb
from s3sync.errors import Permanent, Preflight, Transient
from s3sync.statedb import StateDb

NOTES = "CREATE TABLE notes (text TEXT NOT NULL) STRICT;"
MORE = "ALTER TABLE notes ADD COLUMN author TEXT; CREATE INDEX by_author ON notes (author);"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database of a test lies."""
    return tmp_path / "journal.db"


@pytest.fixture
def db(path: Path) -> Iterator[StateDb]:
    """Return an open database with one room of one step."""
    with StateDb.open(path) as opened:
        opened.migrate("notes", [NOTES])
        yield opened


def texts(db: StateDb) -> list[str]:
    """Return what the notes say, in order."""
    with db.read() as connection:
        return [row["text"] for row in connection.execute("SELECT text FROM notes ORDER BY text")]


def write(db: StateDb, text: str) -> str:
    """Write one note in a transaction of its own."""
    with db.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))
    return text


def test_a_new_database_belongs_to_its_owner_alone(path: Path, db: StateDb) -> None:
    """A new database and its write-ahead log are readable by nobody else, whatever the umask says."""
    write(db, "private")

    assert ["journal.db", "journal.db-shm", "journal.db-wal"] == sorted(os.listdir(path.parent))
    assert {0o600} == {os.stat(path.parent / name).st_mode & 0o777 for name in os.listdir(path.parent)}


def test_what_was_written_is_there_after_reopening(path: Path, db: StateDb) -> None:
    """A committed transaction survives closing and opening again."""
    write(db, "kept")
    db.close()

    with StateDb.open(path) as again:
        assert ["kept"] == texts(again)


def test_durability_settings_hold_on_every_opening(path: Path, db: StateDb) -> None:
    """Each connection writes ahead, syncs fully and enforces foreign keys."""
    db.close()

    with StateDb.open(path) as again, again.read() as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1} == pragmas


def test_a_block_that_raises_leaves_nothing(db: StateDb) -> None:
    """Whatever raises inside a transaction takes all of it back, and the next one works."""
    with pytest.raises(ZeroDivisionError), db.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('half')")
        raise ZeroDivisionError
    write(db, "whole")

    assert ["whole"] == texts(db)


def test_a_transaction_inside_a_transaction_is_refused(db: StateDb) -> None:
    """Nesting would let an inner success be undone by an outer failure, so it is an error, and the outer one is rolled back."""
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"), db.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('outer')")
        with db.write():
            pass

    assert [] == texts(db)


def test_rooms_number_their_steps_for_themselves(db: StateDb) -> None:
    """Two rooms share a file, each with its own steps, and applying them again changes nothing."""
    other = ["CREATE TABLE others (x INTEGER) STRICT;", "DROP TABLE others;"]

    for _ in range(2):
        db.migrate("notes", [NOTES, MORE])
        db.migrate("other", other)

    with db.read() as connection:
        applied = [tuple(row) for row in connection.execute("SELECT room, number FROM migrations")]
    assert [("notes", 1), ("notes", 2), ("other", 1), ("other", 2)] == sorted(applied)


def test_a_script_may_hold_triggers_and_comments(db: StateDb) -> None:
    """Semicolons inside a trigger's body, a string or a comment do not end a statement."""
    db.migrate(
        "notes",
        [
            NOTES,
            """
            -- first; a comment
            CREATE TRIGGER twice AFTER INSERT ON notes WHEN new.text NOT LIKE '%;copy' BEGIN
                INSERT INTO notes (text) VALUES (new.text || ';copy');
                DELETE FROM notes WHERE text = 'never;';
            END;
            -- last; another
            """,
        ],
    )
    write(db, "a")

    assert ["a", "a;copy"] == texts(db)


def test_a_step_that_fails_leaves_the_schema_before_it(db: StateDb) -> None:
    """A step whose second statement is wrong leaves neither its first statement nor its record."""
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        db.migrate("notes", [NOTES, "CREATE TABLE half (x INTEGER); DROP TABLE absent;"])
    db.migrate("notes", [NOTES, MORE])

    with db.read() as connection:
        tables = [
            row["name"] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        ]
    assert ["migrations", "notes"] == tables


def killed_while_migrating(path: Path) -> None:
    """Die by SIGKILL in the middle of a second step; runs in a process of its own."""
    db = StateDb.open(path)
    db._connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
    db.migrate("notes", [NOTES, "CREATE TABLE half (x INTEGER); SELECT die();"])


def test_a_kill_in_the_middle_of_a_step_leaves_the_schema_before_it(path: Path, db: StateDb) -> None:
    """After a SIGKILL inside a migration the file has the old schema and its rows, and the step can be applied."""
    write(db, "old")
    db.close()
    child = multiprocessing.get_context("spawn").Process(target=killed_while_migrating, args=(path,))
    child.start()
    child.join(60)

    assert -signal.SIGKILL == child.exitcode
    with StateDb.open(path) as again:
        again.migrate("notes", [NOTES, "CREATE TABLE half (x INTEGER);"])
        assert ["old"] == texts(again)


def test_a_newer_schema_is_refused_by_file_and_version(path: Path, db: StateDb) -> None:
    """A program that knows fewer steps than the file has refuses to start, saying which file and which versions."""
    db.migrate("notes", [NOTES, MORE])

    with pytest.raises(Preflight) as caught:
        db.migrate("notes", [NOTES])

    assert f"{path}: its notes schema is version 2, this program knows versions up to 1" in str(caught.value)


def write_many(path: Path, name: str, count: int) -> None:
    """Write `count` notes, each in a transaction of its own; runs in a process of its own."""
    with StateDb.open(path) as db:
        db.migrate("notes", [NOTES])
        for number in range(count):
            write(db, f"{name}{number:03}")


def test_threads_and_processes_write_without_losing_anything(path: Path) -> None:
    """Four threads on one connection and two other processes, all beginning with no file, each find all their rows."""
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=write_many, args=(path, f"process{n}-", 50)) for n in range(2)]
    for child in children:
        child.start()
    with StateDb.open(path) as db, ThreadPoolExecutor(4) as pool:
        db.migrate("notes", [NOTES])
        list(pool.map(lambda number: write(db, f"thread{number:03}"), range(200)))
        for child in children:
            child.join(60)

        assert [0, 0] == [child.exitcode for child in children]
        assert 300 == len(set(texts(db)))


def test_a_reader_waits_for_the_writing_thread(db: StateDb) -> None:
    """A thread that reads sees a transaction of another thread whole or not at all."""
    begun, seen = threading.Event(), []

    def read() -> None:
        begun.wait(60)
        seen.append(texts(db))

    reader = threading.Thread(target=read)
    reader.start()
    with db.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('one')")
        begun.set()
        connection.execute("INSERT INTO notes (text) VALUES ('two')")
    reader.join(60)

    assert [["one", "two"]] == seen


def test_a_database_busy_for_too_long_is_transient(path: Path, db: StateDb, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that cannot get its turn says so as something that passes."""
    monkeypatch.setattr("s3sync.statedb.BUSY_SECONDS", 0.0)

    with db.write(), StateDb.open(path) as other, pytest.raises(Transient, match="cannot be used now"), other.write():
        pass


def test_a_file_replaced_while_it_is_opened_takes_no_writes(path: Path, db: StateDb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another file takes the name just after SQLite has opened the first, the first write is refused."""
    db.close()

    def connect_then_replace(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        shutil.copy(path, path.with_name("other"))
        os.replace(path.with_name("other"), path)
        return connection

    connect = statedb._connect
    monkeypatch.setattr(statedb, "_connect", connect_then_replace)

    with StateDb.open(path) as late, pytest.raises(Preflight, match="was removed or replaced"):
        write(late, "lost")


@pytest.mark.parametrize("kind", ["symlink", "folder", "fifo"])
def test_only_a_regular_file_is_opened(path: Path, kind: str) -> None:
    """A link, a folder or a FIFO under the database's name is refused and left as it is."""
    if kind == "symlink":
        path.symlink_to(path.parent / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)

    with pytest.raises(Preflight, match="is not a regular file"):
        StateDb.open(path)
    assert ["journal.db"] == os.listdir(path.parent)


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    """Some other file under the database's name is reported, not overwritten."""
    content = b"this is a letter, and a long one " * 100
    path.write_bytes(content)

    with pytest.raises(Permanent, match="no database"):
        StateDb.open(path)
    assert content == path.read_bytes()


def test_a_missing_folder_is_named(path: Path) -> None:
    """A state folder that is not there is refused with the path and a hint."""
    with pytest.raises(Preflight) as caught:
        StateDb.open(path.parent / "absent" / "journal.db")

    assert "absent/journal.db: cannot be opened: No such file or directory. Check the state folder" in str(caught.value)
