"""A drop host from nothing to nothing, on one booted Debian: installed, used, updated, broken, mended, removed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.doubles.moto_server import MotoServer
from tests.live.parts import LiveParts
from tests.package.build import HOUSE, build, build_as
from tests.systemd.walk import Walk, walking
from tests.transcripts import shown

pytestmark = [pytest.mark.long, pytest.mark.golden, pytest.mark.timeout(1800)]

PAGE = HOUSE / "docs" / "install.md"
BUCKET, SYNCED = "customer-uploads", "single-files"
NEXT = "0.1.99"
IN_A_HURRY = "[Service]\nWatchdogSec=6s\nRestartSec=1s\n"
"""A drop-in: nobody waits a quarter of an hour for a watchdog."""
SETTINGS = """\
AWS_DEFAULT_REGION=us-east-1
S3BATCH_QUIET_PERIOD=2s
S3BATCH_SCAN_INTERVAL=2s
S3BATCH_MAX_BATCH_AGE=2s
S3BATCH_THAW_POLL=1s
S3BATCH_MAX_BATCH_SIZE=32MiB
S3BATCH_METRICS_LISTEN=127.0.0.1:9477
S3BATCH_TRANSFER_LOGS=/var/log/s3batch-sftp.log,/var/log/vsftpd.log
"""
CREDENTIALS = "[default]\naws_access_key_id = a\naws_secret_access_key = b\n"
SPOOL_ON_A_SMALL_DISK = "tmpfs /var/cache/s3batch tmpfs size=64m,mode=0700 0 0\n"
ON_FAILURE = """\
#!/bin/sh
exec python3 -c 'import sys, urllib.request; urllib.request.urlopen("{pager}", data=sys.argv[1].encode())' "$1"
"""
EVERYTHING = r"find / -xdev ! -path '/run/*' ! -path '/tmp*' ! -path '/var/log/*' -printf '%p %T@ %m %u %g\n'"
CUSTOMER = "drop-servers/customer.sh"
STAYS = ("/srv/drop", "/srv/sync", "/var/lib/s3batch", "/var/lib/s3sync", "/etc/s3batch")


@pytest.mark.live("drop_machine")
@pytest.mark.live("wheelhouse")
def test_from_nothing(live_parts: LiveParts, moto: MotoServer, tmp_path: Path) -> None:
    """Whatever is uploaded between installing and removing is in S3 byte for byte, once; and one file is brought back."""
    built, base, scratch = (tmp_path / name for name in ("built", "base", "scratch"))
    for folder in (built, base, scratch, built / "next"):
        folder.mkdir()
    wheels = live_parts.path("wheelhouse")
    build(wheels, built)
    build_as(NEXT, wheels, built / "next", scratch)
    for bucket in (BUCKET, SYNCED):
        moto.client().create_bucket(Bucket=bucket)
    with walking(live_parts.path("drop_machine"), built, base, moto) as walk:
        installed(walk)
        with_servers(walk)
        a_customer(walk)
        uploads(walk)
        watched(walk)
        turned_over(walk)
        updated(walk)
        booted_again(walk)
        broken(walk)
        synced(walk)
        failures_are_told(walk)
        brought_back(walk)

        assert {} == walk.lost_in(BUCKET) | walk.lost_in(SYNCED)
        assert walk.dropped.keys() == (walk.stored(BUCKET) | walk.stored(SYNCED)).keys()

        removed(walk)
        a_disk_that_does_not_come(walk)
        shown(PAGE, "from nothing", walk.lines)


def installed(walk: Walk) -> None:
    """Rehearsed, which changes nothing; then done, and examined as the agent will see it."""
    walk.do("tar xzf /mnt/s3batch-*-linux-*.tar.gz && ls")
    before = walk.quietly(EVERYTHING)
    walk.quietly(f"s3batch-*/install.sh --dry-run --drop-servers --bucket {BUCKET}")

    assert before == walk.quietly(EVERYTHING)

    walk.do(f"s3batch-*/install.sh --drop-servers --bucket {BUCKET} | grep -e kept -A 9 -e '^s3batch.*Next'")
    assert "Nothing to do" in walk.quietly(f"s3batch-*/install.sh --bucket {BUCKET}")
    with (walk.machine.root / "etc/s3batch/s3batch.env").open("a") as settings:
        settings.write(f"{SETTINGS}AWS_ENDPOINT_URL_S3={walk.front.endpoint}\n")
    walk.write("/etc/s3batch/credentials/aws", CREDENTIALS, 0o600)
    with (walk.machine.root / "etc/fstab").open("a") as fstab:
        fstab.write(SPOOL_ON_A_SMALL_DISK)
    for unit in ("s3batch", "s3sync"):
        walk.write(f"/etc/systemd/system/{unit}.service.d/hurry.conf", IN_A_HURRY)
    walk.quietly("systemctl daemon-reload && mount /var/cache/s3batch && chown s3batch: /var/cache/s3batch")
    walk.aside("settings into /etc/s3batch/s3batch.env, a key into /etc/s3batch/credentials/aws")
    walk.do("s3batch-as-agent doctor | grep -e CAP_LEASE -e credentials -e customer-uploads")


def with_servers(walk: Walk) -> None:
    """The distribution's own configurations of vsftpd give way, and the servers take over what lies there."""
    walk.do("cd s3batch-*/drop-servers && cp vsftpd.conf /etc/ && cp pam-vsftpd /etc/pam.d/vsftpd")
    walk.do("sshd -t && systemctl reload ssh && systemctl restart rsyslog vsftpd")

    assert "active" == walk.quietly("systemctl is-active ssh rsyslog vsftpd | sort -u")
    assert "640 root adm" == walk.quietly("stat -c '%a %U %G' /var/log/vsftpd.log /var/log/s3batch-sftp.log | sort -u")


