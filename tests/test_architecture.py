"""The shape of the house: which way imports point, who may talk to the world, what is decided without it."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
PACKAGES = ("s3batch", "s3sync")

FRONT_DOORS = {
    "s3batch.__main__",
    "s3batch.app",
    "s3batch.cli",
    "s3sync.__main__",
    "s3sync.app",
    "s3sync.cli",
    "s3sync.frontdoor",
    "s3sync.wiring",
}
"""Who may ask for the environment, the arguments and the time of day; all others are told."""

DEMO = "s3batch.demo"
"""A front door of several files."""

ONLY_IMPORTER = {
    "apprise": "s3sync.observe.by_apprise",
    "awscrt": "s3sync.store.checksum",
    "boto3": "s3sync.store.aws",
    "botocore": "s3sync.store.aws",
    "moto": "s3batch.demo.server",
    "opensearchpy": "s3batch.catalogue.opensearch",
    "prometheus_client": "s3sync.observe.prometheus",
    "psutil": "s3sync.dropzone.writers",
    "pydantic_settings": "s3sync.settings",
    "shtab": "s3sync.completion",
    "structlog": "s3sync.observe.logs",
    "watchdog": "s3sync.dropzone.watch",
}
"""The one file that knows each outside library, so that replacing one is a change in one place."""

IMPORTERS_OF_PYDANTIC = {"s3batch.settings", "s3sync.settings", "s3sync.values"}

PURE = {
    "s3batch.catalogue.words",
    "s3batch.model",
    "s3batch.operate.report",
    "s3batch.pack.names",
    "s3batch.pack.planner",
    "s3batch.restore.cost",
    "s3batch.restore.lifecycle",
    "s3batch.restore.thaw",
    "s3sync.transfer.drops",
    "s3sync.dropzone.candidate",
    "s3sync.dropzone.ladder",
    "s3sync.dropzone.quiet",
    "s3sync.dropzone.glance",
    "s3sync.dropzone.rules",
    "s3sync.errors",
    "s3sync.events",
    "s3sync.hushed",
    "s3sync.keys",
    "s3sync.layers",
    "s3sync.observe.lines",
    "s3sync.observe.metrics",
    "s3sync.observe.troubles",
    "s3batch.operate.told",
    "s3batch.operate.measured",
    "s3sync.transfer.occupied",
    "s3sync.store.contract",
    "s3sync.store.parts",
    "s3sync.store.proof",
    "s3sync.times",
}
"""Files that decide: no disk, no network, no clock, no threads."""

IMPURE_MODULES = {
    "asyncio",
    "concurrent",
    "fcntl",
    "http",
    "io",
    "multiprocessing",
    "random",
    "select",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "uuid",
}
PURE_PARTS_OF_OS = {"stat_result", "fsencode", "fsdecode", "fspath"}
WALL_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "sys.argv"}


def _modules() -> dict[str, ast.Module]:
    found = {}
    for package in PACKAGES:
        for path in sorted((HOUSE / package).rglob("*.py")):
            parts = path.relative_to(HOUSE).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"), str(path))
    return found


MODULES = _modules()


def _imported(name: str) -> Iterator[str]:
    """Yield the full name of everything a module imports, at its top, inside functions or for types only."""
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively: write where it comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_of(imported: str) -> str | None:
    """Return our module that an import reaches: itself, or the one that holds the name."""
    holder = imported.rpartition(".")[0]
    return imported if imported in MODULES else holder if holder in MODULES else None


def _ours(name: str) -> set[str]:
    """Return those of our modules that `name` imports."""
    return {module for imported in _imported(name) if (module := _module_of(imported)) not in {None, name} and module}


def _outside(name: str) -> set[str]:
    """Return the libraries that `name` imports, by their first name."""
    return {
        first for imported in _imported(name) if (first := imported.split(".")[0]) not in {*PACKAGES, *sys.stdlib_module_names}
    }


def _dotted(name: str) -> set[str]:
    """Return every `a.b` that a module writes, such as `os.environ`; of `a.b.c` both `a.b` and `b.c`."""
    found = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            before = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            found.add(f"{before}.{node.attr}")
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("s3sync")])
def test_s3sync_knows_nothing_of_s3batch(name: str) -> None:
    """The arrow between the packages points one way."""
    assert [] == [imported for imported in _imported(name) if imported.split(".")[0] == "s3batch"]


def test_no_module_imports_itself_by_a_detour() -> None:
    """Among our modules there is no cycle, not even one that only a type checker walks."""
    try:
        graphlib.TopologicalSorter({name: _ours(name) for name in MODULES}).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(error.args[1][::-1]))


def test_no_module_imports_the_tests() -> None:
    """What is installed gets along without what tests it."""
    assert [] == [name for name in MODULES if "tests" in {imported.split(".")[0] for imported in _imported(name)}]


@pytest.mark.parametrize("library", ONLY_IMPORTER)
def test_each_library_is_known_to_one_file(library: str) -> None:
    """An outside service's client library is imported in one file."""
    assert {ONLY_IMPORTER[library]} >= {name for name in MODULES if library in _outside(name)}


def test_no_library_comes_in_unnoticed() -> None:
    """Every library our packages import is in the table; type stubs stay in the room of their library."""
    stubs_and_tools = {"mypy_boto3_s3": "s3sync.store.", "mypy_boto3_sts": "s3sync.store.", "urllib3": "s3sync.store."}
    unknown = {
        (name, library)
        for name in MODULES
        for library in _outside(name) - ONLY_IMPORTER.keys()
        if not name.startswith(stubs_and_tools.get(library, "nowhere"))
        and not (library == "pydantic" and name in IMPORTERS_OF_PYDANTIC)
    }

    assert set() == unknown


@pytest.mark.parametrize("name", sorted(name for name in MODULES.keys() - FRONT_DOORS if not name.startswith(DEMO)))
def test_only_front_doors_read_environment_arguments_and_clock(name: str) -> None:
    """Everybody else is handed settings, arguments and `now`."""
    written = _dotted(name) | {imported for imported in _imported(name) if imported in ENVIRONMENT | WALL_CLOCKS}

    assert set() == written & (ENVIRONMENT | WALL_CLOCKS)


@pytest.mark.parametrize("name", sorted(PURE & MODULES.keys()))
def test_pure_files_touch_nothing(name: str) -> None:
    """A file that decides imports nothing that acts, and opens nothing."""
    imported = {part for full in _imported(name) for part in (full, full.rpartition(".")[0], full.split(".")[0])}
    of_os = {dotted for dotted in _dotted(name) if dotted.startswith("os.")}
    called = {
        node.func.id for node in ast.walk(MODULES[name]) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert set() == imported & IMPURE_MODULES
    assert of_os <= {f"os.{part}" for part in PURE_PARTS_OF_OS}
    assert set() == called & {"open", "print", "input"}


def test_the_tables_name_files_that_exist() -> None:
    """A renamed file does not slip out of the rules: what the design names is there."""
    assert set() == PURE - MODULES.keys()
    assert set() == set(ONLY_IMPORTER.values()) - MODULES.keys()
    assert set() == FRONT_DOORS - MODULES.keys()
