"""A real rsyslogd that takes messages by UDP, TCP and TLS on the loopback, and writes down what it understood of each."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.drop_host import free_port, listening, serving
from tests.live.fetch import Part, Unfetched

if TYPE_CHECKING:
    from tests.live.parts import LiveParts

MODULES = ("/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog", "/usr/lib64/rsyslog", "/usr/lib/rsyslog")
PATIENCE_SECONDS = 30


def _look(_cache: Path) -> Path:
    path = "/usr/sbin:/sbin:/usr/bin:/bin"
    found = {name: shutil.which(name, path=path) for name in ("rsyslogd", "openssl")}
    missing = [name for name, place in found.items() if place is None]
    if not any(Path(folder, "lmnsd_gtls.so").exists() for folder in MODULES):
        missing.append("rsyslog-gnutls")
    if missing:
        raise Unfetched(f"not installed: {', '.join(missing)}")
    return Path(str(found["rsyslogd"]))


PART = Part(name="rsyslogd", role="rsyslogd", get=_look)

CONFIG = """
global(workDirectory="{base}" DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="{base}/ca.crt"
       DefaultNetstreamDriverCertFile="{base}/tls.crt" DefaultNetstreamDriverKeyFile="{base}/tls.key")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
template(name="seen" type="list" option.jsonf="on") {{
  property(outname="level" name="syslogseverity-text" format="jsonf")
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="program" name="app-name" format="jsonf")
  property(outname="event" name="msgid" format="jsonf")
  property(outname="version" name="protocol-version" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
  property(outname="raw" name="rawmsg" format="jsonf")
}}
ruleset(name="all") {{ action(type="omfile" file="{base}/seen" template="seen") }}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="all")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="all")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="all")
"""


class Rsyslogd:
    """A running rsyslogd. Its certificate is for `localhost` and signed by `ca`."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.ca = base / "ca.crt"
        self.udp, self.tcp, self.tls = free_port(), free_port(), free_port()

    def seen(self, count: int) -> list[dict[str, str]]:
        """Wait until it has written `count` messages, and return all it has."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(FileNotFoundError):
                lines = (self.base / "seen").read_text("utf-8").splitlines()
                if len(lines) >= count:
                    return [json.loads(line) for line in lines]
            assert time.monotonic() < deadline, f"rsyslogd has not seen {count} messages"
            time.sleep(0.02)

    @contextmanager
    def running(self, program: Path) -> Iterator[None]:
        """Run it until the block ends."""
        config = self.base / "rsyslog.conf"
        config.write_text(CONFIG.format(base=self.base, udp=self.udp, tcp=self.tcp, tls=self.tls))
        words: list[str | Path] = [program, "-n", "-f", config, "-i", self.base / "pid"]
        with serving(words, self.base / "said", ready=lambda: listening(self.tcp) and listening(self.tls)):
            yield


def certificates(base: Path) -> None:
    """Make an authority and a certificate of `localhost` that it signed."""
    _openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority"
        f" -addext keyUsage=keyCertSign -keyout {base}/ca.key -out {base}/ca.crt"
    )
    _openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext"
        f" subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE -addext keyUsage=digitalSignature"
        f" -CA {base}/ca.crt -CAkey {base}/ca.key -keyout {base}/tls.key -out {base}/tls.crt"
    )


def _openssl(words: str) -> None:
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)


@pytest.fixture
def rsyslogd(live_parts: LiveParts, tmp_path: Path) -> Iterator[Rsyslogd]:
    """A running rsyslogd that has seen nothing."""
    base = tmp_path / "rsyslogd"
    base.mkdir()
    certificates(base)
    server = Rsyslogd(base)
    with server.running(live_parts.path("rsyslogd")):
        yield server