def a_customer(walk: Walk) -> None:
    """An account that can do nothing but upload, and whose log lines arrive."""
    walk.write("/root/ann.pub", walk.key())
    walk.do(f"s3batch-*/{CUSTOMER} add ann --bucket {BUCKET} --key /root/ann.pub && systemctl restart rsyslog")
    walk.quietly("echo ann:secret-of-ann | chpasswd")

    options = set(walk.quietly(f"findmnt -n -o OPTIONS /srv/jail/ann/{BUCKET}").split(","))
    assert {"nodev", "nosuid", "noexec"} <= options
    assert 67 == walk.curl("ann", "wrong")


def uploads(walk: Walk) -> None:
    """Over SFTP and over FTPS: archived, and gone from the drop zone."""
    walk.do("systemctl enable --now s3batch")
    walk.sftp("ann", b"by sftp" * 1000, BUCKET, "by-sftp.tif")
    walk.ftps("ann", b"by ftps" * 1000, BUCKET, "by-ftps.tif")
    walk.aside("ann uploads by-sftp.tif with sftp, and by-ftps.tif with lftp")
    walk.settle()

    assert 1 == walk.quietly("cat /var/log/s3batch-sftp.log").count('close "/customer-uploads/by-sftp.tif"')
    assert 1 == walk.quietly("cat /var/log/vsftpd.log").count("OK UPLOAD")


def watched(walk: Walk) -> None:
    """Status, journal, JSON, metrics and search say the same."""
    walk.until(lambda: walk.status().startswith("Resting; nothing waits; last archive"), "the status")
    walk.do("systemctl status s3batch | grep -e Loaded: -e Status:")
    walk.do("s3batch find by-")
    (record,) = walk.records("s3batch-as-agent status")

    assert walk.status().endswith("All is well.")
    assert (0, 2, [], []) == (
        record["backlog_files"], record["catalogue"]["members"], record["degraded"], record["attention"]
    )  # fmt: skip
    assert '"event": "archive_released"' in walk.said()
    assert '"healthy": true' in walk.page("healthz")
    assert '"ready": true' in walk.page("readyz")
    walk.until(lambda: f's3batch_archived_files_total{{bucket="{BUCKET}"}} 2.0' in walk.page("metrics"), "the metrics")


def turned_over(walk: Walk) -> None:
    """The log of uploads goes on in a new file, which the agent can read too."""
    log = "/var/log/s3batch-sftp.log"
    walk.quietly("logrotate --force /etc/logrotate.d/s3batch-sftp")
    walk.sftp("ann", b"into the next log", BUCKET, "into the next log")
    walk.settle()

    assert "640 root adm" == walk.quietly(f"stat -c '%a %U %G' {log}")
    walk.until(lambda: "/customer-uploads/into the next log" in walk.quietly(f"cat {log}"), "the line in the new log")
    assert "by-sftp.tif" in walk.quietly(f"cat {log}.1")
    assert walk.status().endswith("All is well.")


