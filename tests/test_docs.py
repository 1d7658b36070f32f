"""What the documents say is what the programs know, and a stranger can follow every link in them.

README and docs hold generated parts between `<!-- begin NAME -->` and `<!-- end NAME -->`; `make goldens` writes them anew.
What the README's commands print is held to it in `tests/test_readme.py`.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3batch.operate.degraded import Cause
from s3sync.dropzone import watch
from s3sync.errors import EXIT_MEANINGS
from s3sync.frontdoor import Program
from s3sync.frontdoor import main as front_door
from s3sync.transfer import originals
from tests.generated import DESIGN, HOUSE, OPERATING, PARTS, PROGRAMS, SETTINGS, all_events
from tests.goldens import RENEW

PAGES = sorted([*HOUSE.glob("*.md"), *HOUSE.glob("docs/**/*.md"), *HOUSE.glob("deploy/**/*.md")])

TRACES = {
    "a path of the machine it was made on": r"/wor[k]/|/roo[t]/\.|\.pyen[v]",
    "a place packages come from": r"pypi\.or[g]|pythonhosted\.or[g]|registry\.npmj[s]|proxy\.golan[g]|/simpl[e]/",
    "who made it and how": r"(?i)\bhelper [A-Z]{3,}\b|\bthis sittin[g]\b|\bworking agreemen[t]\b|\bthe lea[d] (commits|says)\b",
}
"""What has no place in a repository that strangers read; each pattern is written so that it does not find itself."""


@pytest.mark.golden
@pytest.mark.parametrize("name", PARTS)
def test_generated_parts(name: str) -> None:
    """Each generated part of a page is what the programs say now."""
    page, write = PARTS[name]
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    text = page.read_text("utf-8")
    assert begin in text, f"{page.name} has no `{begin.strip()}`"
    before, _, rest = text.partition(begin)
    part, _, after = rest.partition(end)
    wanted = write() + "\n"
    if os.environ.get(RENEW):
        page.write_text(before + begin + wanted + end + after, "utf-8")
        return

    assert wanted == part


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_setting_that_is_none(page: Path) -> None:
    """Every variable with our prefixes is a setting."""
    known = {kind.variable(name) for kind in SETTINGS for name in kind.model_fields} | {
        f"{kind.PREFIX}CONFIG" for kind in SETTINGS
    }

    assert set(re.findall(r"\bS3(?:BATCH|SYNC)_[A-Z_]*[A-Z]\b", page.read_text("utf-8"))) <= known


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_help_names_every_command_and_exit_code(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` is enough to know what there is."""
    front_door(program, ["--help"])
    said = capsys.readouterr().out

    assert set() == set(program.commands) - set(re.findall(r"^  ([a-z-]+)  ", said, re.MULTILINE))
    assert {str(int(code)) for code in EXIT_MEANINGS} == set(re.findall(r"^ +(\d+)  ", said, re.MULTILINE))


