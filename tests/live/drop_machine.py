"""A fresh Debian to be booted as a drop host: with the packages of docs/deploy/drop-servers.md, and nothing of ours."""

from __future__ import annotations

from pathlib import Path

from tests.live import debian
from tests.live.fetch import Part, kept, run
from tests.live.machine import can_boot

SERVERS = ("openssh-server", "vsftpd", "rsyslog", "quota", "ssl-cert", "logrotate")
CLIENTS = ("ip", "ssh-keygen", "sftp", "lftp", "curl")
"""What customers, and who watches, have on this machine."""


def _get(cache: Path) -> Path:
    can_boot(*CLIENTS)
    return kept(cache, f"{debian.SUITE}-drop-host", _debootstrap)


def _debootstrap(into: Path) -> None:
    into.chmod(0o755)
    packages = ",".join(dict.fromkeys((*debian.INCLUDED, *SERVERS)))
    run(["debootstrap", "--variant=minbase", f"--include={packages}", debian.SUITE, str(into)])


PART = Part(name="drop_machine", role="drop-host", version=debian.SUITE, get=_get)
