"""A real rsyslogd understands the copy of the log, whichever way it travels."""

from __future__ import annotations

import json
import re
import socket
import time
from datetime import UTC, datetime

import pytest

from s3sync.events import Degraded, Event, Level
from s3sync.observe.lines import SyslogProtocol
from s3sync.observe.syslog import SyslogAway, SyslogListener
from s3sync.observe.wires import wire_to
from tests.live.rsyslogd import Rsyslogd, certificates

pytestmark = pytest.mark.slow

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOSTILE = "a\nb <11>1 - - forged - - - \x1b[31m é \x00 end"


def _listener(server: Rsyslogd, protocol: SyslogProtocol, *, original: bool = False, told: list[Event]) -> SyslogListener:
    port = {"udp": server.udp, "tcp": server.tcp, "tls": server.tls}[protocol]
    wire = wire_to("localhost", port, protocol, server.ca if protocol is SyslogProtocol.TLS else None)
    return SyslogListener(
        wire, program="s3batch", level=Level.INFO, now=lambda: NOON, original=original, keeps=True, listener=told.append
    )


@pytest.mark.parametrize("protocol", SyslogProtocol)
def test_every_message_arrives_whole(rsyslogd: Rsyslogd, protocol: SyslogProtocol) -> None:
    """Header and fields are understood, and no text of others can end a message or begin one."""
    told: list[Event] = []
    with _listener(rsyslogd, protocol, told=told) as tell:
        tell(Degraded(cause="no_leases", detail=HOSTILE))
        for number in range(50):
            tell(Degraded(cause=f"cause_{number}", detail="x" * 1000))

    first, *others = rsyslogd.seen(51)
    assert ("warning", "daemon", "s3batch", "degraded", "1") == tuple(
        first[name] for name in ("level", "facility", "program", "event", "version")
    )
    assert first["time"].startswith("2026-03-10T12:00:00")
    body = json.loads(first["msg"])
    assert "no_leases" == body["cause"]
    assert r"a\nb" in body["detail"]
    assert [f"cause_{number}" for number in range(50)] == [json.loads(each["msg"])["cause"] for each in others]
    assert [] == told


def test_the_former_programs_line(rsyslogd: Rsyslogd) -> None:
    """Parsers of the former program find its line."""
    with _listener(rsyslogd, SyslogProtocol.UDP, original=True, told=[]) as tell:
        tell(Degraded(cause="no_leases", detail=HOSTILE))

    (seen,) = rsyslogd.seen(1)
    form = r"<12>\S+ 2026-03-10 12:00:00,000\+0000\[WARNING\]\[S3_BATCH\]: \[MSG\]degraded \[METADATA\](\{.*\})"
    match = re.fullmatch(form, seen["raw"])
    assert match is not None
    assert "no_leases" == json.loads(match[1])["cause"]


def test_a_server_that_comes_back_is_told_the_rest(rsyslogd: Rsyslogd) -> None:
    """What is said while a connection cannot be had waits, and arrives in order."""
    told: list[Event] = []
    with socket.socket() as reserved:  # bound and not listening: refused
        reserved.bind(("127.0.0.1", 0))
        gone = rsyslogd.tcp
        rsyslogd.tcp = reserved.getsockname()[1]
        tell = _listener(rsyslogd, SyslogProtocol.TCP, told=told)
        tell._wire._address = ("127.0.0.1", rsyslogd.tcp)  # type: ignore[attr-defined]
        for number in range(3):
            tell(Degraded(cause=f"cause_{number}", detail=""))
        while not told:
            time.sleep(0.01)
        tell._wire._address = ("127.0.0.1", gone)  # type: ignore[attr-defined]
    seen = rsyslogd.seen(3)
    tell.close()

    assert ["cause_0", "cause_1", "cause_2"] == [json.loads(each["msg"])["cause"] for each in seen]
    assert ["syslog_away", "syslog_back"] == [event.name for event in told]


def test_a_certificate_of_somebody_else_is_refused(rsyslogd: Rsyslogd) -> None:
    """By TLS nothing is sent to a server whose certificate another authority signed."""
    other = rsyslogd.base / "other"
    other.mkdir()
    certificates(other)
    rsyslogd.ca = other / "ca.crt"
    told: list[Event] = []
    with _listener(rsyslogd, SyslogProtocol.TLS, told=told) as tell:
        tell(Degraded(cause="no_leases", detail=""))

    assert not (rsyslogd.base / "seen").exists()
    first = told[0]
    assert isinstance(first, SyslogAway)
    assert "certificate verify failed" in first.wrong
