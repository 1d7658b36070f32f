"""`config`: the same as in `s3sync`, for the settings of this program."""

from __future__ import annotations

from s3sync.commands.config import EPILOG, HELP, run, setup

__all__ = ["EPILOG", "HELP", "run", "setup"]
