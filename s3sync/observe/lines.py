"""How one event looks as a line of text: the words for each format, the numbers that syslog and journald give to levels. Pure.

`original` is the line of the program this one follows, for parsers that people have: time, level and application in its order,
the event's name where its sentence stood, and the fields as its `[METADATA]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

from s3sync.events import Level


class LogFormat(StrEnum):
    """What a line of the log looks like."""

    AUTO = "auto"
    """Columns on a terminal, JSON elsewhere."""
    JSON = "json"
    TEXT = "text"
    """Columns, for people."""
    ORIGINAL = "original"
    """The line of the former programs."""


class SyslogProtocol(StrEnum):
    """How the copy of the log travels."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


SEVERITY = {Level.ERROR: 3, Level.WARNING: 4, Level.INFO: 6, Level.DEBUG: 7}
"""RFC 5424, section 6.2.1; journald's `<N>` are the same numbers (sd-daemon(3))."""

DAEMON, USER = 3 << 3, 1 << 3
"""Facilities: what an agent is, and what the former programs said they were."""


def original_line(moment: datetime, level: Level, program: str, event: str, fields: Mapping[str, object]) -> str:
    """Return the former programs' line: `2026-11-25 07:00:00,123+0000[INFO][S3_BATCH]: [MSG]... [METADATA]{...}`."""
    utc = moment.astimezone(UTC)
    stamp = f"{utc:%Y-%m-%d %H:%M:%S},{utc.microsecond // 1000:03d}+0000"
    application = program.upper().replace("S3", "S3_", 1)
    return f"{stamp}[{level.value.upper()}][{application}]: [MSG]{event} [METADATA]{json.dumps(fields)}"
