"""The parts of the documents that the programs themselves write: what each is called, where it stands, what it says now."""

from __future__ import annotations

import gzip
import importlib
import inspect
import pkgutil
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType

import s3batch
import s3batch.cli
import s3sync
import s3sync.cli
from s3batch.catalogue import outbox, sqlite_schema
from s3batch.operate import measured, told
from s3batch.pack import accepted, journal, transfers, unreleased
from s3batch.restore import engine, schema
from s3batch.restore.cost import ColdArchive, Estimate, Upkeep, dollars, estimate, upkeep
from s3batch.settings import Settings as BatchSettings
from s3sync import measures
from s3sync.dropzone.reasons import MEANINGS
from s3sync.dropzone.remedies import REMEDIES
from s3sync.errors import EXIT_MEANINGS
from s3sync.events import Event, silent
from s3sync.frontdoor import Program
from s3sync.observe import counts, notifier
from s3sync.observe.metrics import Metric
from s3sync.observe.troubles import Route
from s3sync.settings import CommonSettings
from s3sync.settings import Settings as SyncSettings
from s3sync.statedb import StateDb
from s3sync.store.contract import StorageClass, Tier
from s3sync.transfer import journal as drops
from tests.deploy import costs
from tests.goldens import FOLDER as GOLDENS
from tests.hostile.test_rights import LEFT, RIGHTS, TABLE, TAKEN

HOUSE = Path(__file__).parent.parent
README, DESIGN, FORMATS, OPERATING, WATCHING = (
    HOUSE / name for name in ("README.md", "docs/design.md", "docs/formats.md", "docs/operating.md", "docs/watching.md")
)
PROGRAMS = (s3batch.cli.PROGRAM, s3sync.cli.PROGRAM)
SETTINGS: tuple[type[CommonSettings], ...] = (BatchSettings, SyncSettings)
HOME_DEFAULTS = {
    "/HOME/s3_buckets/batch": "$HOME/s3_buckets/batch",
    "/HOME/s3_buckets/sync": "$HOME/s3_buckets/sync",
    "/HOME/.local/state/s3batch": "~/.local/state/s3batch",
    "/HOME/.local/state/s3sync": "~/.local/state/s3sync",
    "/HOME/.local/state/s3batch/spool": "<state>/spool",
}
MILLION, SMALL, ARCHIVE = 1_000_000, 64 * 1024, 1024**3
MANIFEST_BYTES_A_MEMBER = 60
"""What a member takes in a packed manifest; half of it is its digest."""


def _table(headers: str, rows: Iterable[str]) -> str:
    return "\n".join([headers, "|" + "---|" * (headers.count("|") - 1), *rows])


def _settings(kind: type[CommonSettings]) -> str:
    shown = kind.read(environment={"HOME": "/HOME"}).shown()
    rows = (f"| `{one.variable}` | {_default(one.value)} | {one.help} |" for one in shown)
    return _table("| variable | default | meaning |", rows)


def _default(value: str | None) -> str:
    return f"`{HOME_DEFAULTS.get(value, value)}`" if value else ""


def _commands(program: Program) -> str:
    helps = ((name, program.command(name).HELP.rstrip(".")) for name in program.commands)
    rows = (f"| `{program.name} {name}` | {text[:1].upper()}{text[1:]}. |" for name, text in helps)
    return _table("| command | what it does |", rows)


def _exit_codes() -> str:
    return _table("| code | meaning |", (f"| {code} | {text} |" for code, text in EXIT_MEANINGS.items()))


