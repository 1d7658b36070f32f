"""A drop host, booted: systemd as PID 1, the units as they are, sandbox and all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.moto_server import MotoServer
from tests.live.machine import Machine, eventually, running, small_disk
from tests.live.parts import LiveParts

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

AGENT = "s3batch.service"
SETTINGS = """\
AWS_DEFAULT_REGION=us-east-1
S3BATCH_QUIET_PERIOD=1s
S3BATCH_SCAN_INTERVAL=2s
S3BATCH_BUCKETS=customer,mounted
S3SYNC_QUIET_PERIOD=1s
S3SYNC_SCAN_INTERVAL=2s
"""
IN_A_HURRY = "[Service]\nWatchdogSec=6s\nRestartSec=1s\n"
"""A drop-in: the test does not wait a quarter of an hour for a watchdog."""


class DropHost:
    """The machine, its drop zone and its bucket."""

    def __init__(self, machine: Machine, base: Path, moto: MotoServer) -> None:
        self.machine = machine
        self.spool = base / "cache"
        self.s3 = moto.client()
        self._zone = base / "drop"

    def drop(self, name: str, content: bytes, *, zone: str = "drop") -> Path:
        """Leave a file as an upload server does: readable and removable for the group, and for nobody else."""
        path = self._zone.parent / zone / "customer" / name
        path.write_bytes(content)
        path.chmod(0o660)
        return path

    def until_archived(self, path: Path) -> None:
        """Wait until a file has gone from the drop zone."""
        eventually(lambda: not path.exists(), f"the archive of {path.name}, where {self.status()}")

    def status(self) -> str:
        """Return what the agent says of itself."""
        return self.machine.unit(AGENT, "StatusText")

    def restarts(self) -> int:
        """Return how often systemd has begun the agent anew."""
        return int(self.machine.unit(AGENT, "NRestarts"))

    def is_ready(self) -> bool:
        """Tell whether systemd calls the agent started."""
        return self.machine.unit(AGENT, "ActiveState") == "active"

    def said(self, unit: str = AGENT) -> str:
        """Return the journal of a unit."""
        return self.machine.ask("journalctl", "--no-pager", "-u", unit)


@pytest.fixture
def host(live_parts: LiveParts, tmp_path: Path, moto: MotoServer) -> Iterator[DropHost]:
    """A booted host on which nothing runs yet."""
    lower = live_parts.path("machine")
    for name in ("drop", "sync", "state"):
        (tmp_path / name).mkdir()
    binds = {"/srv/drop": "drop", "/srv/sync": "sync", "/var/lib/s3batch": "state", "/var/cache/s3batch": "cache"}
    with (
        small_disk(tmp_path / "cache", 64),
        running(lower, tmp_path, {inside: tmp_path / name for inside, name in binds.items()}) as machine,
    ):
        _arrange(machine, tmp_path, moto)
        yield DropHost(machine, tmp_path, moto)


def _arrange(machine: Machine, base: Path, moto: MotoServer) -> None:
    """Write settings and credentials, and make the drop zones as an operator does."""
    etc = machine.root / "etc"
    for program in ("s3batch", "s3sync"):
        (etc / f"s3batch/{program}.env").write_text(f"AWS_ENDPOINT_URL_S3={moto.endpoint}\n{SETTINGS}")
        folder = etc / f"systemd/system/{program}.service.d"
        folder.mkdir()
        (folder / "hurry.conf").write_text(IN_A_HURRY)
    (etc / "s3batch/s3batch.toml").write_text('max_batch_age = "1s"\n')
    (etc / "s3batch/credentials/aws").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    (etc / "s3batch/credentials/aws").chmod(0o600)
    group = int(machine.do("getent", "group", "drop").split(":")[2])
    for zone in (base / "drop", base / "sync"):
        (zone / "customer").mkdir()
        for folder in (zone, zone / "customer"):
            os.chown(folder, 0, group)
            folder.chmod(0o2775)
    for bucket in ("customer", "mounted"):
        moto.client().create_bucket(Bucket=bucket)
    machine.do("systemctl", "daemon-reload")


@pytest.mark.live("machine")
def test_the_life_of_an_agent(host: DropHost) -> None:
    """Started, killed, hung, out of disk, reloaded, stopped, booted again: every file dropped meanwhile is archived."""
    machine = host.machine
    machine.do("systemctl", "enable", "--now", AGENT)
    host.until_archived(host.drop("started", b"started"))
    eventually(lambda: "Resting; nothing waits; last archive" in host.status(), "the status")

    group = machine.do("getent", "group", "drop").split(":")[2]
    machine.do("mkdir", "/srv/drop/mounted")
    machine.do("mount", "-t", "tmpfs", "-o", f"mode=2775,gid={group}", "tmpfs", "/srv/drop/mounted")
    machine.do("sh", "-c", "echo late > /srv/drop/mounted/late && chmod 660 /srv/drop/mounted/late")
    eventually(lambda: "late" not in machine.ask("ls", "/srv/drop/mounted"), "the archive from a mount that came later")

    machine.send(AGENT, "KILL")
    killed = host.drop("killed", b"killed")
    eventually(lambda: host.restarts() == 1 and host.is_ready(), "the restart after a kill")
    host.until_archived(killed)

    machine.send(AGENT, "STOP")
    hung = host.drop("hung", b"hung")
    eventually(lambda: host.restarts() == 2 and host.is_ready(), "the restart after a hang")
    host.until_archived(hung)

    assert "Failed with result 'watchdog'" in host.said()

    ballast = host.spool / "ballast"
    ballast.write_bytes(bytes(63 << 20))
    large = host.drop("large", os.urandom(4 << 20))
    eventually(lambda: "spool_full" in host.said(), "being told of the full disk")
    eventually(lambda: "1 file waits" in host.status(), "the status of a full disk")
    ballast.unlink()
    host.until_archived(large)

    (machine.root / "etc/s3batch/s3batch.toml").write_text('max_batch_age = "2s"\nspool = "/var/cache/s3batch/other"\n')
    (machine.root / "etc/s3batch/s3batch.toml").chmod(0o644)
    machine.do("systemctl", "reload", AGENT)
    eventually(lambda: '"S3BATCH_MAX_BATCH_AGE"' in host.said(), "the reload")
    host.until_archived(host.drop("reloaded", b"reloaded"))

    assert 2 == host.restarts()

    machine.do("systemctl", "stop", AGENT)
    assert ("inactive", "success") == (machine.unit(AGENT, "ActiveState"), machine.unit(AGENT, "Result"))
    waiting = host.drop("while it was off", b"while it was off")
    machine.power_off()
    machine.boot()
    host.until_archived(waiting)

    assert 6 == len(
        [found for found in host.s3.list_objects_v2(Bucket="customer")["Contents"] if found["Key"].endswith(".tar")]
    )


@pytest.mark.live("machine")
def test_passes_by_a_timer_and_what_is_told_of_a_failure(host: DropHost) -> None:
    """One-shots do their work and succeed; s3sync runs beside; wrong settings end in a line of priority crit, at once."""
    machine = host.machine
    archived, stored = host.drop("by the timer", b"archived"), host.drop("single", b"stored", zone="sync")
    machine.do("systemctl", "start", "s3sync.service")
    eventually(lambda: not stored.exists(), "the release by s3sync")
    eventually(
        lambda: machine.unit("s3sync.service", "StatusText").startswith("Resting; nothing waits; last archive"), "status"
    )
    machine.do("systemctl", "start", "s3batch-once.service")
    machine.do("systemctl", "enable", "--now", "s3batch-once.timer", "s3batch-verify.timer")

    assert (False, "success") == (archived.exists(), machine.unit("s3batch-once.service", "Result"))
    timers = machine.ask("systemctl", "list-timers", "--no-pager")
    assert (True, True) == ("s3batch-once.timer" in timers, "s3batch-verify.timer" in timers)

    machine.do("systemctl", "start", "s3batch-verify.service")
    assert "1 of 1 archives compared with S3: nothing amiss" in host.said("s3batch-verify.service")
    (archive,) = (found["Key"] for found in host.s3.list_objects_v2(Bucket="customer")["Contents"] if ".tar" in found["Key"])
    host.s3.delete_object(Bucket="customer", Key=archive)
    machine.ask("systemctl", "start", "s3batch-verify.service")
    assert ("failed", "8") == tuple(
        machine.unit("s3batch-verify.service", asked) for asked in ("ActiveState", "ExecMainStatus")
    )
    crit = "journalctl", "--no-pager", "-p", "crit", "-t", "s3batch-failure"
    eventually(lambda: "s3batch-verify has failed" in machine.ask(*crit), "being told of it")

    with (machine.root / "etc/s3batch/s3batch.env").open("a") as settings:
        settings.write("S3BATCH_QUIET_PERIOD=soon\n")
    machine.ask("systemctl", "start", AGENT)
    eventually(lambda: machine.unit(AGENT, "ActiveState") == "failed", "the failure")
    eventually(lambda: "s3batch has failed" in machine.ask(*crit), "being told of it")

    assert (0, "2") == (host.restarts(), machine.unit(AGENT, "ExecMainStatus"))
