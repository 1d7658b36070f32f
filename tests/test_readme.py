"""The commands of the README do what it shows, on what `make demo ARGS=--keep` leaves behind.

A `console` block holds commands after `$ ` and, below each, what it says. Commands run as printed, in order, in one shell.
What is shown must be what came, line for line, but for what differs from run to run: numbers, times, ids, paths, names of
people; `...` stands for any lines. Lines whose program this machine lacks (`aws`, `jq`) are left out.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree as ET

import pytest

from tests.picture import PICTURE, drawn

HOUSE = Path(__file__).parent.parent
FORMATS = HOUSE / "docs" / "formats.md"
SVG_TEXT = "{http://www.w3.org/2000/svg}text"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Kept:
    """A demo that was left running: what it printed, and the variables that lead to it."""

    printed: list[str]
    variables: Mapping[str, str]


@contextmanager
def demo() -> Iterator[Kept]:
    """Run the demo, and clear away what it keeps as it says."""
    ended = subprocess.run([sys.executable, "-m", "s3batch.demo", "--keep"], check=True, text=True, stdout=subprocess.PIPE)
    printed = ended.stdout.splitlines()
    exports = (shlex.split(line)[1].partition("=") for line in printed if line.startswith("  export "))
    (end,) = re.findall(r"To end it: kill (\d+); rm -r (\S+)", ended.stdout)
    yield Kept(printed, {name: value for name, _, value in exports})
    os.kill(int(end[0]), signal.SIGTERM)
    shutil.rmtree(end[1])


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """A demo for all tests here that ask it something."""
    with demo() as kept:
        yield kept


@pytest.fixture
def environment(kept: Kept) -> dict[str, str]:
    """The environment of somebody who pasted the demo's `export` lines."""
    return _environment(kept)


def test_the_commands_of_the_readme(tmp_path: Path) -> None:
    """Each command ends with 0 and says what the README shows, on a demo that nobody else has worked on."""
    with demo() as kept, Shell(_environment(kept), tmp_path) as shell:
        for command, shown in _commands((HOUSE / "README.md").read_text("utf-8")):
            if not _is_here(command):
                continue
            code, said = shell.run(command)

            assert (0, said) == (code, said), command
            assert _fits(shown, said), f"$ {command}\n" + "\n".join(said)


def test_the_picture_is_of_this_demo(kept: Kept) -> None:
    """The picture shows what the demo prints today, and can be parsed."""
    printed = kept.printed[: kept.printed.index("Everything is left running. To look around:") - 1]
    everything = [*printed, "", kept.printed[-1]]

    assert _text_of(drawn(everything)) == _text_of(PICTURE.read_text("utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "accept demo-cameras/north/clip-099.mp4.filepart",
        "completion bash",
        "config show",
        "doctor",
        "find caf",
        "ls",
        "notify test --set notify=http://127.0.0.1:1/hook",
        "ls s3://demo-invoices/2026/11/",
        "ls s3://demo-invoices/2026/11/05/",
        "plan --once",
        "manifests --dry-run",
        "rebuild --bucket demo-invoices",
        "report --month {month}",
        "requests",
        "requests show {request}",
        "restore --dry-run --to back s3://demo-invoices/2026/11/01/ s3://demo-invoices/nothing",
        "restore --to back s3://demo-invoices/2026/11/02/",
        "run --once --set folder={empty} --set state={empty}.state",  # of its own: what is planned shall stay
        "show s3://demo-backups/etc/empty.conf",
        "show --members {archive}",
        "status",
        "verify --all",
        "why demo-cameras/north/clip-099.mp4.filepart",
    ],
)
def test_the_fields_of_json(environment: dict[str, str], tmp_path: Path, line: str) -> None:
    """Every field a command prints with `--json` is explained in its section of docs/formats.md."""
    command = line.split(maxsplit=1)[0]
    names = {"request": "", "archive": "", "month": f"{datetime.now(tz=UTC):%Y-%m}", "empty": str(tmp_path / "zone")}
    (tmp_path / "zone").mkdir()
    if "{" in line:
        names["request"] = str(_records("requests", environment, tmp_path)[0]["request"])
        found = _records("find müller 0042", environment, tmp_path)[0]
        names["archive"] = f"s3://{found['bucket']}/{found['archive']}"
    records = _records(line.format(**names), environment, tmp_path)

    assert records
    assert set() == {name for record in records for name in record} - explained(command)


