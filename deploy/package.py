"""Build what is installed on hosts: a bundle (.tar.gz) and, where dpkg-deb is, a Debian package. Run by `make package`.

Both hold the wheel of this tree, the wheels of what it needs, in the versions and with the hashes of Pipfile.lock, for every
Python from 3.11 to 3.14, `install.sh`, units and samples. Environments are made on the host by its own Python: an environment
that was made elsewhere breaks at the first other Python, and one package serves Debian 12 and 13, Ubuntu 24.04 and, as a
bundle, Amazon Linux 2023. Nothing is fetched on the host.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

HOUSE = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
GLIBCS = ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_34")
"""Wheels for these and older C libraries run where we do: Amazon Linux 2023 has 2.34."""
EXTRAS = ("notify",)
"""Extras whose packages the bundle holds too, where the project has them."""
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "s3batch", "s3sync")
EPOCH = "1577836800"
"""Time of every file: the same sources are the same package."""
DEBIAN_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def main(argv: Sequence[str] | None = None) -> None:
    """Build both into a folder and print their names."""
    parser = argparse.ArgumentParser(description="Build the bundle and the Debian package.")
    parser.add_argument("--into", type=Path, default=HOUSE / "dist", help="folder for what is built (default: dist)")
    parser.add_argument(
        "--python", action="append", help=f"only for this Python; may be repeated (default: {', '.join(PYTHONS)})"
    )
    parser.add_argument("--only-fetch", type=Path, metavar="FOLDER", help="only fetch the wheels of what is needed into it")
    parser.add_argument("--wheels", type=Path, help="folder with the wheels of what is needed (default: fetch them)")
    args = parser.parse_args(argv)
    pythons = tuple(args.python or PYTHONS)
    if args.only_fetch is not None:
        fetch(args.only_fetch, pythons)
        return
    args.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        staged = stage(Path(folder) / "bundle", args.wheels, pythons)
        made = [bundle(staged, args.into)]
        if shutil.which("dpkg-deb"):
            made.append(debian(staged, Path(folder) / "debian", args.into))
    for path in made:
        print(path)  # noqa: T201  # this is what the program is for


def version() -> str:
    """Return the version of this tree, from the one place where it stands."""
    found = re.search(r'^__version__ = "([^"]+)"', (HOUSE / "s3sync" / "__init__.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit("s3sync/__init__.py names no version")
    return found[1]


def stage(into: Path, wheels: Path | None, pythons: Sequence[str]) -> Path:
    """Lay out what a bundle holds in the folder `into`."""
    (into / "wheels").mkdir(parents=True)
    own_wheel(into / "wheels")
    if wheels is None:
        fetch(into / "wheels", pythons)
    else:
        for wheel in sorted(wheels.glob("*.whl")):
            shutil.copy(wheel, into / "wheels")
    for name in ("deploy/install.sh", "deploy/as-agent.sh", "deploy/s3batch.env", "deploy/s3batch.toml", "LICENSE"):
        shutil.copy(HOUSE / name, into)
    shutil.copytree(HOUSE / "systemd", into / "systemd")
    shutil.copytree(HOUSE / "deploy" / "drop-servers", into / "drop-servers")
    return into


def own_wheel(into: Path) -> Path:
    """Build the wheel of this tree, from a copy: building leaves folders behind."""
    with tempfile.TemporaryDirectory() as folder:
        for name in SOURCES:
            source = HOUSE / name
            if source.is_dir():
                shutil.copytree(source, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", os.fspath(into), folder, SOURCE_DATE_EPOCH=EPOCH)
    (made,) = into.glob(f"s3batch-{version()}-*.whl")
    return made


def fetch(into: Path, pythons: Sequence[str]) -> None:
    """Fetch the wheels of everything the programs need, for each of `pythons`, as Pipfile.lock has them."""
    locked = json.loads((HOUSE / "Pipfile.lock").read_text("utf-8"))["default"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.writelines(_pinned(name, locked[name]) for name in sorted(needed()))
        wanted.flush()
        for python in pythons:
            platforms = [f"--platform=manylinux{glibc}_{platform.machine()}" for glibc in GLIBCS]
            only = ("--only-binary=:all:", "--no-deps", "--require-hashes", f"--python-version={python}", *platforms)
            _pip("download", *only, "--dest", os.fspath(into), "--requirement", wanted.name)


def needed() -> set[str]:
    """Return the names of all packages that the programs need, directly or not, as installed here."""
    found: set[tuple[str, str]] = set()
    waiting = [("s3batch", extra) for extra in ("", *EXTRAS)]
    while waiting:
        one = name, extra = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(_canonical(requirement.name), other) for other in ("", *requirement.extras)]
    return {name for name, _ in found} - {"s3batch"}


def bundle(staged: Path, into: Path) -> Path:
    """Pack the bundle, the same bytes for the same content."""
    name = f"s3batch-{version()}"
    made = into / f"{name}-linux-{platform.machine()}.tar.gz"
    with (
        open(made, "wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(staged.rglob("*")):
            tar.add(path, f"{name}/{path.relative_to(staged)}", recursive=False, filter=_nobodys)
    return made


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = int(EPOCH)
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def debian(staged: Path, root: Path, into: Path) -> Path:
    """Build the Debian package: the bundle in /usr/lib/s3batch, and what has a place of its own there."""
    shutil.copytree(staged, root / "usr/lib/s3batch")
    (root / "usr/lib/systemd").mkdir()
    shutil.move(root / "usr/lib/s3batch/systemd", root / "usr/lib/systemd/system")
    doc = root / "usr/share/doc/s3batch"
    doc.mkdir(parents=True)
    shutil.move(root / "usr/lib/s3batch/LICENSE", doc / "copyright")
    _written_by_the_program(root / "usr/share")
    (root / "usr/bin").mkdir()
    for name in ("s3batch", "s3sync"):
        (root / "usr/bin" / name).symlink_to(f"/opt/s3batch/bin/{name}")
    (root / "usr/sbin").mkdir()
    shutil.move(root / "usr/lib/s3batch/as-agent.sh", root / "usr/sbin/s3batch-as-agent")
    _control(root)
    _rights(root)
    architecture = DEBIAN_MACHINES[platform.machine()]
    made = into / f"s3batch_{version()}_{architecture}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", os.fspath(root), os.fspath(made)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH})
    return made


def _written_by_the_program(share: Path) -> None:
    places = {
        "--man": share / "man/man1",
        "--bash": share / "bash-completion/completions",
        "--zsh": share / "zsh/vendor-completions",
        "--fish": share / "fish/vendor_completions.d",
    }
    words = [word for flag, place in places.items() for word in (flag, os.fspath(place))]
    subprocess.run([sys.executable, "-m", "s3batch.manual", *words], check=True, cwd=HOUSE)
    for page in places["--man"].glob("*.1"):
        page.with_name(f"{page.name}.gz").write_bytes(gzip.compress(page.read_bytes(), mtime=0))
        page.unlink()


def _control(root: Path) -> None:
    """Write what dpkg reads, and the scripts it runs: they hand on to install.sh."""
    control = root / "DEBIAN"
    control.mkdir()
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    fields = f"""\
        Package: s3batch
        Version: {version()}
        Architecture: {DEBIAN_MACHINES[platform.machine()]}
        Maintainer: s3batch maintainers <root@localhost>
        Installed-Size: {size}
        Depends: python3 (>= 3.11), python3 (<< 3.15), python3-venv, passwd, util-linux
        Recommends: systemd
        Section: admin
        Priority: optional
        Description: files dropped over SFTP/FTPS into verified Deep Archive tars
         Packs finished files of a drop zone into archives in S3 Glacier Deep Archive, proves and catalogues
         them, and only then removes the originals; finds any of them later and brings exactly that one back.
        """
    (control / "control").write_text(textwrap.dedent(fields), "utf-8")
    install = "/usr/lib/s3batch/install.sh --within-dpkg"
    _script(control / "postinst", f'if [ "$1" = configure ]; then {install}; fi')
    _script(control / "prerm", f'if [ "$1" = remove ]; then {install} --uninstall; fi')
    _script(control / "postrm", _POSTRM)


_POSTRM = """\
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
    rm -rf /etc/s3batch /var/cache/s3batch
    for place in /srv/drop /var/lib/s3batch /var/log/s3batch; do
        [ ! -e "$place" ] || echo "s3batch: $place is kept; remove it yourself when nothing in it is needed"
    done
fi"""


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\nset -e\n{body}\n", "utf-8")
    path.chmod(0o755)


def _rights(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _pinned(name: str, entry: dict[str, Any]) -> str:
    return " ".join([f"{name}{entry['version']}", *(f"--hash={digest}" for digest in entry["hashes"])]) + "\n"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip(*words: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, env={**os.environ, **environment})


if __name__ == "__main__":
    main()
