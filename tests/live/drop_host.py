"""A drop host for tests: a drop zone, a jail for each user, and the samples of `deploy/drop-servers` fitted to them.

The users are accounts that every Debian has and nobody is: none is made. Each jail holds `/bucket`, which is the bucket folder
for one user and a folder of it for the other. The mounts are made in the servers' own mount namespace, so they end with the
servers whatever happens, and nothing that tidies up can reach through them. sshd insists that only root may write on the way to
a chroot, so all of it lies below a folder of that kind and not below pytest's.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psutil

from tests.live.fetch import Unfetched

SAMPLES = Path(__file__).parents[2] / "deploy" / "drop-servers"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
PLACES = ("/srv", "/var/lib", "/opt", "/root")


@dataclass(frozen=True, slots=True)
class User:
    """An account that uploads, and where in the drop zone its `/bucket` is."""

    name: str
    folder: str

    @property
    def key_prefix(self) -> str:
        """What the keys of its uploads begin with."""
        return self.folder.partition("/")[2] + "/" if "/" in self.folder else ""


USERS = (User("games", "bucket"), User("proxy", "bucket/of-proxy"))
"""The second one's files lie deeper in the drop zone than its client sees."""


class DropHost:
    """The folders of one drop host."""

    def __init__(self, base: Path) -> None:
        """Make them below `base`, a folder that only root may write to."""
        self.base = base
        self.zone, self.jails, self.logs = base / "zone", base / "jail", base / "log"
        for folder in (self.zone, self.jails, self.logs):
            folder.mkdir(mode=0o755)
        for user in USERS:
            (self.jails / user.name / "dev").mkdir(parents=True)
            (self.jails / user.name / "bucket").mkdir()
        self.empty()

    def empty(self) -> None:
        """Remove every drop, also displaced and quarantined ones; bucket folders stay what is mounted."""
        for entry in self.zone.iterdir():
            if entry.name != "bucket":
                shutil.rmtree(entry)
        for user in USERS:
            folder = self.zone / user.folder
            folder.mkdir(exist_ok=True)
            self._hand_over(folder, user)
        kept = {self.zone / user.folder for user in USERS}
        for entry in [*(self.zone / "bucket").iterdir(), *(self.zone / USERS[1].folder).iterdir()]:
            if entry not in kept:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    def sample(self, name: str, words: Mapping[str, str]) -> str:
        """Return a sample configuration with what is this host's in place of what is there."""
        text = (SAMPLES / name).read_text("utf-8")
        for there, here in words.items():
            assert there in text, f"{name} has no {there}"
            text = text.replace(there, here)
        return text

    def mounts(self) -> str:
        """Return what a shell runs to put the drop zone into the jails."""
        return "".join(f"mount --bind '{self.zone / user.folder}' '{self.jails / user.name / 'bucket'}' && " for user in USERS)

    @staticmethod
    def _hand_over(folder: Path, user: User) -> None:
        os.chown(folder, 0, pwd.getpwnam(user.name).pw_gid)
        folder.chmod(0o2775)


@contextmanager
def drop_host() -> Iterator[DropHost]:
    """Have a drop host for the length of the block."""
    base = Path(tempfile.mkdtemp(prefix="s3batch-live-", dir=_place()))
    base.chmod(0o755)
    try:
        yield DropHost(base)
    finally:
        shutil.rmtree(base)


def look(*programs: str) -> Path:
    """Return where the first of `programs` is. Raises `Unfetched` where one is missing or a drop host cannot be made."""
    if os.geteuid() != 0:
        raise Unfetched("needs root: chroot, mounts and other users' files")
    found = [shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") for program in programs]
    missing = [program for program, path in zip(programs, found, strict=True) if path is None]
    if missing:
        raise Unfetched(f"not installed: {', '.join(missing)}")
    _place()
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        raise Unfetched("may not mount (CAP_SYS_ADMIN)")
    for user in USERS:
        try:
            account = pwd.getpwnam(user.name)
            grp.getgrgid(account.pw_gid)
            os.stat(account.pw_dir)  # vsftpd goes there first
        except (KeyError, FileNotFoundError):
            raise Unfetched(f"no account {user.name} with a group and a home") from None
    return Path(str(found[0]))


@contextmanager
def serving(
    words: Sequence[str | Path],
    log: Path,
    *,
    ready: Callable[[], bool],
    mounts: str = "",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[psutil.Process]:
    """Run a server, after `mounts` in a mount namespace of its own, until the block ends; wait until it is `ready`.

    Ends it and every process of its session. Raises `RuntimeError` with what it said where it does not start.
    """
    command = [str(word) for word in words]
    if mounts:
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{mounts}exec "$@"', "sh", *command]
    with log.open("ab") as output:
        server = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[-1]} does not start: {log.read_text('utf-8', 'replace').strip()[-500:]}")
            time.sleep(0.02)
        yield psutil.Process(server.pid)
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # sessions still open, too
        server.wait()


def kill_below(server: psutil.Process, chosen: Callable[[psutil.Process], bool]) -> int:
    """SIGKILL the processes of a server that are `chosen`; return how many there were."""
    found = [process for process in server.children(recursive=True) if chosen(process)]
    for process in found:
        process.kill()
    return len(found)


def open_for_writing(path: Path) -> bool:
    """Ask the kernel whether some process still has a file open for writing: it grants no read lease then."""
    with path.open("rb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
    return False


def groups() -> list[str]:
    """Return the groups of the users: what the samples call `drop`."""
    return [grp.getgrgid(pwd.getpwnam(user.name).pw_gid).gr_name for user in USERS]


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """Tell whether somebody answers."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _place() -> str:
    """Return a folder that only root may write to, all the way up. Raises `Unfetched`."""
    for place in PLACES:
        path = Path(os.path.realpath(place))
        if path.is_dir() and all(_roots_alone(each) for each in (path, *path.parents)):
            return str(path)
    raise Unfetched(f"none of {', '.join(PLACES)} is root's alone to write to, as sshd wants its chroots")


def _roots_alone(folder: Path) -> bool:
    seen = folder.stat()
    return seen.st_uid == 0 and not seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
