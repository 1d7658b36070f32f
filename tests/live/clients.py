"""Clients as people use them: OpenSSH's `sftp`, `lftp` over SFTP and FTPS, `curl`, and Python's own FTP_TLS.

Each can upload at a limited rate, be killed in the middle, and go on where it was. A client runs in a process group of its own,
because `sftp` and `lftp` have `ssh` do the work, and both have to die.
"""

from __future__ import annotations

import ftplib
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from tests.live.drop_host import User
from tests.live.sshd import Sshd
from tests.live.vsftpd import Vsftpd

PATIENCE_SECONDS = 60.0

_STARTED: dict[subprocess.Popen[bytes], Path] = {}
"""Every client of this test and where its complaints go; see `end_all`."""


class Client(Protocol):
    """Uploads files of one user to `/bucket/<name>`."""

    user: User

    def put(self, source: Path, name: str, *, rate: int | None = None, resume: bool = False) -> subprocess.Popen[bytes]:
        """Begin to upload `source`, at `rate` bytes a second; `resume` goes on behind what is there."""


class _Running:
    """What clients share: starting a process."""

    def __init__(self, server: Sshd | Vsftpd, user: User) -> None:
        """Be `user` at `server`."""
        self.server = server
        self.user = user
        self._home = server.host.base / "client"
        self._home.mkdir(exist_ok=True)

    def start(self, words: list[str], *, feed: str | None = None) -> subprocess.Popen[bytes]:
        """Start a client and hand it `feed`, all it will read."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._home), "LANG": "C.UTF-8"}
        said = self._home / f"said-{len(_STARTED)}"
        with said.open("wb") as output:
            process = subprocess.Popen(
                words, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        _STARTED[process] = said
        assert process.stdin is not None
        process.stdin.write((feed or "").encode())
        process.stdin.close()
        return process


class Sftp(_Running):
    """OpenSSH's own."""

    server: Sshd

    def put(
        self, source: Path, name: str, *, rate: int | None = None, resume: bool = False, preserve: bool = False
    ) -> subprocess.Popen[bytes]:
        limit = [] if rate is None else ["-l", str(max(1, rate * 8 // 1000))]
        word = "reput" if resume else "put -p" if preserve else "put"
        return self.script(f'{word} "{source}" "/bucket/{name}"', *limit)

    def script(self, commands: str, *flags: str) -> subprocess.Popen[bytes]:
        """Begin to run commands, the first that fails ending it."""
        words = ["sftp", "-q", "-F", str(self.server.client_config), *flags, "-b", "-", f"{self.user.name}@drop"]
        return self.start(words, feed=commands + "\n")


class Lftp(_Running):
    """One client for both servers."""

    def put(self, source: Path, name: str, *, rate: int | None = None, resume: bool = False) -> subprocess.Popen[bytes]:
        return self.script(f"put {'-c ' if resume else ''}'{source}' -o '/bucket/{name}'", rate=rate)

    def script(self, commands: str, *, rate: int | None = None) -> subprocess.Popen[bytes]:
        """Begin to run commands."""
        limit = f"set net:limit-rate 0:{rate}; " if rate else ""
        settings = "set net:max-retries 1; set net:timeout 20; set cmd:fail-exit yes; " + limit
        return self.start(["lftp", "--norc", "-c", f"{settings}{self._opening()}; {commands}; bye"])

    def _opening(self) -> str:
        server = self.server
        if isinstance(server, Vsftpd):
            tls = "set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ssl:verify-certificate no; "
            return f"{tls}open -u {self.user.name},x ftp://127.0.0.1:{server.port}"
        ssh = f"set sftp:connect-program 'ssh -a -x -F {server.client_config}'; "
        return f"{ssh}open -u {self.user.name},x sftp://drop"


class Curl(_Running):
    """Over FTPS."""

    server: Vsftpd

    def put(self, source: Path, name: str, *, rate: int | None = None, resume: bool = False) -> subprocess.Popen[bytes]:
        limit = [] if rate is None else ["--limit-rate", str(rate)]
        go_on = ["--continue-at", "-"] if resume else []
        url = f"ftp://127.0.0.1:{self.server.port}/bucket/{quote(name)}"
        words = ["curl", "--silent", "--insecure", "--ssl-reqd", "--user", f"{self.user.name}:x"]
        return self.start([*words, *limit, *go_on, "--upload-file", str(source), url])


class Ftps:
    """Python's own client, one connection for many uploads."""

    def __init__(self, server: Vsftpd, user: User) -> None:
        """Log in."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._ftp = ftplib.FTP_TLS(context=context, timeout=PATIENCE_SECONDS)  # noqa: S321 - it is what customers use
        self._ftp.connect("127.0.0.1", server.port)
        self._ftp.login(user.name, "x")
        self._ftp.prot_p()

    def put(self, name: str, content: bytes, *, piece_bytes: int = 1 << 20, pause_seconds: float = 0) -> bool:
        """Upload, with a pause after each piece; tell whether the server acknowledged it or says to come back later."""
        try:
            self._ftp.voidcmd("TYPE I")
            with self._ftp.transfercmd(f"STOR /bucket/{name}") as connection:
                for at in range(0, len(content), piece_bytes):
                    connection.sendall(content[at : at + piece_bytes])
                    time.sleep(pause_seconds)
                if isinstance(connection, ssl.SSLSocket):
                    connection.unwrap()
            self._ftp.voidresp()
        except ftplib.error_perm as refused:
            if str(refused).startswith("553"):
                return False
            raise
        return True

    def close(self) -> None:
        """Log out."""
        self._ftp.close()


class Talker:
    """An `sftp` that is told one command after another, and says when each is done."""

    def __init__(self, server: Sshd, user: User) -> None:
        """Log in."""
        words = ["sftp", "-q", "-F", str(server.client_config), "-b", "-", f"{user.name}@drop"]
        said = server.host.base / f"talker-{len(_STARTED)}"
        with said.open("wb") as output:
            self._sftp = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, start_new_session=True
            )
        _STARTED[self._sftp] = said
        self._wait()

    def put(self, source: Path, name: str, *, preserve: bool = False) -> bool:
        """Upload and tell whether the server acknowledged it: what fails ends the session."""
        self.say(f'put {"-p " if preserve else ""}"{source}" "/bucket/{name}"')
        return self._wait()

    def say(self, command: str) -> None:
        """Give a command."""
        assert self._sftp.stdin is not None
        self._sftp.stdin.write(command.encode() + b"\n")
        self._sftp.stdin.flush()

    def close(self) -> None:
        """Log out."""
        self._sftp.communicate()

    def _wait(self) -> bool:
        """Wait until everything said is done."""
        self.say("lpwd")
        assert self._sftp.stdout is not None
        return any(line.startswith(b"Local working directory") for line in self._sftp.stdout)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a client and its helpers."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_all() -> None:
    """Kill what is left of the clients of a test, however it ended."""
    while _STARTED:
        process, _ = _STARTED.popitem()
        if process.poll() is None:
            kill(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def done(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a client that has to succeed; fail with what it said where it does not."""
    code = process.wait(PATIENCE_SECONDS)
    assert code == 0, f"{process.args!r} ended with {code}: {_said()}"
    return True


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` holds; fail naming `what` if it does not in a long time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen: {_said()}"
        time.sleep(0.01)


def _said() -> list[str]:
    return [said.read_text("utf-8", "replace")[-500:] for said in _STARTED.values()]
