"""`index`: the fleet's index in OpenSearch. One file a subcommand, each with `setup(group)` and `run(args, app, cluster)`."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol, cast

from s3batch.app import App
from s3batch.catalogue.opensearch import OpenSearchCluster
from s3sync.errors import Exit, Usage

HELP = "Arrange the fleet's index in OpenSearch, see how far it is behind, send again, rebuild and verify it."
EPILOG = """  init    make or renew templates, fields and the alias; --dry-run only says what it would do
  status  how far the index is behind and why, what it refused, what is not as it should be
  retry   send refused documents again, now
  rebuild make months anew from the manifests in S3, each put in place at once; may be broken off and run again
  verify  compare the index with the manifests, and these with what S3 lists; --repair mends the index

The agent does what init does at every start, as far as it has the rights. Nothing here delays archiving.

examples:
  s3batch index init --dry-run
  s3batch index status --json
  s3batch index rebuild --month 2026-11 --dry-run
"""

SUBCOMMANDS = ("init", "status", "retry", "rebuild", "verify")


class Subcommand(Protocol):
    """What a file of this folder has."""

    def setup(self, group: argparse._ArgumentGroup) -> None:
        """Add its arguments."""

    def run(self, args: argparse.Namespace, app: App, cluster: OpenSearchCluster) -> Exit:
        """Do it."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Take a subcommand and the arguments of each."""
    parser.add_argument("action", choices=SUBCOMMANDS, help=", ".join(SUBCOMMANDS))
    parser.add_argument("--dry-run", action="store_true", help="init, rebuild, verify: only say what would be done")
    for name in SUBCOMMANDS:
        _subcommand(name).setup(parser.add_argument_group(name))


def run(args: argparse.Namespace, app: App) -> Exit:
    """Do one of them. Raises `Usage` where no index is configured."""
    if app.cluster is None:
        raise Usage("index", "no OpenSearch is configured", "Set S3BATCH_OPENSEARCH_URL")
    return _subcommand(args.action).run(args, app, app.cluster)


def _subcommand(name: str) -> Subcommand:
    return cast(Subcommand, importlib.import_module(f"{__name__}.{name}"))
