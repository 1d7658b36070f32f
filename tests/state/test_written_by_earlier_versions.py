"""State folders that earlier versions wrote open in this one, whenever it is killed meanwhile, and the way back is kept.

`tests/state/written/` holds the databases of each version that had a schema of its own, as its own code left them
(`tests/state/write_state.py`): two archives released with OpenSearch away, a restore request for one of their members.
"""

from __future__ import annotations

import gzip
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from s3batch.app import App
from s3batch.catalogue.contract import Query
from s3batch.settings import Settings
from s3sync.errors import Preflight
from s3sync.output import Output
from tests.state.opening import NEWEST_SYNC, open_all

WRITTEN = sorted((Path(__file__).parent / "written").iterdir())
SYNCED = {"s3sync-journal.db": "journal.db"}
BATCHED = {"s3batch-journal.db": "journal.db", "s3batch-catalogue.db": "catalogue.db"}

KEPT = {
    "2026-11-21-first": {"journal.db.pack-1", "journal.db.outbox-0"},
    "2026-11-21-redelivered": {"journal.db.outbox-0"},
    "2026-11-25-outbox": set[str](),
}
"""Which copies remain of what a version wrote."""
MANY = 20
"""An update of anything is more statements than this."""
UNCHANGED = ("batches", "outbox", "outbox_columns", "requests")

each_version = pytest.mark.parametrize("version", WRITTEN, ids=lambda folder: folder.name)


def unpack(version: Path, into: Path) -> Path:
    """Lay out the state folder of s3batch as a version left it."""
    into.mkdir(mode=0o700)
    for name, called in BATCHED.items():
        (into / called).write_bytes(gzip.decompress((version / f"{name}.gz").read_bytes()))
        (into / called).chmod(0o600)
    return into


@pytest.fixture
def state(version: Path, tmp_path: Path) -> Path:
    """A state folder that a version left."""
    return unpack(version, tmp_path / "state")


@pytest.fixture
def app(state: Path, tmp_path: Path) -> Iterator[App]:
    """This version of the program on that folder, with an index that is away."""
    given = {"FOLDER": str(tmp_path / "drop"), "STATE": str(state), "OPENSEARCH_URL": "http://127.0.0.1:1"}
    settings = Settings.read(environment={"HOME": str(tmp_path), **{f"S3BATCH_{name}": value for name, value in given.items()}})
    with App(settings, Output()) as opened:
        yield opened


@each_version
def test_everything_is_there(app: App) -> None:
    """Batches, what waits for the index, members and the request are what that version wrote."""
    assert app.outbox is not None
    assert app.journal.unfinished() == []
    with app.journal_db.read() as db:
        batches = {row["id"]: row["state"] for row in db.execute("SELECT id, state FROM batches")}
    oldest = app.outbox.next_due(app.now(), ())
    keys = {entry.member.key for entry in app.catalogue.find(Query(limit=10)).entries}

    assert {"released"} == set(batches.values())
    assert len(batches) == app.outbox.behind().archives
    assert oldest is not None
    assert ("s3-batch-2026.11", True) == (oldest.goes_to, oldest.batch in batches)
    assert {b"a/one.txt", b"a/two.txt", b"b/three.txt"} == keys
    assert 1 == len(app.restore_engine.requests.newest_first())


@each_version
def test_what_was_changed_is_kept_as_it_was(version: Path, state: Path) -> None:
    """Where a schema is brought up to date, the file of before lies beside it and holds what that version wrote."""
    before = contents(state / "journal.db")
    open_all(state)
    kept = {path.name: contents(path) for path in state.glob("journal.db.*-[0-9]")}

    assert KEPT[version.name] == set(kept)
    for copy in kept.values():
        assert {name: before[name] for name in UNCHANGED} == {name: copy[name] for name in UNCHANGED}
    assert {0o600} >= {(state / name).stat().st_mode & 0o777 for name in kept}


@each_version
@pytest.mark.slow
def test_killed_before_every_statement(version: Path, tmp_path: Path) -> None:
    """Killed before any statement of the update, the file holds an old schema or the new one, and the next start has it all."""
    whole, copies = unpack(version, tmp_path / "whole"), tmp_path / "copies"
    copies.mkdir()
    rows = contents(whole / "journal.db")["batches"]
    subprocess.run([sys.executable, "-m", "tests.state.opening", whole, copies], check=True)
    wanted = contents(copies / str(len(os.listdir(copies))) / "journal.db")

    assert len(os.listdir(copies)) > MANY
    for state in copies.iterdir():
        assert rows == contents(state / "journal.db")["batches"]
        open_all(state)
        assert wanted == contents(state / "journal.db")


@each_version
def test_s3sync_goes_on(version: Path, tmp_path: Path) -> None:
    """The journal of s3sync opens, and its passes are there."""
    path = tmp_path / "journal.db"
    path.write_bytes(gzip.decompress((version / "s3sync-journal.db.gz").read_bytes()))
    open_all(tmp_path, sync=True)

    with closing(sqlite3.connect(path)) as db:
        assert [(NEWEST_SYNC,)] == db.execute("SELECT max(number) FROM migrations WHERE room = 'sync'").fetchall()
        assert [] != db.execute("SELECT * FROM passes").fetchall()


def test_the_newest_schemas_are_among_them(tmp_path: Path) -> None:
    """Who adds a step to a schema also adds a state with that step: the newest state here has all there are."""
    state = unpack(WRITTEN[-1], tmp_path / "state")
    before = steps(state / "journal.db"), steps(state / "catalogue.db")
    open_all(state)
    rooms = {room for room, _ in before[0]}

    assert before == ({step for step in steps(state / "journal.db") if step[0] in rooms}, steps(state / "catalogue.db"))


def test_a_newer_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    """A journal that a newer program wrote is refused by file, room and versions, and nothing of it is changed."""
    state = unpack(WRITTEN[-1], tmp_path / "state")
    with closing(sqlite3.connect(state / "journal.db")) as db, db:
        db.execute("INSERT INTO migrations (room, number) VALUES ('pack', 99)")
    before = contents(state / "journal.db")

    with pytest.raises(Preflight, match="its pack schema is version 99, this program knows versions up to") as caught:
        open_all(state)
    assert "\n" not in str(caught.value)
    assert before == contents(state / "journal.db")


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return what a database says that a migration could lose."""
    queries = {
        "batches": "SELECT id, archive_key, created, state, size, crc64nvme, members, released FROM batches ORDER BY id",
        "migrations": "SELECT room, number FROM migrations ORDER BY room, number",
        "outbox": "SELECT batch, bucket, archive, created FROM outbox ORDER BY batch",
        "outbox_columns": "SELECT name FROM pragma_table_info('outbox')",
        "requests": "SELECT id FROM requests ORDER BY id",
    }
    with closing(sqlite3.connect(path)) as db:
        return {name: db.execute(query).fetchall() for name, query in queries.items()}


def steps(path: Path) -> set[tuple[str, int]]:
    """Return which steps of which rooms a database has."""
    with closing(sqlite3.connect(path)) as db:
        return {(room, number) for room, number in db.execute("SELECT room, number FROM migrations")}
