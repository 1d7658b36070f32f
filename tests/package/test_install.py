"""What `make package` builds, installed on a fresh Debian by `deploy/install.sh` and by dpkg, updated, and removed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.debian import DebianRoot
from tests.live.parts import LiveParts
from tests.package.build import HOUSE, build

COMMANDS = ("/usr/local/bin/s3batch", "/usr/local/bin/s3sync", "/usr/local/sbin/s3batch-as-agent")
PROGRAMS = (*COMMANDS, "/opt/s3batch", "/opt/s3batch.d")
UNIT = "/etc/systemd/system/s3batch.service"
FOLDERS = """\
755 root root /etc/s3batch
700 root root /etc/s3batch/credentials
640 root s3batch /etc/s3batch/s3batch.env
644 root root /etc/s3batch/s3batch.toml
700 s3batch s3batch /srv/drop/.s3batch-quarantine
2775 root drop /srv/drop/first-bucket
755 root drop /srv/drop
700 s3batch s3batch /var/cache/s3batch
700 s3batch s3batch /var/lib/s3batch
750 s3batch s3batch /var/log/s3batch
"""
"""Rights as docs/install.md has them."""
LOGS = """\
640 root adm /var/log/vsftpd.log
640 root adm /var/log/s3batch-sftp.log
"""
"""vsftpd would make its own for root alone, and the agent could not read it."""

pytestmark = [pytest.mark.live("debian_root"), pytest.mark.live("wheelhouse"), pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def built(live_parts: LiveParts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the bundle, as packed and unpacked, and the Debian package."""
    into = tmp_path_factory.mktemp("built")
    build(live_parts.path("wheelhouse"), into)
    return into


@pytest.fixture
def debian(live_parts: LiveParts, built: Path, tmp_path: Path) -> Iterator[DebianRoot]:
    """A fresh Debian with what was built at /mnt."""
    yield DebianRoot(live_parts.path("debian_root"), tmp_path / "layer", built)
    subprocess.run(["rm", "-rf", "--one-file-system", tmp_path / "layer"], check=True)


def install(debian: DebianRoot, *words: str) -> str:
    """Run install.sh of the unpacked bundle and return what it said."""
    return debian.said("/mnt/bundle/install.sh", *words)


def make_state(debian: DebianRoot) -> None:
    """Have the program of the user s3batch write into its state folder: looking something up makes an empty catalogue."""
    assert 4 == debian.run("runuser", "-u", "s3batch", "--", "s3batch", "find", "x", check=False).returncode


def test_installed_kept_in_order_and_removed_without_losing_anything(debian: DebianRoot, tmp_path: Path) -> None:
    """Rehearsed, installed, found in order, uninstalled: what was dropped, state and settings stay until they are purged."""
    rehearsed = install(debian, "--dry-run", "--drop-servers", "--bucket", "first-bucket").splitlines()
    written = [path for path in (tmp_path / "layer" / "upper").rglob("*") if path.is_file()]

    assert [] == [line for line in rehearsed if not line.startswith("would: ")]
    assert [] == written

    install(debian, "--drop-servers", "--bucket", "first-bucket")
    places = [line.split()[-1] for line in FOLDERS.splitlines()]
    assert FOLDERS == debian.said("stat", "-c", "%a %U %G %n", *places)
    assert "(adm)" in debian.said("id", "s3batch")
    assert LOGS == debian.said("stat", "-c", "%a %U %G %n", *(line.split()[-1] for line in LOGS.splitlines()))
    assert "/srv/drop" in debian.said("runuser", "-u", "s3batch", "--", "s3batch", "config", "show")
    make_state(debian)
    assert "" == debian.said("systemd-analyze", "verify", "--man=no", UNIT)
    assert debian.has("/usr/local/share/man/man1/s3batch-find.1")
    assert [] == [path for path in COMMANDS if not debian.has(path)]

    debian.run("sh", "-c", "echo S3BATCH_LOG_LEVEL=debug >>/etc/s3batch/s3batch.env; echo x >/srv/drop/first-bucket/dropped")
    assert "Nothing to do" in install(debian, "--drop-servers")
    assert "S3BATCH_BUCKETS=first-bucket" in debian.said("cat", "/etc/s3batch/s3batch.env")

    debian.run("sh", "-c", "mkdir -p /srv/sync/first-bucket; echo y >/srv/sync/first-bucket/dropped")
    stays = install(debian, "--uninstall")
    assert "/srv/drop  (1 files)" in stays
    assert "/srv/sync  (1 files)" in stays
    assert [] == [path for path in (*PROGRAMS, UNIT, "/usr/local/share/man/man1/s3batch-find.1") if debian.has(path)]
    assert "x\n" == debian.said("cat", "/srv/drop/first-bucket/dropped")
    assert debian.has("/var/lib/s3batch/catalogue.db")

    refused = debian.run("/mnt/bundle/install.sh", "--purge", typed="yes\n", check=False)
    assert (1, True) == (refused.returncode, debian.has("/var/lib/s3batch/catalogue.db"))
    debian.run("/mnt/bundle/install.sh", "--purge", typed="purge s3batch\n")
    assert [] == [path for path in ("/var/lib/s3batch", "/etc/s3batch", "/var/cache/s3batch") if debian.has(path)]
    assert "x\ny\n" == debian.said("cat", "/srv/drop/first-bucket/dropped", "/srv/sync/first-bucket/dropped")