def updated(walk: Walk) -> None:
    """A next version goes on with state and settings; what comes while it is off waits."""
    walk.do("systemctl stop s3batch")
    assert ("inactive", "success") == walk.state()
    walk.sftp("ann", b"meanwhile", BUCKET, "while it was updated")
    walk.do(f"tar xzf /mnt/next/s3batch-*-linux-*.tar.gz && s3batch-{NEXT}/install.sh | grep ^ln")
    walk.do("s3batch --version && systemctl start s3batch && s3batch find by-sftp")
    walk.settle()

    assert "2" == walk.quietly(f"grep -c -e METRICS_LISTEN=127 -e S3BATCH_BUCKETS={BUCKET} /etc/s3batch/s3batch.env")


def booted_again(walk: Walk) -> None:
    """After a boot all of it is there: servers, jail, agent."""
    walk.machine.power_off()
    walk.machine.boot()
    walk.until(lambda: walk.state()[0] == "active", "the agent")
    walk.ftps("ann", b"booted", BUCKET, "after a boot")
    walk.sftp("ann", b"booted", BUCKET, "after a boot, by sftp")
    walk.settle()

    assert 1 == walk.quietly("cat /var/log/s3batch-sftp.log").count('close "/customer-uploads/after a boot, by sftp"')


def broken(walk: Walk) -> None:
    """Killed, out of disk, cut off from S3: it says so, and goes on by itself."""
    for number in range(12):
        walk.sftp("ann", b"%d" % number * 5000, BUCKET, f"killed {number}")
        if number % 4 == 3:
            restarts = walk.machine.unit("s3batch.service", "NRestarts")
            walk.machine.send("s3batch.service", "KILL")
            walk.until(lambda was=restarts: walk.machine.unit("s3batch.service", "NRestarts") != was, "the restart")  # type: ignore[misc]
    walk.settle()

    walk.quietly("head -c 63M /dev/zero >/var/cache/s3batch/ballast")
    walk.ftps("ann", b"large" * 800_000, BUCKET, "large")
    walk.until(lambda: "spool_full" in walk.said(), "being told of the full disk")
    walk.until(lambda: "1 file waits" in walk.status(), "the status of a full disk")
    walk.quietly("rm /var/cache/s3batch/ballast")
    walk.settle()

    walk.cut_off()
    walk.sftp("ann", b"cut off", BUCKET, "while S3 was away")
    walk.until(lambda: f"Look at: bucket {BUCKET}" in walk.status(), "the status without S3")
    assert 3 == walk.machine.run("s3batch-as-agent", "status", "--exit-code").returncode
    assert walk.waiting()
    walk.connect()
    walk.settle()
    walk.until(lambda: walk.status().endswith("All is well."), "the end of it")


def synced(walk: Walk) -> None:
    """s3sync beside it: set up by the page, killed by its watchdog, reloaded."""
    walk.write("/etc/s3batch/s3sync.env", f"AWS_ENDPOINT_URL_S3={walk.front.endpoint}\nAWS_DEFAULT_REGION=us-east-1\n")
    walk.write("/etc/s3sync/s3sync.toml", 'quiet_period = "1s"\nscan_interval = "2s"\n')
    walk.do("install -d -o root -g drop -m 0755 /srv/sync")
    walk.do("install -d -o s3batch -g s3batch -m 0700 /srv/sync/.s3sync-quarantine")
    walk.do(f"DROP=/srv/sync s3batch-{NEXT}/{CUSTOMER} add ben --bucket {SYNCED} --key /root/ann.pub")
    walk.do("systemctl restart rsyslog && systemctl enable --now s3sync")
    gone = lambda: not [path for path in walk.waiting("sync") if "quarantine" not in path]  # noqa: E731 - a name for what is waited for
    walk.sftp("ben", b"single", SYNCED, "started")
    walk.until(gone, "the release by s3sync")

    walk.machine.send("s3sync.service", "STOP")
    walk.sftp("ben", b"hung", SYNCED, "hung")
    walk.until(lambda: "Failed with result 'watchdog'" in walk.said("s3sync"), "the watchdog")
    walk.until(gone, "the release after a hang")

    walk.write("/etc/s3sync/s3sync.toml", 'quiet_period = "1s"\nscan_interval = "2s"\nlog_level = "debug"\n')
    walk.quietly("systemctl reload s3sync")
    walk.sftp("ben", b"reloaded", SYNCED, "reloaded")
    walk.until(gone, "the release after a reload")
    walk.until(lambda: '"event": "file_released"' in walk.said("s3sync"), "the other level")

    assert "1" == walk.machine.unit("s3sync.service", "NRestarts")
    assert ("active", "success") == walk.state("s3sync")


