"""Manual pages in groff's man macros (man(7)), written from the parsers and the settings: they say what `--help` says."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator

from s3sync import __version__
from s3sync.errors import EXIT_MEANINGS
from s3sync.frontdoor import Program, command_parser, common_flags, full_sentence


def pages(program: Program) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each page: one of the program, one for each of its commands."""
    yield f"{program.name}.1", _text(_of_program(program))
    for name in program.commands:
        yield f"{program.name}-{name}.1", _text(_of_command(program, name))


def _of_program(program: Program) -> Iterator[str]:
    yield from _head(program.name, program.summary)
    yield from (".SH SYNOPSIS", f".B {_plain(program.name)}", "[flags] COMMAND ...")
    yield from (".SH COMMANDS", _plain("Each has a page of its own, and --help."))
    for name in program.commands:
        yield from (".TP", f".BR {program.name}\\-{_plain(name)} (1)", _plain(full_sentence(program.command(name).HELP)))
    yield from _arguments(common_flags(program), with_help=False)
    yield ".SH ENVIRONMENT"
    yield _plain(f"Flags count before these, these before the settings file {program.settings_file}, that before the defaults.")
    for setting in program.settings().read(environment={"HOME": "/~"}).shown():
        yield from (".TP", f".B {_plain(setting.variable)}", _plain(setting.help))
        if setting.value:
            yield _plain(f"Default: {setting.value.replace('/~/', '~/')}")
    yield from (
        ".SH FILES",
        ".TP",
        f".I {_plain(program.settings_file)}",
        "settings, the same names in lower case without the prefix",
    )
    yield from _exit_status()
    yield from _see_also(program, (f"{program.name}-{name}" for name in program.commands))


def _of_command(program: Program, name: str) -> Iterator[str]:
    parser = command_parser(program, name)
    yield from _head(f"{program.name}-{name}", program.command(name).HELP)
    yield from (".SH SYNOPSIS", f".B {_plain(parser.prog)}", _plain(" ".join(["[flags]", *_positionals(parser)])))
    before, _, examples = _filled_in(parser.epilog or "", parser.prog).partition("examples:\n")
    yield from (".SH DESCRIPTION", _plain(parser.description or ""))
    yield from _verbatim(before)
    yield from _arguments(parser)
    yield ".SH EXAMPLES"
    yield from _verbatim(examples)
    yield from _exit_status()
    yield from _see_also(program, ())


def _head(name: str, sentence: str) -> Iterator[str]:
    program = _plain(program_of(name))
    yield f'.TH {_plain(name.upper())} 1 "" "{program} {__version__}" "{program}"'
    yield from (".SH NAME", f"{_plain(name)} \\- {_plain(full_sentence(sentence).removesuffix('.'))}")


def program_of(page: str) -> str:
    """Return the program that a page, `s3batch-find`, belongs to."""
    return page.partition("-")[0]


def _arguments(parser: argparse.ArgumentParser, *, with_help: bool = True) -> Iterator[str]:
    for group in parser._action_groups:  # noqa: SLF001  # argparse shows its groups to nobody else
        shown = [action for action in group._group_actions if action.help != argparse.SUPPRESS]  # noqa: SLF001  # the same
        shown = [action for action in shown if with_help or "-h" not in action.option_strings]
        if shown:
            yield f".SH {_plain((group.title or 'more').upper())}"
        for action in shown:
            yield from (".TP", f".B {_plain(_called(action))}", _plain(_filled_in(action.help or "", parser.prog, action)))


def _called(action: argparse.Action) -> str:
    value = _value(action)
    return ", ".join(f"{flag} {value}".strip() for flag in action.option_strings) or value


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper() if action.option_strings else action.dest


def _positionals(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001  # argparse has no public list of them
        if not action.option_strings and action.help != argparse.SUPPRESS:
            yield {"?": f"[{_value(action)}]", "*": f"[{_value(action)} ...]", "+": f"{_value(action)} [...]"}.get(
                str(action.nargs), _value(action)
            )


def _filled_in(text: str, prog: str, action: argparse.Action | None = None) -> str:
    """Fill in what argparse fills in: `%(prog)s` everywhere, and in an argument's help its own attributes."""
    if action is None and "%(prog)" not in text:
        return text
    return text % {**(vars(action) if action else {}), "prog": prog}


def _verbatim(text: str) -> Iterator[str]:
    """Keep the lines as they are: help texts are laid out by hand."""
    if text.strip():
        yield from (".PP", ".nf", *(_plain(line) for line in text.strip("\n").splitlines()), ".fi")


def _exit_status() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, meaning in EXIT_MEANINGS.items():
        yield from (".TP", f".B {int(code)}", _plain(meaning))


def _see_also(program: Program, others: Iterable[str]) -> Iterator[str]:
    names = sorted({"s3batch", "s3sync", program.name, *others})
    yield ".SH SEE ALSO"
    yield ", ".join(f"\\fB{_plain(name)}\\fR(1)" for name in names)


def _plain(text: str) -> str:
    """Return text that groff prints as it stands."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace('"', "\\(dq")
    return re.sub(r"^(?=\.)", r"\\&", escaped.replace("^", "\\(ha").replace("~", "\\(ti"))


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
