"""Arguments in, one command run, an exit code out."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import s3batch.cli
import s3sync.cli
from s3sync.errors import EXIT_MEANINGS, Exit, Transient, gravest
from s3sync.frontdoor import Program, main, read_settings
from tests.front.program import PROGRAM


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("ann", Exit.PENDING, ""),
        ("refuse", Exit.COST_LIMIT, r"tests.front: greeting\n: costs too much. Say less"),
        ("interrupt", Exit.INTERRUPTED, "tests.front: interrupted"),
    ],
)
def test_exit_codes_and_one_line(name: str, code: Exit, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command's code is the program's; a failure is one escaped line on standard error with a code of its own."""
    assert code == main(PROGRAM, ["greet", name])
    assert sentence in capsys.readouterr().err.splitlines() or not sentence


def test_a_library_s_full_stop_is_not_doubled() -> None:
    """What went wrong may end as a library's sentence does; the hint begins a new one all the same."""
    assert "s3://b/k: cannot look at it: no answer. Look at the network" == str(
        Transient("s3://b/k", "cannot look at it: no answer.", "Look at the network")
    )


def test_a_surprise_shows_its_stack(capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody expected prints where it came from and exits with 1."""
    assert Exit.FAILED == main(PROGRAM, ["greet", "surprise"])

    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert "ZeroDivisionError" in told


def test_a_stack_tells_no_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library quotes in a message nobody expected is shown without passwords and keys."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIsecretKEY")

    main(PROGRAM, ["greet", "blab"])

    told = capsys.readouterr().err
    assert "ValueError: https://(hidden)@search:9200 and (hidden)" in told
    assert "pass-word" not in told


@pytest.mark.parametrize("argv", [["--json", "greet", "ann"], ["greet", "--json", "ann"], ["greet", "ann", "--json"]])
def test_json_keeps_standard_output_for_records(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever `--json` stands, standard output has one object a line and people's text goes to standard error."""
    main(PROGRAM, argv)

    told = capsys.readouterr()
    assert [{"hello": "ann"}] == [json.loads(line) for line in told.out.splitlines()]
    assert "hello ann" in told.err


def test_without_json_there_are_no_records(capsys: pytest.CaptureFixture[str]) -> None:
    """People get text on standard output and no objects."""
    main(PROGRAM, ["greet", "ann"])

    assert "hello ann\n" == capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["gret"], ["greet"], ["greet", "ann", "--jso"], ["--confi", "x", "greet", "ann"]])
def test_mistakes_in_the_arguments(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that cannot be understood exits with 2 and says how it should look; flags are never guessed."""
    assert Exit.USAGE == main(PROGRAM, argv)
    assert capsys.readouterr().err.startswith("usage:")


def test_help_names_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` says what each command is for and what every exit code means; a command's own shows its examples."""
    assert Exit.DONE == main(PROGRAM, ["--help"])
    overview = capsys.readouterr().out
    assert Exit.DONE == main(PROGRAM, ["greet", "--help"])
    of_command = capsys.readouterr().out

    assert "  greet  Say hello.\n" in overview
    assert all(f"  {code:>3}  {meaning}\n" in overview for code, meaning in EXIT_MEANINGS.items())
    assert "  tests.front greet ann --json\n" in of_command


@pytest.mark.parametrize("program", [s3batch.cli.PROGRAM, s3sync.cli.PROGRAM])
def test_every_command_says_what_it_is_for(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command of both programs has a line of help and two worked examples."""
    for name in program.commands:
        assert program.command(name).HELP
        assert Exit.DONE == main(program, [name, "--help"])
        assert 2 <= capsys.readouterr().out.count(f"\n  {program.name} {name}")


def test_the_settings_file(tmp_path: Path) -> None:
    """Settings come from the file that a flag names, or a variable; the flag counts more."""
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text('quiet_period = "1s"\n')
    two.write_text('quiet_period = "2s"\n')
    environment = {"HOME": "/h", "S3SYNC_CONFIG": str(one)}

    by_variable = read_settings(PROGRAM, argparse.Namespace(config=None), environment)
    by_flag = read_settings(PROGRAM, argparse.Namespace(config=str(two)), environment)

    assert f"quiet_period in {one}" == by_variable.source("quiet_period")
    assert f"quiet_period in {two}" == by_flag.source("quiet_period")


@pytest.mark.parametrize("content", [None, "quiet_period = ", "\xff"])
def test_a_settings_file_that_cannot_be_read(content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A settings file that is missing, no TOML or no UTF-8 is named, with what is wrong with it."""
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))

    assert Exit.USAGE == main(PROGRAM, ["--config", str(path), "greet", "ann"])
    assert capsys.readouterr().err.startswith(f"tests.front: {path}: cannot be read: ")


def test_flags_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder's flag is taken from where the caller stands, `--set` as it is written."""
    monkeypatch.chdir(tmp_path)
    args = argparse.Namespace(config=None, folder="drop", log_level="debug", set=["quiet-period=5s", "S3SYNC_BUCKETS=a-1,b-1"])

    settings = read_settings(PROGRAM, args, {"HOME": "/h"})

    assert (tmp_path / "drop", "--folder") == (settings.folder, settings.source("folder"))
    assert (("a-1", "b-1"), "--set S3SYNC_BUCKETS") == (settings.buckets, settings.source("buckets"))
    assert "--log-level" == settings.source("log_level")