@pytest.mark.long
def test_installed_again_after_it_was_removed(debian: DebianRoot) -> None:
    """What an uninstalled agent left is what the next one goes on with; an update keeps the version before for the way back."""
    install(debian, "--bucket", "first-bucket")
    debian.run("sh", "-c", "echo S3BATCH_LOG_LEVEL=debug >>/etc/s3batch/s3batch.env; echo x >/srv/drop/first-bucket/dropped")
    make_state(debian)
    before = debian.said("sha256sum", "/var/lib/s3batch/catalogue.db", "/etc/s3batch/s3batch.env")
    install(debian, "--uninstall")
    install(debian, "--package", "/mnt/" + next(path.name for path in debian.brought.glob("*.tar.gz")))

    assert before == debian.said("sha256sum", "/var/lib/s3batch/catalogue.db", "/etc/s3batch/s3batch.env")
    make_state(debian)
    assert "x\n" == debian.said("cat", "/srv/drop/first-bucket/dropped")

    first = debian.said("readlink", "/opt/s3batch")
    debian.run("sh", "-c", "cp -r /mnt/bundle /root/newer && touch /root/newer/wheels/zz.whl.note")
    debian.run("/root/newer/install.sh")
    assert first != debian.said("readlink", "/opt/s3batch")
    assert "again" in debian.said("/root/newer/install.sh", "--rollback")
    assert first == debian.said("readlink", "/opt/s3batch")
    assert "s3batch 0" in debian.said("s3batch", "--version")


@pytest.mark.long
def test_the_debian_package(debian: DebianRoot) -> None:
    """Installed, replaced, removed and purged by dpkg; dropped files and state stay."""
    (package,) = debian.brought.glob("*.deb")
    debian.run("dpkg", "-i", f"/mnt/{package.name}")
    debian.run("sh", "-c", "mkdir /srv/drop/bucket-one; echo x >/srv/drop/bucket-one/dropped")
    make_state(debian)
    assert debian.has("/usr/lib/systemd/system/s3batch.service")
    assert debian.has("/usr/share/man/man1/s3batch.1.gz")
    assert debian.has("/usr/sbin/s3batch-as-agent")

    debian.run("dpkg", "-i", f"/mnt/{package.name}")
    debian.run("/usr/lib/s3batch/install.sh", "--drop-servers")
    assert LOGS == debian.said("stat", "-c", "%a %U %G %n", *(line.split()[-1] for line in LOGS.splitlines()))
    assert not debian.has("/usr/local/bin/s3batch")

    debian.run("dpkg", "--remove", "s3batch")
    assert [False, True] == [debian.has("/opt/s3batch"), debian.has("/etc/s3batch/s3batch.env")]

    assert "/srv/drop is kept" in debian.said("dpkg", "--purge", "s3batch")
    assert "x\n" == debian.said("cat", "/srv/drop/bucket-one/dropped")
    assert [False, True] == [debian.has("/etc/s3batch"), debian.has("/var/lib/s3batch/catalogue.db")]


def test_what_is_not_understood_changes_nothing(debian: DebianRoot) -> None:
    """A wrong flag, a name that is no bucket's and a package that is none are refused with a code of their own."""
    for words, code in ((["--upside-down"], 2), (["--bucket", "../etc"], 2), (["--package"], 2)):
        ended = debian.run("/mnt/bundle/install.sh", *words, check=False)

        assert code == ended.returncode, ended.stdout
    assert not debian.has("/etc/s3batch")


def test_shellcheck_finds_nothing() -> None:
    """The scripts that install are clean."""
    scripts = [HOUSE / "deploy" / name for name in ("install.sh", "as-agent.sh", "bootstrap.sh")]
    program = Path(sys.executable).with_name("shellcheck")
    ended = subprocess.run([program, *scripts], check=False, capture_output=True, text=True)

    assert (0, "") == (ended.returncode, ended.stdout)
