"""A customer of a drop host, from the samples exactly as they are shipped: account, jail, uploads, end."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live.drop_host import SAMPLES
from tests.live.parts import LiveParts

WALK = Path(__file__).with_name("customer_walk.sh")
NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")

FOLDER, FILE = "drwxrwsr-x drop", "-rw-rw-r-- drop"
LEFT = f"""\
drwxr-xr-x root .
{FOLDER} ./archive
{FOLDER} ./archive/ann
{FOLDER} ./archive/ann/in
{FOLDER} ./archive/ann/in/made
{FILE} ./archive/ann/in/made/by-ftps
{FOLDER} ./archive/ann/in/new
-rw-r--r-- drop ./archive/ann/in/new/by-sftp
{FOLDER} ./archive/ben
log: 1 1
0
content
"""
"""The drop zone after the walk: every folder setgid, of the group, writable for it; both uploads logged; nothing else said.

A file has at most the rights that an SFTP client asks for; it is the folder's that let it be removed."""


@pytest.mark.slow
@pytest.mark.live("sshd")
@pytest.mark.live("vsftpd")
def test_a_customer_from_nothing(live_parts: LiveParts) -> None:
    """Uploads by sshd and vsftpd lie where the agent can remove them; nobody gets a shell, or in without a right to."""
    assert live_parts.path("sshd").is_file()
    if shutil.which("ip") is None or shutil.which("ss") is None:
        pytest.skip("not installed: iproute2")
    ended = subprocess.run(
        [*NAMESPACES, "sh", str(WALK), str(SAMPLES)], check=False, capture_output=True, text=True, timeout=60
    )

    assert (0, LEFT) == (ended.returncode, ended.stdout), ended.stderr[-3000:]


@pytest.mark.parametrize(
    "words",
    [
        ("add",),
        ("add", "Ann"),
        ("add", "ann"),
        ("add", "ann", "--bucket"),
        ("add", "ann", "--bucket", "../etc"),
        ("add", "ann", "--bucket", "b", "--folder", "../other"),
        ("add", "ann", "--bucket", "b", "--folder", "with blank"),
        ("add", "ann", "--bucket", "b", "--shell", "/bin/sh"),
        ("remove", "root"),
        ("remove", "nobody-of-that-name"),
        (),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_said_before_anything_is_done(words: tuple[str, ...], tmp_path: Path) -> None:
    """A slip of the pen changes nothing: exit code 2 and one line, or the usage."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DROP": str(tmp_path), "JAIL": str(tmp_path / "jail")}
    command = [str(SAMPLES / "customer.sh"), *words, *(["--dry-run"] if len(words) > 1 else [])]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    assert 2 == ended.returncode, ended
    assert ended.stdout + ended.stderr


def test_a_drop_zone_that_does_not_come_keeps_no_host_from_starting(tmp_path: Path) -> None:
    """The mounts of jails may fail at a boot: what is required there takes the host into its emergency mode, without sshd."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DROP": str(tmp_path), "JAIL": str(tmp_path / "jail")}
    command = [str(SAMPLES / "customer.sh"), "add", "s3-ann", "--bucket", "b", "--dry-run"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    line = f"into /etc/fstab: {tmp_path}/b {tmp_path}/jail/s3-ann/b none bind,nodev,nosuid,noexec,nofail 0 0"
    assert line in said.splitlines()


def test_a_dry_run_says_everything_and_does_nothing(tmp_path: Path) -> None:
    """Account, jail, folders, mount, key, log and limits are named, and nothing is there afterwards."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DROP": str(tmp_path), "JAIL": str(tmp_path / "jail")}
    words = ("--bucket", "b", "--folder", "in", "--quota", "10G", "--files", "1000", "--dry-run")
    command = [str(SAMPLES / "customer.sh"), "add", "s3-ann", *words]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    assert 0 == ended.returncode, ended.stderr
    assert [] == list(tmp_path.iterdir())
    said = ended.stdout.splitlines()
    assert f"setquota -u s3-ann 0 10G 0 1000 {tmp_path}" in said
    assert f"install -d -m 2775 -g drop {tmp_path}/b/in" in said
    assert f"mount --bind -o nodev,nosuid,noexec {tmp_path}/b/in {tmp_path}/jail/s3-ann/b" in said