def test_an_assignment_without_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    """`--set` without an equals sign is a mistake that says how to write it."""
    assert Exit.USAGE == main(PROGRAM, ["--set", "folder", "greet", "ann"])
    assert "tests.front: --set folder: has no value. Write --set NAME=VALUE\n" == capsys.readouterr().err


def test_a_reader_that_leaves_is_no_news() -> None:
    """Output into a pipe whose reader has gone ends the command without a word."""
    command = [sys.executable, "-W", "error", "-m", "tests.front.program", "greet", "flood"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()

    assert ("", Exit.FAILED) == (told, process.returncode)


@pytest.mark.parametrize("who", ["ann", "flood"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_without_room_is_told_of(who: str, flags: list[str], unbuffered: str) -> None:
    """A full disk behind standard output is one line and a failure, not a stack: at the end, and in the middle of much."""
    command = [sys.executable, "-W", "error", "-m", "tests.front.program", *flags, "greet", who]
    with open("/dev/full", "wb") as full:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        ended = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    told = [line for line in ended.stderr.splitlines() if line not in {"hello", f"hello {who}", "False"}]
    assert (["tests.front: standard output: cannot be written: No space left on device. Give it room"], Exit.FAILED) == (
        told,
        ended.returncode,
    )


def test_a_quick_question_loads_nothing_heavy() -> None:
    """Parsing, settings and output get along without the libraries that talk to the world."""
    command = [sys.executable, "-m", "tests.front.program", "greet", "ann"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (Exit.PENDING, "False\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize("module", ["s3batch.__main__", "s3sync.__main__"])
def test_a_worker_process_starts_light(module: str) -> None:
    """What a spawned worker imports again is the standard library and a handful of our own files."""
    code = f"import sys, {module}; print([name for name in sys.modules if name in {{'pydantic', 'boto3', 'structlog'}}])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert "[]\n" == done.stdout


@pytest.mark.parametrize("name", ["s3batch", "s3sync"])
def test_both_ways_of_starting(name: str) -> None:
    """`python -m` and the console script are the same program."""
    script = Path(sys.executable).with_name(name)
    said = [
        subprocess.run([*start, "--version"], check=True, capture_output=True, text=True).stdout
        for start in ([sys.executable, "-m", name], [str(script)])
    ]

    assert {f"{name} {metadata.version('s3batch')}\n"} == set(said)


def test_settings_of_the_process(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`config show` tells every setting, its value and its source, as text and as records."""
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("S3BATCH_QUIET_PERIOD", "90s")

    assert Exit.DONE == s3batch.cli.main(["config", "show", "--json"])
    records = {record["variable"]: record for record in map(json.loads, capsys.readouterr().out.splitlines())}
    assert Exit.DONE == s3batch.cli.main(["config"])
    text = capsys.readouterr().out

    assert ("1m30s", "S3BATCH_QUIET_PERIOD") == tuple(records["S3BATCH_QUIET_PERIOD"][key] for key in ("value", "source"))
    assert ("S3BATCH_FOLDER", "/home/ann/s3_buckets/batch", "default") in [tuple(line.split()) for line in text.splitlines()]


def test_checking_settings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`config check` passes what is in order and refuses values that are wrong and variables that nobody knows."""
    assert Exit.DONE == s3batch.cli.main(["config", "check"])
    monkeypatch.setenv("S3BATCH_QUIET_PERIODS", "5m")
    assert Exit.USAGE == s3batch.cli.main(["config", "check"])
    assert "perhaps S3BATCH_QUIET_PERIOD" in capsys.readouterr().err
    assert Exit.USAGE == s3batch.cli.main(["--set", "part_size=1", "config", "check"])


def test_the_gravest_code_wins() -> None:
    """Where several codes apply, the published order decides."""
    order = [8, 11, 7, 12, 1, 3, 5, 6, 4, 0]

    assert order == sorted([code for code in Exit if code not in {Exit.USAGE, Exit.INTERRUPTED}], key=order.index)
    for index, code in enumerate(order):
        assert code == gravest(Exit(later) for later in order[index:])
    assert set(Exit) == set(EXIT_MEANINGS)


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_closed_streams_are_no_reason_to_fail(closed: str, tmp_path: Path) -> None:
    """Started with streams closed, as some write a background job: what is opened next must not take what is said."""
    code = (
        "import os, sys\n"
        "from s3sync.frontdoor import main\n"
        "from tests.front.program import PROGRAM\n"
        "code = main(PROGRAM, ['greet', 'ann'])\n"
        "print('said', file=sys.stdout, flush=True); print('said', file=sys.stderr, flush=True)\n"
        f"sys.exit(code if os.open({str(tmp_path / 'opened')!r}, os.O_CREAT | os.O_WRONLY) > 2 else 99)\n"
    )
    words = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code]

    assert Exit.PENDING == subprocess.run(words, check=False, stdout=subprocess.DEVNULL).returncode