def explained(command: str) -> set[str]:
    """Return the fields that docs/formats.md explains for a command."""
    return set(re.findall(r"`([a-z_0-9]+)`", _section(command)))


def _environment(kept: Kept) -> dict[str, str]:
    programs = Path(sys.executable).parent
    return {**os.environ, **kept.variables, "PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


class Shell:
    """One bash, fed a command at a time."""

    MARK = "<<<ended "

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        """Start in `folder`."""
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            env=environment,
            cwd=folder,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, command: str) -> tuple[int, list[str]]:
        """Run a command and return its code and the lines of both its outputs."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null; code=$?; echo; echo '{self.MARK}'$code\n")
        self._bash.stdin.flush()
        said: list[str] = []
        for line in self._bash.stdout:
            if line.startswith(self.MARK):
                return int(line.removeprefix(self.MARK)), said[:-1] if said and not said[-1] else said
            said.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended at: {command}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bash.communicate("exit\n")


def _commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every command of the `console` blocks with the lines shown below it."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        command = ""
        shown: list[str] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command, shown
                command, shown = line.removeprefix("$ "), []
            else:
                shown.append(line)
        yield command, shown


def _is_here(command: str) -> bool:
    """Tell whether this machine has what a line needs besides our own programs: a line that follows needs the one before."""
    needed = {"aws", "jq"} if re.search(r"\b(aws|jq|manifest|archive\.tar|invoice\.pdf)\b", command) else set()
    return all(shutil.which(program) for program in needed)


def _fits(shown: list[str], said: list[str]) -> bool:
    patterns = [".*" if line == "..." else re.escape(plain(line)) + "\n" for line in _trimmed(shown)]
    return re.fullmatch("".join(patterns), "".join(f"{plain(line)}\n" for line in _trimmed(said)), re.DOTALL) is not None


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(lines).strip("\n").split("\n") if any(lines) else []


def _text_of(picture: str) -> str:
    """Return all that a picture says, wherever its lines were wrapped."""
    texts = ET.fromstring(picture).iter(SVG_TEXT)  # noqa: S314  # it is ours
    return plain(" ".join(text.text or "" for text in texts))


def plain(line: str) -> str:
    """Return a line without what differs from run to run."""
    line = re.sub(r"(?<!\S)/\S*/(back|dropzone|state)\b", r"/\1", line)
    line = re.sub(rf"\b{re.escape(getpass.getuser())}\b(?= |,|$)", "you", line)
    line = re.sub(r"--after \S+", "--after ...", line)
    line = re.sub(r"\d{8}T\d{6}-[0-9a-f]+|\b[0-9a-f]{64}\b", "ID", line)
    line = re.sub(r"\d[\d.]* ([KMGTPE]iB|B)\b", "SIZE", line)
    line = re.sub(r"\b\d[\d.]* (s|min|h|d)\b( \d+ (s|min|h)\b)?", "DURATION", line)
    line = re.sub(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d+ [A-Z][a-z]+ ", "DAY ", line)
    line = re.sub(r"\d[\d,.]*", "0", line)
    return re.sub(r"\s+", " ", line).strip()


def _section(command: str) -> str:
    text = FORMATS.read_text("utf-8")
    begin = text.index(f"### `{command}`\n")
    end = text.find("\n##", begin + 4)
    return text[begin:end] if end >= 0 else text[begin:]


def _records(line: str, environment: Mapping[str, str], folder: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "s3batch", *shlex.split(line), "--json"]
    ended = subprocess.run(command, env=environment, cwd=folder, check=False, text=True, stdout=subprocess.PIPE)
    return [json.loads(record) for record in ended.stdout.splitlines()]
