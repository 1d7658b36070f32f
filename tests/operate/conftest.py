"""A host on which somebody asks: its folders below `tmp_path`, the time an hour after everything in it was made."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from s3batch.app import App
from s3batch.model import Batch, Closed, Reservation, SpooledArchive, StoredArchive
from s3batch.operate.records import Records
from s3batch.pack.build import BuildJob, build
from s3batch.pack.lifecycle import State
from s3batch.pack.members import read_member_list
from s3batch.pack.names import Names
from s3batch.pack.steps import record_of
from s3batch.settings import Settings
from s3sync.dropzone.candidate import Candidate, Candidates, Identity
from s3sync.dropzone.writers import ignore_lease_signals
from s3sync.errors import Exit
from s3sync.output import Output
from s3sync.store.contract import StorageClass
from s3sync.store.proof import Proof
from s3sync.times import from_ns
from tests.pack.conftest import Bench, bench, make

__all__ = ["bench", "make"]

CRC = "AAAAAAAAAAA="
_NUMBERS = itertools.count()


class LaterApp(App):
    """The application at a moment a test has chosen."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said and ended with."""

    code: Exit
    records: list[dict[str, Any]]
    text: str

    @property
    def record(self) -> dict[str, Any]:
        """The only record."""
        (only,) = self.records
        return only


@dataclass(slots=True)
class Host:
    """One host: its drop zone and its state folder, which nobody has made yet."""

    root: Path
    state: Path
    settings: dict[str, str]
    moment: datetime

    def app(self, output: Output | None = None, **settings: str) -> LaterApp:
        """Return the application with these settings, to be used as a context."""
        given = {f"S3BATCH_{name.upper()}": value for name, value in {**self.settings, **settings}.items()}
        app = LaterApp(Settings.read(environment=given), output or Output())
        app.moment = self.moment
        return app

    def ask(self, name: str, *argv: str, as_json: bool = True, **settings: str) -> Answer:
        """Run a command as the front door would."""
        command = import_module(f"s3batch.commands.{name}")
        parser = argparse.ArgumentParser()
        command.setup(parser)
        stdout, stderr = io.StringIO(), io.StringIO()
        output = Output(as_json=as_json, stdout=stdout, stderr=stderr)
        with self.app(output, **settings) as app:
            code = command.run(parser.parse_args(list(argv)), app)
        lines = stdout.getvalue().splitlines() if as_json else []
        return Answer(code, [json.loads(line) for line in lines], (stderr if as_json else stdout).getvalue())

    @contextmanager
    def journalled(self, state: State, *paths: bytes, error: str | None = None, bucket: str = "bucket") -> Iterator[str]:
        """Have a batch in the journal, in `state`, of files that lie in the drop zone; yields its id."""
        with self.app() as app:
            yield _brought_to(app, state, paths, error, bucket)


def _brought_to(app: LaterApp, state: State, paths: tuple[bytes, ...], error: str | None, bucket: str) -> str:
    names = Names(
        storage_class=StorageClass.DEEP_ARCHIVE,
        manifest_bucket=None,
        host="host",
        tool="test",
        new_suffix=lambda: f"{next(_NUMBERS):012x}",
    )
    batch = Batch(bucket=bucket, folder="", candidates=Candidates(bucket), planned_bytes=2048, reason=Closed.ONCE)
    reservation = app.journal.reserve(batch, names)
    for step in (State.SPOOLED, State.STORED, State.MANIFESTED, State.CATALOGUED, State.RELEASED):
        if state in {State.RESERVED, State.ABANDONED}:
            break
        _advance(app, step, reservation, paths)
        if step is state:
            break
    if state is State.ABANDONED:
        app.journal.abandoned(reservation.id, error or "given up")
    elif error is not None:
        app.journal.failed(reservation.id, error)
    return reservation.id


def _candidate(app: LaterApp, path: bytes) -> Candidate:
    bucket, _, key = path.partition(b"/")
    return Candidate(bucket.decode(), key, path, Identity.of(os.lstat(os.path.join(os.fsencode(app.zone.path), path))))


def _advance(app: LaterApp, step: State, reservation: Reservation, paths: tuple[bytes, ...]) -> None:
    folder = app.spool.folder(reservation.id)
    spooled = SpooledArchive(
        reservation=reservation, folder=folder, size=2048, crc64nvme=CRC, members=len(paths), content_bytes=3
    )
    stored = StoredArchive(spooled=spooled, proof=Proof(ref=reservation.archive, size=2048, crc64nvme=CRC, etag='"e"'))
    match step:
        case State.SPOOLED:
            candidates = Candidates.of("bucket", (_candidate(app, path) for path in paths))
            build(BuildJob(root=str(app.zone.path), folder=str(folder), candidates=candidates, max_bytes=1 << 20))
            app.journal.spooled(spooled)
        case State.STORED:
            app.journal.stored(stored)
        case State.MANIFESTED:
            app.journal.manifested(reservation.id)
        case State.CATALOGUED:
            app.catalogue.add(record_of(stored), (entry.member for entry in read_member_list(spooled.member_list)))
            app.journal.catalogued(reservation.id, lambda _: None)
        case _:
            app.journal.released(reservation.id, released=len(paths), vanished=0, kept=0)
            shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _nobody_dies_of_a_lease() -> None:
    ignore_lease_signals()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with an empty drop zone of two buckets."""
    root = tmp_path / "drop"
    for bucket in ("bucket", "other"):
        (root / bucket).mkdir(parents=True)
    settings = {"folder": str(root), "state": str(tmp_path / "state"), "max_batch_size": "1MiB", "spool_limit": "16MiB"}
    later = from_ns((root / "other").stat().st_ctime_ns) + timedelta(hours=1)
    return Host(root, tmp_path / "state", settings, later)


@pytest.fixture
def records_of() -> Callable[[Bench], Records]:
    """Return what a bench's state folder holds, as an operator's question sees it."""

    def records(of: Bench) -> Records:
        return Records(
            spool=of.spool.root,
            db=of.journal._db,
            journal=of.journal,
            unreleased=of.unreleased,
            catalogue=of.catalogue,
        )

    return records
