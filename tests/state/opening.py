"""Open a state folder with everything that has tables in it; as a program, killed before each of its SQL statements."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import NoReturn

from s3batch.catalogue.outbox import Outbox
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.pack.accepted import AcceptedFiles
from s3batch.pack.journal import PackJournal
from s3batch.pack.transfers import TransferLogs
from s3batch.pack.unreleased import UnreleasedFiles
from s3batch.restore.engine import ROOM
from s3batch.restore.schema import SCHEMA
from s3sync import statedb
from s3sync.events import silent
from s3sync.statedb import StateDb
from s3sync.transfer import schema as sync_schema
from s3sync.transfer.journal import Journal

NEWEST_SYNC = len(sync_schema.SCHEMA)


def now() -> datetime:
    """Return some moment."""
    return datetime(2026, 12, 1, tzinfo=UTC)


def open_all(state: Path, *, sync: bool = False) -> None:
    """Open the databases as the agent of s3batch, or of s3sync, does."""
    with StateDb.open(state / "journal.db") as db:
        if sync:
            Journal(db, now)
            return
        PackJournal(db, now=now)
        UnreleasedFiles(db, now=now)
        TransferLogs(db, (), AcceptedFiles(db, now=now), now=now, zones=(UTC,), listener=silent)
        Outbox(db)
        db.migrate(ROOM, SCHEMA)
    SqliteCatalogue.open(state / "catalogue.db").close()


def main() -> None:
    """Open copies 1, 2, 3 ... of the first folder that is named, made in the second, each killed one statement later.

    The last copy is the one whose opening comes to its end. One process forks them all: it has imported everything already.
    """
    whole, into = Path(sys.argv[1]), Path(sys.argv[2])
    for number in count(1):
        state = into / str(number)
        shutil.copytree(whole, state)
        child = os.fork()
        if child == 0:
            _open_and_die(state, number)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


def _open_and_die(state: Path, before: int) -> NoReturn:
    numbers = count(1)
    connect = statedb._connect

    def die_in_time(_statement: str) -> None:
        if next(numbers) == before:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect_traced(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(die_in_time)
        return connection

    statedb._connect = connect_traced
    open_all(state)
    os._exit(0)


if __name__ == "__main__":
    main()