def failures_are_told(walk: Walk) -> None:
    """The operator's program is run, and told of where it may not be run."""
    walk.write("/etc/s3batch/on-failure", ON_FAILURE.format(pager=walk.pager), 0o700)
    settings = walk.machine.root / "etc/s3batch/s3sync.env"
    right = settings.read_text()
    settings.write_text(f"{right}S3SYNC_QUIET_PERIOD=soon\n")
    walk.quietly("systemctl restart s3sync", 1)
    failure = "s3batch-failure@s3sync"
    walk.until(lambda: "s3sync has failed. See: systemctl status s3sync" in walk.said(failure), "the line in the journal")
    walk.until(lambda: "Permission denied" in walk.said(failure), "being told that the program may not be run")
    assert [] == walk.told

    walk.quietly("chmod 0755 /etc/s3batch/on-failure")
    walk.quietly("systemctl restart s3sync", 1)
    walk.until(lambda: ["s3sync"] == walk.told, "being told by the program")

    settings.write_text(right)
    walk.quietly("systemctl restart s3sync")
    assert ("active", "success") == walk.state("s3sync")


def brought_back(walk: Walk) -> None:
    """One file of all of them, by command, as it was dropped."""
    walk.do("install -d -o s3batch -g s3batch -m 0700 /srv/back")
    walk.do(f"s3batch-as-agent restore s3://{BUCKET}/by-sftp.tif --to /srv/back 2>/dev/null")
    walk.until(lambda: "thawing" in walk.quietly("s3batch-as-agent requests"), "the thaw")
    walk.later(48)
    (request,) = walk.records("s3batch-as-agent requests")
    walk.do(f"s3batch-as-agent requests wait {request['request']} 2>/dev/null")
    digest = walk.do(f"sha256sum /srv/back/{BUCKET}/by-sftp.tif").split()[0]

    assert hashlib.sha256(b"by sftp" * 1000).hexdigest() == digest == walk.dropped[f"{BUCKET}/by-sftp.tif"]
    found = walk.records("s3batch find --limit 0")
    assert sorted(key for key in walk.dropped if key.startswith(BUCKET)) == sorted(f"{BUCKET}/{one['key']}" for one in found)


def removed(walk: Walk) -> None:
    """The program goes, what it kept stays, and customers can upload all the same."""
    stays = walk.do(f"s3batch-{NEXT}/install.sh --uninstall | sed -n '/^Still/,$p'")

    assert [] == [place for place in STAYS if f"  {place}  (" not in stays]
    assert "" == walk.quietly("find /opt /usr/local -name 's3*'")
    assert "0 unit files listed." in walk.quietly("systemctl list-unit-files 's3batch*' 's3sync*'", 1)
    assert "0 loaded units listed." in walk.quietly("systemctl list-units --failed")
    assert "ok" in walk.quietly("test -s /var/lib/s3batch/journal.db && test -s /etc/s3batch/credentials/aws && echo ok")
    walk.sftp("ann", b"nobody is there", BUCKET, "for the next one")

    assert [f"{BUCKET}/for the next one"] == [str(Path(path).relative_to(Path(path).parents[1])) for path in walk.waiting()]


def a_disk_that_does_not_come(walk: Walk) -> None:
    """A drop zone that cannot be mounted keeps neither the host nor sshd from starting."""
    with (walk.machine.root / "etc/fstab").open("a") as fstab:
        fstab.write("tmpfs /srv/drop tmpfs nofail,size=none-such 0 0\n")
    walk.machine.power_off()
    walk.machine.boot()

    assert "active" == walk.quietly("systemctl is-active ssh")
    assert "failed" == walk.machine.unit("srv-drop.mount", "ActiveState")