def _why_archives() -> str:
    """Return what a million small files cost, one object each and in archives, by the program's own price list."""
    tars = MILLION * (SMALL + 512)
    archives = -(-tars // ARCHIVE)
    single = upkeep(MILLION * SMALL, MILLION, StorageClass.DEEP_ARCHIVE)
    packed = upkeep(tars, archives, StorageClass.DEEP_ARCHIVE, parts=archives * 16)
    listed = upkeep(MILLION * MANIFEST_BYTES_A_MEMBER, archives, StorageClass.STANDARD)
    both = Upkeep(2 * archives, packed.upload + listed.upload, packed.monthly + listed.monthly)
    rows = (
        f"| {name} | {cost.objects:,} | {dollars(cost.upload)} | {dollars(cost.monthly)} | {dollars(back.total)} |"
        for name, cost, back in (
            ("one object each", single, _bring_back(SMALL)),
            (f"{archives} archives and their manifests", both, _bring_back(ARCHIVE)),
        )
    )
    prices = _bring_back(SMALL).prices
    table = _table("| | objects | to upload | a month | one file back |", rows)
    return f"{table}\n\n*List prices of {prices.region}, {prices.as_of}, as the program uses them; thawed in bulk.*"


def _restore_prices() -> str:
    kinds = [(kind, tier) for kind in (StorageClass.DEEP_ARCHIVE, StorageClass.GLACIER) for tier in (Tier.BULK, Tier.STANDARD)]
    rows = (
        f"| `{kind}` | {tier} | {found.hours:g} hours | {dollars(found.total)} |"
        for kind, tier in kinds
        for found in (_bring_back(ARCHIVE, tier, kind),)
    )
    return _table("| class | `--tier` | typically within | about |", rows)


def _bring_back(archive_bytes: int, tier: Tier = Tier.BULK, kind: StorageClass = StorageClass.DEEP_ARCHIVE) -> Estimate:
    return estimate([ColdArchive(kind, archive_bytes)], members=1, member_bytes=SMALL, tier=tier, days=3)


def _held() -> str:
    """Return every reason, what it means, and what has to happen; those that need a person are marked."""
    rows = (
        f"| `{reason}` | {meaning} | {'**yes**' if REMEDIES[reason].lasting else ''} | {REMEDIES[reason].sentence} |"
        for reason, meaning in MEANINGS.items()
    )
    return _table("| reason | the file is left alone because | a person? | what has to happen |", rows)


def all_events() -> dict[str, type[Event]]:
    """Return every kind of event of both programs, by name."""
    for package in (s3sync, s3batch):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    kinds = [kind for kind in _below(Event) if kind.__module__.startswith(("s3sync.", "s3batch."))]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}


