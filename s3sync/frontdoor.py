"""The front door of both programs: arguments and environment in, one command run, an exit code out.

A program is a table of command names. Each command is a module with `HELP` (one line), `EPILOG` (worked examples),
`setup(parser)` and `run(args, app)`, and only the chosen one is imported, so that a small question gets a quick answer and a
worker process, which imports this again, starts at once. `--help` alone looks at all of them.

A failure we know prints one line and exits with its code from the published table; a surprise prints its stack.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tomllib
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from s3sync import __version__
from s3sync.errors import EXIT_MEANINGS, Exit, Failure, Unheard, Usage
from s3sync.keys import printable

if TYPE_CHECKING:
    from s3sync.output import Output
    from s3sync.settings import CommonSettings

Environment = Mapping[str, str]

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Where systemd says that credentials lie, systemd.exec(5)."""

_STDERR = 2


class Command(Protocol):
    """What a command's module holds."""

    HELP: str
    EPILOG: str

    def setup(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def run(self, args: argparse.Namespace, app: Any) -> Exit:  # noqa: ANN401  # each program has an App of its own
        """Do it."""


@dataclass(frozen=True, slots=True)
class SettingsOnly:
    """What a command gets that needs no more."""

    settings: CommonSettings
    output: Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: its name, what it is for, its commands in the order people read them."""

    name: str
    summary: str
    commands: tuple[str, ...]
    folders: tuple[str, ...]
    """Settings that are folders and common enough to have a flag of their own."""
    settings_only: frozenset[str] = frozenset({"config", "completion"})
    """Commands that answer from the settings alone, so that they work where nothing else does."""
    settings: Callable[[], type[CommonSettings]]
    open_app: Callable[[CommonSettings, Output], AbstractContextManager[object]]

    def command(self, name: str) -> Command:
        """Import the module of one command."""
        return cast(Command, importlib.import_module(f"{self.name}.commands.{name.replace('-', '_')}"))

    @property
    def settings_file(self) -> str:
        """Where settings are looked for when nobody says."""
        return f"/etc/{self.name}/{self.name}.toml"


def main(program: Program, argv: Sequence[str] | None = None) -> int:
    """Run one command line of `program`, the process's own where none is given, and return the exit code."""
    _have_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = _guarded(program, sys.argv[1:] if argv is None else argv, os.environ)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _stop_talking()
    except OSError as error:
        code = _without_room(program, Unheard(error))
    return code


def _have_streams() -> None:
    """Point nowhere those standard streams that were closed: the next file opened would take a number of theirs."""
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(nowhere, True)
    os.close(nowhere)
    for number, name in enumerate(("stdout", "stderr"), start=1):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - for as long as the process


def _guarded(program: Program, argv: Sequence[str], environment: Environment) -> int:
    try:
        return _run(program, argv, environment)
    except SystemExit as asked:  # argparse leaves this way, after help as well as after a mistake
        return asked.code if isinstance(asked.code, int) else Exit.DONE
    except BrokenPipeError:
        return _stop_talking()
    except KeyboardInterrupt:
        return _complain(program, "interrupted", Exit.INTERRUPTED)
    except Unheard as failure:
        return _without_room(program, failure)
    except Failure as failure:
        return _complain(program, _sentence(failure), failure.exit)
    except Exception:  # noqa: BLE001  # the last resort: say all there is to say, for this is a mistake of ours
        from s3sync.hushed import hushed

        print(hushed(traceback.format_exc(), environment), end="", file=sys.stderr)
        return Exit.FAILED


def _run(program: Program, argv: Sequence[str], environment: Environment) -> Exit:
    args = _first_parser(program).parse_args(argv)
    command_parser(program, args.command).parse_args(args.rest, args)
    return _run_command(program, program.command(args.command), args, environment)


def command_parser(program: Program, name: str) -> argparse.ArgumentParser:
    """Return the parser of one command, which takes what follows its name."""
    command = program.command(name)
    parser = argparse.ArgumentParser(
        prog=f"{program.name} {name}",
        description=full_sentence(command.HELP),
        epilog=command.EPILOG,
        parents=[common_flags(program)],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.setup(parser)
    return parser


def whole_parser(program: Program) -> argparse.ArgumentParser:
    """Return a parser that knows every command at once: slow to make, and what completion is written from."""
    parser = argparse.ArgumentParser(
        prog=program.name, description=program.summary, parents=[common_flags(program)], allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=__version__, help="print the version and exit")
    commands = parser.add_subparsers(dest="command")
    for name in program.commands:
        command = program.command(name)
        command.setup(commands.add_parser(name, help=full_sentence(command.HELP), parents=[common_flags(program)]))
    return parser


def _run_command(program: Program, command: Command, args: argparse.Namespace, environment: Environment) -> Exit:
    from s3sync.output import Output

    settings, output = read_settings(program, args, environment), Output(as_json=args.json)
    args.read_again = lambda: read_settings(program, args, environment)
    if args.command in program.settings_only:
        return command.run(args, SettingsOnly(settings, output))
    with program.open_app(settings, output) as app:
        return command.run(args, app)


def read_settings(program: Program, args: argparse.Namespace, environment: Environment) -> CommonSettings:
    """Return the settings that flags, environment and file give. Raises `Usage`."""
    kind = program.settings()
    path = args.config or environment.get(f"{kind.PREFIX}CONFIG") or ""
    if not path and os.path.exists(program.settings_file):
        path = program.settings_file
    return kind.read(
        environment=environment,
        credentials=_credentials(environment.get(CREDENTIALS, "")),
        file=_toml(path) if path else {},
        file_name=path,
        flags=_flags(program, args),
    )


def _credentials(folder: str) -> dict[str, str]:
    """Return what systemd's LoadCredential= put into `folder`, by name; an empty one counts as not given. Raises `Usage`."""
    found = {}
    try:
        for name in os.listdir(folder) if folder else ():
            with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as file:
                found[name] = file.read().strip()
    except OSError as error:
        hint = f"See what {CREDENTIALS} names, and LoadCredential= of the unit"
        raise Usage(f"credentials in {folder}", f"cannot be read: {error.strerror}", hint) from error
    return {name: value for name, value in found.items() if value}


def _toml(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Usage(path, f"cannot be read: {reason}", "Correct it, or name another file with --config") from error


def _flags(program: Program, args: argparse.Namespace) -> dict[str, Any]:
    from s3sync.layers import Given

    named = {name: (getattr(args, name), f"--{name}") for name in program.folders if hasattr(args, name)}
    given = {name: Given(os.path.abspath(value), flag) for name, (value, flag) in named.items()}
    if hasattr(args, "log_level"):
        given["log_level"] = Given(args.log_level, "--log-level")
    for assignment in getattr(args, "set", []):
        name, equals, value = assignment.partition("=")
        if not equals:
            raise Usage(f"--set {assignment}", "has no value", "Write --set NAME=VALUE")
        given[name] = Given(value, f"--set {name}")
    return given


def _first_parser(program: Program) -> argparse.ArgumentParser:
    parser = _FirstParser(
        program,
        prog=program.name,
        usage="%(prog)s [flags] COMMAND ...",
        parents=[common_flags(program)],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(json=False, config=None)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}", help="print the version and exit")
    parser.add_argument("command", choices=program.commands, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS).required = False
    return parser


class _FirstParser(argparse.ArgumentParser):
    """Knows the common flags and finds the command; what follows is the command's own."""

    def __init__(self, program: Program, **keywords: Any) -> None:  # noqa: ANN401  # argparse's own
        super().__init__(**keywords)
        self._program = program

    def format_help(self) -> str:
        """Return the help, with what each command is for and what the exit codes mean."""
        width = max(map(len, self._program.commands))
        commands = [f"  {name:<{width}}  {full_sentence(self._program.command(name).HELP)}" for name in self._program.commands]
        codes = [f"  {code:>3}  {meaning}" for code, meaning in EXIT_MEANINGS.items()]
        self.description = "\n".join([self._program.summary, "", "commands:", *commands])
        self.epilog = "\n".join(["exit codes:", *codes, "", f"`{self.prog} COMMAND --help` says more and shows examples."])
        return super().format_help()


def common_flags(program: Program) -> argparse.ArgumentParser:
    """Return a parser of the flags that every command takes."""
    flags = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    group = flags.add_argument_group("flags of every command")
    group.add_argument("--config", metavar="FILE", help=f"settings file (default: {program.settings_file}, if there is one)")
    group.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    group.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    for name in program.folders:
        group.add_argument(f"--{name}", metavar="FOLDER", help=f"instead of {program.name.upper()}_{name.upper()}")
    group.add_argument("--set", action="append", metavar="NAME=VALUE", help="any other setting; may be repeated")
    return flags


def full_sentence(text: str) -> str:
    """Return `text` with a capital and a full stop."""
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def _sentence(failure: Failure) -> str:
    from s3sync.layers import WrongSettings

    return str(failure) if isinstance(failure, WrongSettings) else printable(str(failure))


def _complain(program: Program, sentence: str, code: Exit) -> Exit:
    print(f"{program.name}: {sentence}", file=sys.stderr)
    return code


def _without_room(program: Program, failure: Unheard) -> Exit:
    """Say that standard output takes no more, once."""
    _stop_talking()
    return _complain(program, str(failure), failure.exit)


def _stop_talking() -> Exit:
    """Point standard output nowhere: nobody takes it any more, and the interpreter would stumble over that while closing it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return Exit.FAILED
