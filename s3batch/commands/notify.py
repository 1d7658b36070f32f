"""`notify`: try the channels by which people are told of troubles."""

from __future__ import annotations

from s3sync.commands import notify
from s3sync.commands.notify import HELP, run, setup

EPILOG = notify.EPILOG.replace("s3sync", "s3batch")

__all__ = ["EPILOG", "HELP", "run", "setup"]
