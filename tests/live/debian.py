"""A fresh Debian: a root folder made once by debootstrap and kept, on top of which each test gets a layer of its own.

Commands run in it by chroot, inside a mount namespace of their own, so that no mount outlives a command, whatever happens. The
kept root is never written to: it is the lower layer of an overlay, or copied where overlays cannot be mounted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.live.fetch import Part, Unfetched, kept, run

SUITE = "bookworm"
INCLUDED = ("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "openssh-server", "rsyslog")
SECONDS = 300

_IN_ROOT = """
set -e
lower=$1 layer=$2 brought=$3
root=$layer/root
shift 3
mount --make-rprivate /
[ -d "$root/usr" ] || mount -t overlay overlay -o "lowerdir=$lower,upperdir=$layer/upper,workdir=$layer/work" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/lock"
mount --rbind /dev "$root/dev"
mount --bind -o ro "$brought" "$root/mnt"
exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
"""


def _get(cache: Path) -> Path:
    if os.geteuid() != 0:
        raise Unfetched("a root folder is made by root only")
    return kept(cache, "debian-root", _make)


def _make(into: Path) -> None:
    into.chmod(0o755)
    run(["debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE, os.fspath(into)])


PART = Part(name="debian_root", role="debian", version=SUITE, get=_get)


class DebianRoot:
    """A fresh Debian of one test's own."""

    def __init__(self, lower: Path, layer: Path, brought: Path) -> None:
        """Lay a layer in the folder `layer` over the kept root; what lies in `brought` is at /mnt, to be read."""
        self._lower, self._layer, self.brought = lower, layer, brought
        for name in ("upper", "work", "root"):
            (layer / name).mkdir(parents=True)
        if self.run("true", check=False).returncode:
            shutil.rmtree(layer / "root")
            subprocess.run(["cp", "-a", os.fspath(lower), os.fspath(layer / "root")], check=True)
            self.run("true")

    def run(self, *words: str, typed: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in there and return what it said; `typed` is its standard input."""
        command = ["unshare", "--mount", "--fork", "sh", "-c", _IN_ROOT, "sh"]
        folders = [os.fspath(folder) for folder in (self._lower, self._layer, self.brought)]
        ended = subprocess.run(
            [*command, *folders, *words],
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=SECONDS,
        )
        if check and ended.returncode:
            raise AssertionError(f"{' '.join(words)} ended with {ended.returncode}:\n{ended.stdout}")
        return ended

    def said(self, *words: str) -> str:
        """Return what a command says that ends well."""
        return self.run(*words).stdout

    def has(self, path: str) -> bool:
        """Tell whether something lies at `path`."""
        return self.run("test", "-e", path, check=False).returncode == 0
