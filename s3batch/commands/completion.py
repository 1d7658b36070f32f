"""`completion`: the same as in `s3sync`, for the commands of this program."""

from __future__ import annotations

import argparse

from s3batch.cli import PROGRAM
from s3sync.commands.completion import HELP, Needs, setup
from s3sync.completion import script
from s3sync.errors import Exit

__all__ = ["EPILOG", "HELP", "run", "setup"]

EPILOG = """deploy/install.sh and the Debian package put them in place for all users.

examples:
  s3batch completion bash > ~/.local/share/bash-completion/completions/s3batch
  s3batch completion fish > ~/.config/fish/completions/s3batch.fish
"""


def run(args: argparse.Namespace, app: Needs) -> Exit:
    """Print it."""
    app.output.document({"shell": args.shell}, script(PROGRAM, args.shell), called="script")
    return Exit.DONE
