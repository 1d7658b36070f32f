"""Which catalogue a command looks into: `--catalogue`, and where that is not given, the setting."""

from __future__ import annotations

import argparse
from typing import Protocol

from s3batch.catalogue.contract import Lookup
from s3batch.settings import Where
from s3sync.errors import Usage
from s3sync.output import Output


class Settings(Protocol):
    """The setting that is read."""

    @property
    def catalogue(self) -> Where:
        """Where to look by default."""


class Needs(Protocol):
    """What is taken from the application."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def catalogue(self) -> Lookup:
        """This host's, made empty where there is none."""

    @property
    def fleet(self) -> Lookup | None:
        """The fleet's; None where none is configured."""

    @property
    def output(self) -> Output:
        """Where to say which it is."""


def setup_catalogue(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument(
        "--catalogue",
        choices=[str(where) for where in Where],
        help="this host's (local), the fleet's (opensearch), or this host's, saying that the fleet's may know more (auto)",
    )


def chosen(args: argparse.Namespace, app: Needs) -> Lookup:
    """Return the catalogue to look into. Raises `Usage` where it is the fleet's and none is configured."""
    where = Where(args.catalogue) if args.catalogue else app.settings.catalogue
    if where is Where.OPENSEARCH:
        if app.fleet is None:
            raise Usage("--catalogue opensearch", "no OpenSearch is configured", "Set S3BATCH_OPENSEARCH_URL")
        return app.fleet
    if where is Where.AUTO and app.fleet is not None:
        app.output.progress("This host's catalogue is asked; the fleet's may know more: --catalogue opensearch")
    return app.catalogue
