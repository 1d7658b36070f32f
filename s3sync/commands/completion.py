"""`completion`: the script that completes command lines in a shell."""

from __future__ import annotations

import argparse
from typing import Protocol

from s3sync.cli import PROGRAM
from s3sync.completion import SHELLS, script
from s3sync.errors import Exit
from s3sync.output import Output

HELP = "Print the script that completes command lines of this program in bash, zsh or fish."
EPILOG = """deploy/install.sh and the Debian package put them in place for all users.

examples:
  s3sync completion bash > ~/.local/share/bash-completion/completions/s3sync
  s3sync completion fish > ~/.config/fish/completions/s3sync.fish
"""


class Needs(Protocol):
    """What the command takes from the application."""

    @property
    def output(self) -> Output:
        """Where to print it."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Take the shell."""
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")


def run(args: argparse.Namespace, app: Needs) -> Exit:
    """Print it."""
    app.output.document({"shell": args.shell}, script(PROGRAM, args.shell), called="script")
    return Exit.DONE
