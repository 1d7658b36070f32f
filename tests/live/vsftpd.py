"""vsftpd with TLS, configured by our sample, over the same jails as sshd."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.drop_host import SAMPLES, DropHost, free_port, groups, kill_below, listening, look, serving
from tests.live.fetch import Part

if TYPE_CHECKING:
    import psutil

    from tests.live.parts import LiveParts

PART = Part(name="vsftpd", role="vsftpd", get=lambda _cache: look("vsftpd", "openssl", "lftp", "curl"))
PAM = Path("/etc/pam.d")


class Vsftpd:
    """A running vsftpd and where its logs are."""

    def __init__(self, host: DropHost, process: psutil.Process, port: int, log: Path, xferlog: Path) -> None:
        """Serve the jails of `host`; any password will do."""
        self.host = host
        self._process = process
        self.port = port
        self.log = log
        self.xferlog = xferlog

    def kill_sessions(self, user: str) -> int:
        """SIGKILL the processes that write the files of `user`'s sessions; return how many there were."""
        return kill_below(self._process, lambda process: process.username() == user)


@contextmanager
def running(program: Path, host: DropHost) -> Iterator[Vsftpd]:
    """Run vsftpd over the jails of `host`. It has a PAM service of its own meanwhile, which asks for no password."""
    base, port = host.base, free_port()
    log, xferlog, empty = host.logs / "vsftpd.log", host.logs / "xferlog", base / "empty"
    empty.mkdir(mode=0o555)
    _certificate(base)
    pam = PAM / base.name
    words = {
        "/srv/jail": str(host.jails),
        "/var/log/vsftpd.log": str(log),
        "/var/log/xferlog": str(xferlog),
        "/var/run/vsftpd/empty": str(empty),
        "pam_service_name=vsftpd": f"pam_service_name={pam.name}",
        "/etc/ssl/certs/ssl-cert-snakeoil.pem": f"{base}/ftp.crt",
        "/etc/ssl/private/ssl-cert-snakeoil.key": f"{base}/ftp.key",
    }
    config = base / "vsftpd.conf"
    config.write_text(
        host.sample("vsftpd.conf", words)
        + f"listen_port={port}\nlisten_address=127.0.0.1\npasv_address=127.0.0.1\n"  # on the loopback alone
    )
    # The sample's accounts have passwords, and a group of their own; these have none, and several.
    pam.write_text(host.sample("pam-vsftpd", {"ingroup drop": f"ingroup {':'.join(groups())}", "pam_unix.so": "pam_permit.so"}))
    try:
        with serving(
            [program, config],
            host.logs / "vsftpd",
            mounts=host.mounts(),
            environment={"OPENSSL_CONF": str(SAMPLES / "vsftpd-openssl.cnf")},
            ready=lambda: listening(port),
        ) as process:
            yield Vsftpd(host, process, port, log, xferlog)
    finally:
        os.unlink(pam)


def _certificate(base: Path) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names: list[str | Path] = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", base / "ftp.key", "-out", base / "ftp.crt"]
    subprocess.run([*words, *names], check=True, capture_output=True)


@pytest.fixture(scope="session")
def _vsftpd_running(live_parts: LiveParts, _drop_host: DropHost) -> Iterator[Vsftpd]:
    with running(live_parts.path("vsftpd"), _drop_host) as server:
        yield server


@pytest.fixture
def vsftpd(_vsftpd_running: Vsftpd) -> Vsftpd:
    """A vsftpd over an empty drop zone."""
    _vsftpd_running.host.empty()
    return _vsftpd_running
