"""A machine of its own: systemd as PID 1 in a small Debian, in namespaces of this one (systemd-nspawn).

The root is made by debootstrap once and kept, with the libraries of the programs in `/opt/s3batch`; each machine runs on a
layer above it that goes with it. What has to outlive a boot, or has to be a filesystem of its own, is bound from outside. The
network is this machine's, so that a server on the loopback here is on the loopback there, or one of its own (`network`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.live.fetch import LONGEST_SECONDS, Part, Unfetched, kept, run
from tests.live.network import Network

HOUSE = Path(__file__).parents[2]
RELEASE, PYTHON = "bookworm", "3.11"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv"
START_SECONDS = 90.0
_ALONE = ("--register=no", "--keep-unit", "--console=pipe", "--link-journal=no")
"""Without a systemd of the machine around it."""


def can_boot(*programs: str) -> None:
    """Raise `Unfetched` where no machine can be booted, or one of `programs` is missing."""
    if os.geteuid() != 0:
        raise Unfetched("needs root")
    for program in ("debootstrap", "systemd-nspawn", "nsenter", "mount", *programs):
        if shutil.which(program) is None:
            raise Unfetched(f"{program} is not installed")
    run(["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"])


def _get(cache: Path) -> Path:
    can_boot()
    base = kept(cache, f"{RELEASE}-systemd", _debootstrap)
    wanted = _dependencies()
    key = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    return kept(cache, f"{RELEASE}-s3batch-{key}", lambda into: _libraries(base, wanted, into))


PART = Part(name="machine", role="systemd", get=_get)


def _dependencies() -> list[str]:
    declared = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    return [*declared["project"]["dependencies"], *declared["build-system"]["requires"]]


def _debootstrap(into: Path) -> None:
    run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(into)])


def _libraries(base: Path, wanted: list[str], into: Path) -> None:
    """Copy the root, and put what the programs need where they will be."""
    run(["cp", "-a", "--reflink=auto", f"{base}/.", str(into)])
    wheels = into / "opt" / "wheels"
    machine = platform.machine()
    platforms = [f"--platform=manylinux{old}_{machine}" for old in ("2014", "_2_17", "_2_28")]
    for_root = ["--only-binary=:all:", f"--python-version={PYTHON}", *platforms]
    run([_pip(), "download", "-q", "-d", str(wheels), *for_root, *wanted])
    run(["chroot", str(into), "python3", "-m", "venv", "/opt/s3batch"])
    offline = ["-q", "--no-index", "--find-links=/opt/wheels"]
    run(["chroot", str(into), "/opt/s3batch/bin/pip", "install", *offline, *wanted])


def _pip() -> str:
    return str(HOUSE / ".venv" / "bin" / "pip")


class Machine:
    """A machine that can be booted, and booted again."""

    def __init__(self, root: Path, base: Path, binds: Mapping[str, Path], network: Network | None = None) -> None:
        """Boot from `root`; `binds` says which of our folders lie where in there. Its network is ours, or `network`."""
        self.root = root
        self._base = base
        self._options = [f"--bind={outside}:{inside}" for inside, outside in binds.items()]
        self._options += [] if network is None else [f"--network-namespace-path={network.path}"]
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def boot(self) -> None:
        """Start it, and wait until systemd says that it runs."""
        Path("/run/systemd").mkdir(exist_ok=True)
        with (self._base / "console").open("ab") as console:
            self._nspawn = subprocess.Popen(
                ["systemd-nspawn", "-q", "-D", str(self.root), "--boot", *_ALONE, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        eventually(self._is_up, "the boot", seconds=START_SECONDS)

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, (self._base / "console").read_text(errors="replace")[-2000:]
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        systemd = [child for child in children if Path(f"/proc/{child}/comm").read_text().strip() == "systemd"]
        if not systemd:
            return False
        self._leader = int(systemd[0])
        return self.ask("systemctl", "is-system-running") in {"running", "degraded"}

    def ask(self, *words: str) -> str:
        """Run a command in there and return what it said, whatever its exit code."""
        return self.run(*words).stdout.strip()

    def do(self, *words: str) -> str:
        """Run a command in there and return what it said; it has to succeed."""
        ended = self.run(*words)
        assert 0 == ended.returncode, (words, ended.stdout, ended.stderr)
        return ended.stdout.strip()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in there, and say how it ended and what it said."""
        inside = ["nsenter", "-t", str(self._leader), "-a", "--", *words]
        path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            inside, env=path, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True, timeout=LONGEST_SECONDS
        )

    def unit(self, name: str, asked: str) -> str:
        """Return one property of a unit."""
        return self.ask("systemctl", "show", "--value", "-p", asked, name)

    def send(self, name: str, signal: str) -> None:
        """Send a signal to a unit's main process."""
        self.do("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", name)

    def power_off(self) -> None:
        """Shut it down in order; one that does not is killed."""
        if self._nspawn is None or self._nspawn.poll() is not None:
            return
        if self._leader:
            self.run("systemctl", "poweroff")
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()  # it takes the processes of its namespace along
            self._nspawn.wait()


@contextmanager
def layered(lower: Path, base: Path) -> Iterator[Path]:
    """Return a root above `lower` that may be written, as long as the block lasts."""
    upper, root = base / "upper", base / "root"
    upper.mkdir()
    root.mkdir()
    with ExitStack() as mounted:
        _mount(mounted, "-t", "tmpfs", "tmpfs", str(upper))
        for name in ("files", "work"):
            (upper / name).mkdir()
        options = f"lowerdir={lower},upperdir={upper}/files,workdir={upper}/work"
        _mount(mounted, "-t", "overlay", "overlay", "-o", options, str(root))
        yield root


@contextmanager
def small_disk(place: Path, mebibytes: int) -> Iterator[Path]:
    """Return `place` as a filesystem of that size, as long as the block lasts."""
    place.mkdir()
    with ExitStack() as mounted:
        _mount(mounted, "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place))
        yield place


def _mount(mounted: ExitStack, *words: str) -> None:
    subprocess.run(["mount", *words], check=True)
    mounted.callback(subprocess.run, ["umount", "-l", words[-1]], check=True)


@contextmanager
def running(lower: Path, base: Path, binds: Mapping[str, Path]) -> Iterator[Machine]:
    """Run a machine with the programs installed as an operator installs them, and boot it."""
    with layered(lower, base) as root:
        install(root)
        machine = Machine(root, base, binds)
        try:
            machine.boot()
            yield machine
        finally:
            machine.power_off()


def install(root: Path) -> None:
    """Install the packages from this tree, the units, the user, the group and the folders."""
    with tempfile.TemporaryDirectory(dir=root / "opt") as source:
        for name in ("s3batch", "s3sync"):
            shutil.copytree(HOUSE / name, Path(source) / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(HOUSE / name, source)
        inside = f"/opt/{Path(source).name}"
        pip = ["/opt/s3batch/bin/pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", inside]
        subprocess.run(["chroot", str(root), *pip], check=True)
    words = "groupadd --system drop && useradd --system --home-dir /var/lib/s3batch --shell /usr/sbin/nologin s3batch"
    subprocess.run(["chroot", str(root), "/bin/sh", "-c", words], check=True)
    for unit in (HOUSE / "systemd").iterdir():
        shutil.copy(unit, root / "etc/systemd/system")
    for folder in ("etc/s3batch/credentials", "srv/drop", "srv/sync"):
        (root / folder).mkdir(parents=True, mode=0o755)
    (root / "etc/s3batch/credentials").chmod(0o700)


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait until `condition` holds; fail naming `what` if it does not in a long time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)
