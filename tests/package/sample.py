"""The commented settings that an installation begins with, as `deploy/s3batch.env`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from s3batch.settings import Settings

OF_THE_UNITS = {
    "S3BATCH_FOLDER": "/srv/drop",
    "S3BATCH_STATE": "/var/lib/s3batch",
    "S3BATCH_SPOOL": "/var/cache/s3batch/spool",
}
"""What the units set where this file says nothing."""
HEAD = """\
# Settings of s3batch for its units in systemd, one NAME=VALUE a line; `systemctl restart s3batch` after a change.
# What is commented out stands at its default. `s3batch config show` says what is in force and where it came from.
# Secrets have no place here: each is a file of its own in /etc/s3batch/credentials, which only root can read.

# How to reach AWS is said by AWS's own variables. On EC2 the host's role is enough, and no key is needed.
#AWS_DEFAULT_REGION=eu-west-1
"""


def sample() -> str:
    """Return the file."""
    return "\n".join([HEAD, *_settings()])


def _settings() -> Iterator[str]:
    for shown in Settings.read(environment={"HOME": "/root"}).shown():
        yield from (f"# {line}" for line in textwrap.wrap(shown.help.replace("`", ""), 120))
        yield f"#{shown.variable}={OF_THE_UNITS.get(shown.variable, shown.value or '')}\n"
