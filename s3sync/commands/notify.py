"""`notify`: try the channels by which people are told of troubles."""

from __future__ import annotations

import argparse

from s3sync.errors import Exit, Failure, Usage
from s3sync.observe.troubles import Kind, Message
from s3sync.watching import channels_of
from s3sync.wiring import Wiring

HELP = "send a test message by every channel that people are told of troubles by"
EPILOG = """It says of each channel whether it took the message, and ends with 1 where none did, with 3 where one did not.

examples:
  s3sync notify test
  s3sync notify test --set notify=https://hooks.example.org/s3sync
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Take what to do: there is one thing."""
    parser.add_argument("action", choices=("test",), help="test: send one message by each channel, now")


def run(args: argparse.Namespace, app: Wiring) -> Exit:
    """Send by each. Raises `Usage` where there is none, or where one cannot be one."""
    channels, variable = channels_of(app.settings), app.settings.variable("notify")
    if not channels:
        raise Usage("notify", "no channel is configured", f"Set {variable}")
    subject = f"{app.PROGRAM} on {app.host}: a test"
    message = Message(Kind.TEST, subject, f"Somebody tried {variable} by `{app.PROGRAM} notify {args.action}`. All is well.")
    failed = 0
    for channel in channels:
        wrong = ""
        try:
            channel.send(message)
        except Failure as failure:
            wrong, failed = str(failure), failed + 1
        app.output.record({"channel": channel.name, "sent": not wrong, "wrong": wrong or None})
        if not app.output.as_json:
            app.output.text(f"{channel.name}: {wrong or 'sent'}")
    if not failed:
        return Exit.DONE
    return Exit.FAILED if failed == len(channels) else Exit.PARTIAL
