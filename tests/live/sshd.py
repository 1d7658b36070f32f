"""OpenSSH's sshd with `internal-sftp`, configured by our sample, and rsyslog, which writes down what it says of uploads."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.drop_host import USERS, DropHost, drop_host, free_port, groups, kill_below, listening, look, serving
from tests.live.fetch import Part

if TYPE_CHECKING:
    import psutil

    from tests.live.parts import LiveParts

PART = Part(name="sshd", role="sshd", get=lambda _cache: look("sshd", "rsyslogd", "ssh", "sftp", "ssh-keygen", "lftp"))


class Sshd:
    """A running sshd and where its log is."""

    def __init__(self, host: DropHost, process: psutil.Process, port: int, key: Path, log: Path) -> None:
        """Serve the jails of `host`; whoever has `key` is any of its users."""
        self.host = host
        self.port = port
        self.key = key
        self.log = log
        self._process = process
        self.client_config = host.base / "ssh-client"
        self.client_config.write_text(
            f"Host drop\n HostName 127.0.0.1\n Port {port}\n IdentityFile {key}\n IdentitiesOnly yes\n"
            f" StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n ControlMaster no\n"
        )

    def kill_sessions(self, user: str) -> int:
        """SIGKILL the processes that write the files of `user`'s sessions; return how many there were."""
        return self._kill(f"{user}@internal-sftp")

    def kill_connections(self, user: str) -> int:
        """SIGKILL the processes that have `user`'s connections; return how many there were."""
        return self._kill(f"{user}@notty")

    def _kill(self, title: str) -> int:
        titles = tuple(f"{program}: {title}" for program in ("sshd", "sshd-session"))
        return kill_below(self._process, lambda process: " ".join(process.cmdline()).startswith(titles))


@contextmanager
def running(program: Path, host: DropHost) -> Iterator[Sshd]:
    """Run rsyslog and sshd over the jails of `host`."""
    base, port, log = host.base, free_port(), host.logs / "s3batch-sftp.log"
    for name in ("host-key", "user-key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", base / name], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own, empty; made by its unit where there is one
    config = base / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {base}/host-key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {base}/user-key.pub\nPasswordAuthentication no\nUseDNS no\n"
        "Subsystem sftp internal-sftp\n"  # as a distribution's own configuration has it
        + host.sample(
            "sshd-drop.conf",
            {
                "Group drop": f"Group {','.join(groups())}",
                "/srv/jail": str(host.jails),
                "/etc/ssh/drop-keys/%u": f"{base}/user-key.pub",
            },
        )
    )
    with ExitStack() as stack:
        stack.enter_context(_rsyslog(host, log))
        words: list[str | Path] = [program, "-D", "-e", "-f", config]
        ready = lambda: listening(port)  # noqa: E731 - a name for what is waited for
        process = stack.enter_context(serving(words, host.logs / "sshd", mounts=host.mounts(), ready=ready))
        yield Sshd(host, process, port, base / "user-key", log)


@contextmanager
def _rsyslog(host: DropHost, log: Path) -> Iterator[None]:
    sample = host.sample("rsyslog-sftp.conf", {"/var/log/s3batch-sftp.log": str(log), "/srv/jail": str(host.jails)})
    commented = next(line for line in sample.splitlines() if line.startswith("# input("))
    lines = [commented.removeprefix("# ").replace("alice", user.name) for user in USERS]
    config = host.base / "rsyslog.conf"
    # Beside the machine's own syslog, which keeps its socket.
    text = sample.replace('module(load="imuxsock")', 'module(load="imuxsock" SysSock.Use="off")')
    config.write_text(text.replace(commented, "\n".join(lines)) + "\n")
    sockets = [host.jails / user.name / "dev" / "log" for user in USERS]
    words: list[str | Path] = ["rsyslogd", "-n", "-f", config, "-i", host.base / "rsyslog.pid"]
    with serving(words, host.logs / "rsyslogd", ready=lambda: all(each.exists() for each in sockets)):
        yield


@pytest.fixture(scope="session")
def _drop_host() -> Iterator[DropHost]:
    with drop_host() as host:
        yield host


@pytest.fixture(scope="session")
def _sshd_running(live_parts: LiveParts, _drop_host: DropHost) -> Iterator[Sshd]:
    with running(live_parts.path("sshd"), _drop_host) as server:
        yield server


@pytest.fixture
def sshd(_sshd_running: Sshd) -> Sshd:
    """An sshd over an empty drop zone."""
    _sshd_running.host.empty()
    return _sshd_running