@pytest.mark.parametrize(
    ("program", "name"),
    [(program, name) for program in PROGRAMS for name in program.commands],
    ids=lambda one: getattr(one, "name", one),
)
def test_help_of_every_command_shows_examples(program: Program, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command's help ends with two lines that can be typed."""
    front_door(program, [name, "--help"])
    _, _, examples = capsys.readouterr().out.partition("examples:\n")

    assert [True, True] == [f"{program.name} " in line for line in examples.strip().splitlines()][:2]


def test_every_cause_of_degradation_is_explained() -> None:
    """Whatever `status` or an event calls degraded stands in the operator's page under that name."""
    causes = {*map(str, Cause), watch.CAUSE, originals.NO_LEASES, *_in_sources(r'Degraded\(cause="([a-z_]+)"')}

    assert set() == {cause for cause in causes if f"`{cause}`" not in _section(OPERATING, "Degraded")}


def test_every_reason_a_pass_counts_is_explained() -> None:
    """What a pass leaves for reasons of its own stands in the operator's page besides what the rules hold."""
    reasons = _in_sources(r'\.leave\("([a-z_]+)"') | _in_sources(r'return "([a-z]+_[a-z_]+)"\n', "s3batch/pack/build.py")

    assert "spool_full" in reasons
    assert set() == {reason for reason in reasons if f"`{reason}`" not in _section(OPERATING, "What is held, and why")}


def test_every_warning_says_what_to_do() -> None:
    """An event that needs a person is spoken of besides its row in the table."""
    loud = {name for name, kind in all_events().items() if kind.level.value in {"warning", "error"}}
    prose = OPERATING.read_text("utf-8").partition("<!-- end events -->")[2]

    assert set() == {name for name in loud if f"`{name}`" not in prose}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file or heading of ours has something at its other end."""
    assert [] == [target for target in _links(page) if not _leads_somewhere(page, target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_rows_of_a_table_have_as_many_cells_as_its_head(page: Path) -> None:
    """What is in one cell too many is not shown, and nobody misses it."""
    told = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    tables = re.findall(r"(?:^\|.*\n)+", told, flags=re.MULTILINE)
    odd = [row for table in tables for row in table.splitlines() if _cells(row) != _cells(table.partition("\n")[0])]

    assert [] == odd


def test_the_promise_names_tests_that_exist() -> None:
    """Each promise of the design is shown by tests that are there."""
    promises = re.split(r"^- \*\*(I\d+) ", _section(DESIGN, "The promise"), flags=re.MULTILINE)[1:]
    parts = zip(promises[::2], promises[1::2], strict=True)
    named = {number: re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text) for number, text in parts}

    assert {f"I{number}" for number in range(1, 11)} == {number for number, tests in named.items() if tests}
    assert [] == [test for tests in named.values() for test in tests if not _is_test(*test)]


def test_pages_name_files_that_exist() -> None:
    """A path of the repository that a page names in code is there."""
    roots = ("s3batch/", "s3sync/", "tests/", "deploy/", "docs/")
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(r"`([a-z0-9][\w/.-]*)`", page.read_text("utf-8"))
        if path.startswith(roots) and not path.endswith("-")
    }

    assert [] == sorted(one for one in named if not (HOUSE / one[1]).exists())


@pytest.mark.parametrize("what", TRACES)
def test_no_traces(what: str) -> None:
    """No file of the repository names the machine it was made on, a package index, or how it came about."""
    pattern = re.compile(TRACES[what])
    found = [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in _published()
        for number, line in enumerate(_text(HOUSE / path).splitlines(), start=1)
        if pattern.search(line)
    ]

    assert [] == found


def _published() -> list[str]:
    """Return every file that is, or may be, committed."""
    command = ["git", "-C", str(HOUSE), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, check=False, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no clone of the repository")
    return sorted(path for path in listed.stdout.split("\0") if path and (HOUSE / path).is_file())


def _text(path: Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", "replace")


def _section(page: Path, title: str) -> str:
    """Return what stands below a heading, its subsections included."""
    text = page.read_text("utf-8")
    found = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert found, f"{page.name} has no heading {title!r}"
    end = re.search(rf"^#{{1,{len(found[1])}}} ", text[found.end() :], re.MULTILINE)
    return text[found.end() : found.end() + end.start()] if end else text[found.end() :]


def _in_sources(pattern: str, only: str = "") -> set[str]:
    files = [HOUSE / only] if only else [*HOUSE.glob("s3batch/**/*.py"), *HOUSE.glob("s3sync/**/*.py")]
    return {found for path in files for found in re.findall(pattern, path.read_text("utf-8"))}


def _links(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    yield from (
        target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith(("http:", "https:", "mailto:"))
    )


def _leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    return there.exists() and (not anchor or anchor in _anchors(there))


def _anchors(page: Path) -> set[str]:
    """Return what the headings of a page are called in links."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _is_test(path: str, name: str) -> bool:
    file = HOUSE / path
    return file.exists() and any(
        isinstance(node, ast.FunctionDef) and node.name == name for node in ast.parse(file.read_text("utf-8")).body
    )


def _cells(row: str) -> int:
    """Return how many cells a row has; without a bar at its end, none."""
    return len(re.findall(r"(?<!\\)\|", row)) - 1 if row.rstrip().endswith("|") else 0