def _below(kind: type[Event]) -> Iterator[type[Event]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _events() -> str:
    rows = (
        f"| `{name}` | {kind.level} | {_first_paragraph(kind)} | {', '.join(f'`{field.name}`' for field in fields(kind))} |"
        for name, kind in all_events().items()
    )
    return _table("| event | level | what happened | fields |", rows)


def _first_paragraph(kind: type[Event]) -> str:
    return re.sub(r"\s+", " ", (inspect.getdoc(kind) or "").split("\n\n")[0])


def _measured_rights() -> str:
    headers = "| rights | " + " | ".join(LEFT) + " |"
    rows = (f"| {rights} | " + " | ".join(_shown(TABLE[rights][left]) for left in LEFT) + " |" for rights in RIGHTS)
    return _table(headers, rows)


def _shown(what: str) -> str:
    return "taken" if what == TAKEN else f"`{what}`"


Maker = Callable[[StateDb], object]
"""Makes the tables of a room."""


def _schemas() -> str:
    """Return every room of the state databases: how many steps its schema has come, its tables, and where they are made."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now() -> datetime:
        return moment

    def make_transfers(db: StateDb) -> object:
        known = accepted.AcceptedFiles(db, now=now)
        return transfers.TransferLogs(db, (), known, now=now, zones=(UTC,), listener=silent)

    files: Mapping[str, Mapping[ModuleType, Maker]] = {
        "`journal.db` of `s3batch`": {
            journal: lambda db: journal.PackJournal(db, now=now),
            unreleased: lambda db: unreleased.UnreleasedFiles(db, now=now),
            accepted: lambda db: accepted.AcceptedFiles(db, now=now),
            transfers: make_transfers,
            outbox: outbox.prepare,
            schema: lambda db: db.migrate(engine.ROOM, schema.SCHEMA),
        },
        "`catalogue.db`": {sqlite_schema: lambda db: db.migrate(sqlite_schema.ROOM, sqlite_schema.STEPS)},
        "`journal.db` of `s3sync`": {drops: lambda db: drops.Journal(db, now)},
        "`watch.db` of both": {counts: counts.Counts, notifier: lambda db: db.migrate(notifier.ROOM, notifier.SCHEMA)},
    }
    rows = [row for file, makers in files.items() for row in _rooms_of(file, makers)]
    return _table("| file | room | version | tables | made in |", rows)


def _rooms_of(file: str, makers: Mapping[ModuleType, Maker]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        db = StateDb.open(Path(folder) / "state.db")
        rooms: set[str] = set()
        known: set[str] = set()
        for module, make in makers.items():
            make(db)
            versions, tables = _made(db)
            (room,) = versions.keys() - rooms
            shown = ", ".join(f"`{name}`" for name in sorted(tables - known))
            yield f"| {file} | `{room}` | {versions[room]} | {shown} | `{module.__name__.replace('.', '/')}.py` |"
            rooms, known = set(versions), tables
        db.close()


def _made(db: StateDb) -> tuple[dict[str, int], set[str]]:
    """Return the rooms with their versions, and all tables but SQLite's own and those of its full-text index."""
    with db.read() as connection:
        versions = dict(connection.execute("SELECT room, max(number) FROM migrations GROUP BY room").fetchall())
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return versions, {name for (name,) in names if not name.startswith(("sqlite_", "names_", "migrations"))}


def _metrics(program: str, metrics: Iterable[Metric]) -> str:
    """Return every metric of a program."""
    rows = (
        f"| `{program}_{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in metrics
    )
    return _table("| metric | kind | labels | what it is |", rows)


def _told(routes: Mapping[str, Route]) -> str:
    """Return which events people are told of besides the digest."""
    rows = (
        f"| `{name}` | {route.urgency}{', lasting where it passes by itself' if route.eases else ''} |"
        f" {f'`{route.by}`' if route.by else ''} | {', '.join(f'`{each}`' for each in sorted(route.enders()))} |"
        for name, route in routes.items()
    )
    return _table("| event | told | causes apart by | over with |", rows)


def _golden(name: str, language: str) -> str:
    content = (GOLDENS / name).read_bytes()
    text = gzip.decompress(content) if name.endswith(".gz") else content
    return f"```{language}\n{text.decode('utf-8').strip()}\n```"


PARTS: Mapping[str, tuple[Path, Callable[[], str]]] = {
    **{f"settings of {kind.PREFIX[:-1].lower()}": (README, partial(_settings, kind)) for kind in SETTINGS},
    **{f"commands of {program.name}": (README, partial(_commands, program)) for program in PROGRAMS},
    "exit codes": (README, _exit_codes),
    "why archives": (README, _why_archives),
    "prices of a restore": (README, _restore_prices),
    "held": (OPERATING, _held),
    "events": (OPERATING, _events),
    "measured rights": (OPERATING, _measured_rights),
    "metrics of s3batch": (WATCHING, partial(_metrics, "s3batch", measured.METRICS)),
    "metrics of s3sync": (WATCHING, partial(_metrics, "s3sync", measures.METRICS)),
    "told of s3batch": (WATCHING, partial(_told, told.ROUTES)),
    "told of s3sync": (WATCHING, partial(_told, measures.ROUTES)),
    "schemas": (FORMATS, _schemas),
    "manifest": (FORMATS, partial(_golden, "manifest-v1.json.gz", "json")),
    "document": (FORMATS, partial(_golden, "document-v1.json", "json")),
    **{
        f"cost of {stack.__name__}": (HOUSE / f"docs/deploy/{stack.__name__}.md", stack)
        for stack in (costs.host, costs.buckets, costs.search, costs.notices)
    },
    "sizes of a host": (HOUSE / "docs/deploy/host.md", costs.sizes),
}
"""Every generated part: the page it stands in, and what writes it."""
