"""What runs on a machine of the host stack, on a machine that is none and against a CloudWatch that is none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from s3batch.settings import Settings
from tests.deploy.templates import DEPLOY, Resource, read, resources
from tests.doubles.moto_server import MotoServer
from tests.dropzone.zones import root_only

WALK = Path(__file__).with_name("prepare_walk.sh")
SAID = {
    "STACK": "drop1",
    "INSTANCE": "i-1",
    "ADDRESS": "eipalloc-1",
    "PUBLIC_ADDRESS": "198.51.100.7",
    "LOG_GROUP": "/s3batch/drop1",
    "DROP_VOLUME": "vol-0d",
    "WORK_VOLUME": "vol-0e",
    "DUTIES": "pack,index",
    "BUCKETS": "acme-archive,other-archive",
    "MANIFEST_BUCKET": "",
    "OPENSEARCH_URL": "https://search-x.eu-west-1.es.amazonaws.com",
    "SPOOL_LIMIT": "8GiB",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
"""What the user data say in the environment."""


def _alone() -> list[str]:
    """Return what gives a program mounts of its own. Skips the test where nobody may mount."""
    words = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("may not mount (CAP_SYS_ADMIN)")
    return words


class Machine:
    """What is left after `prepare.sh` ran."""

    def __init__(self, base: Path, *, system: str = "amazon", **changes: str) -> None:
        """Run it twice, with an empty line of somebody's own in between."""
        command = [*_alone(), "sh", str(WALK), str(DEPLOY), system, str(base)]
        environment = {**os.environ, **SAID, **changes}
        self.ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        self.base = base
        first, _, second = (base / "calls").read_text("utf-8").partition("-- again\n")
        self.first, self.second = first.splitlines(), second.splitlines()

    def called(self, name: str) -> list[str]:
        """Return with what a program was called the first time."""
        return [call.partition(" ")[2] for call in self.first if call.startswith(f"{name} ")]

    def settings(self) -> dict[str, str]:
        """Return what the agent is told."""
        lines = (self.base / "s3batch" / "s3batch.env").read_text("utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.mark.slow
@root_only
def test_a_machine_is_made_ready(tmp_path: Path) -> None:
    """Address, volumes, program, settings, sshd, CloudWatch; the agent last, which is waited for."""
    machine = Machine(tmp_path)

    assert 0 == machine.ended.returncode, machine.ended.stderr
    assert ["ec2 associate-address --allocation-id eipalloc-1 --instance-id i-1 --allow-reassociation"] == [
        call for call in machine.called("aws") if "address" in call
    ]
    assert [f"-q {tmp_path}/drop.img", f"-q {tmp_path}/work.img"] == machine.called("mkfs.xfs")
    assert ["/srv/drop", "/srv/s3batch", "/var/lib/s3batch"] == machine.called("mount")
    assert "pasv_address=198.51.100.7" == (tmp_path / "vsftpd.conf").read_text().splitlines()[-1]
    (installed,) = machine.called("install.sh")
    assert re.fullmatch(r"--yes --package \S+/source/deploy/host/\.\./\.\. --drop-servers", installed)
    assert "systemctl restart s3batch.service" == machine.first[-1]
    assert ["drwxrwsr-x drop /srv/drop/acme-archive", "drwxrwsr-x drop /srv/drop/other-archive"] == sorted(
        (tmp_path / "folders").read_text().splitlines()
    )


@pytest.mark.slow
@root_only
def test_again_nothing_is_made_anew(tmp_path: Path) -> None:
    """A volume with a filesystem is kept, what is mounted is named once, and what somebody wrote into the settings stays."""
    machine = Machine(tmp_path)
    fstab = [line for line in (tmp_path / "fstab").read_text().splitlines() if " xfs " in line]

    assert [] == [call for call in machine.second if call.startswith("mkfs")]
    assert ["/srv/drop", "/srv/s3batch"] == [line.split()[1] for line in fstab]
    assert "2m" == machine.settings()["S3BATCH_QUIET_PERIOD"]
    assert "systemctl restart s3batch.service" in machine.second


@pytest.mark.slow
@root_only
def test_a_volume_that_cannot_be_judged_is_left_alone(tmp_path: Path) -> None:
    """Where blkid cannot say what is on it (code 8), nothing is done to it, and the machine is not ready."""
    machine = Machine(tmp_path, BLKID_SAYS="8")

    assert machine.ended.returncode != 0
    assert "blkid says 8, nothing is done to it" in machine.ended.stderr
    assert [] == [*machine.called("mkfs.xfs"), *machine.called("mount"), *machine.called("systemctl")]


@pytest.mark.slow
@root_only
@pytest.mark.parametrize("duties", ["pack,index", "restore"])
def test_the_agent_understands_its_settings(tmp_path: Path, duties: str) -> None:
    """What the machine writes are settings, all of them known and fitting together; a restoring host has no drop servers."""
    machine = Machine(tmp_path, system="ubuntu", DUTIES=duties)
    given = machine.settings()
    settings = Settings.read(environment={name: value for name, value in given.items() if name.startswith("S3BATCH_")})

    assert [] == list(settings.strangers())
    assert ("/srv/drop", "/var/lib/s3batch/spool") == (str(settings.folder), str(settings.spool))
    assert ("acme-archive", "other-archive") == settings.buckets
    assert duties == ",".join(settings.duties)
    assert ("pack" in duties) == bool(settings.transfer_logs) == machine.called("install.sh")[0].endswith("--drop-servers")


@pytest.mark.slow
@root_only
def test_alarms_look_where_the_machine_tells(tmp_path: Path) -> None:
    """Name space, name and dimensions of each alarm are those that CloudWatch's agent is told to send."""
    Machine(tmp_path)
    told = json.loads((tmp_path / "s3batch.json").read_text("utf-8"))
    disk = told["metrics"]["metrics_collected"]["disk"]
    alarms = {alarm.name: _looks(alarm) for alarm in resources("host") if alarm.kind == "AWS::CloudWatch::Alarm"}

    assert {"Stack": "drop1"} == disk["append_dimensions"]
    assert disk["drop_device"], "the device would be a dimension, and has another name on each machine"
    assert told["agent"]["omit_hostname"], "so would the host's name"
    for name, folder in (("DropZoneFull", "/srv/drop"), ("WorkFull", "/srv/s3batch")):
        space, metric, dimensions = alarms[name]
        assert (told["metrics"]["namespace"], "disk_used_percent") == (space, metric)
        assert {"Stack", "path", "fstype"} == dimensions.keys()
        assert (folder, "xfs") == (dimensions["path"], dimensions["fstype"])
        assert folder in disk["resources"]


@pytest.mark.slow
@root_only
def test_another_machine_is_the_same_to_customers(tmp_path: Path) -> None:
    """Number, password, key and jail of a customer, host keys and settings come back; what was kept is root's alone."""
    machine = Machine(tmp_path, system="ubuntu", CUSTOMER="yes")

    assert 0 == machine.ended.returncode, machine.ended.stderr
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
    assert "ann drop" in (tmp_path / "after").read_text()
    assert "700 root\n" == (tmp_path / "host-folder").read_text()
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (tmp_path / "saved").iterdir()}


def _looks(alarm: Resource) -> tuple[str, str, dict[str, object]]:
    said = alarm.properties
    return said["Namespace"], said["MetricName"], {one["Name"]: one["Value"] for one in said["Dimensions"]}


@pytest.mark.slow
def test_how_long_files_wait_is_measured(tmp_path: Path, moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudWatch is told what `status` says, under the name and dimension that the alarm looks at."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", moto.endpoint)
    for name, value in {"FOLDER": tmp_path / "zone", "STATE": tmp_path / "state", "QUIET_PERIOD": "1s"}.items():
        monkeypatch.setenv(f"S3BATCH_{name}", str(value))
    (tmp_path / "zone" / "bucket").mkdir(parents=True)
    (tmp_path / "zone" / "bucket" / "file").write_bytes(b"")
    subprocess.run(["sleep", "1.5"], check=True)

    subprocess.run([sys.executable, DEPLOY / "host" / "measure.py", "drop1"], check=True)

    (metric,) = boto3.client("cloudwatch").list_metrics()["Metrics"]
    (alarm,) = [one for one in resources("host") if one.name == "NothingArchived"]
    space, name, dimensions = _looks(alarm)
    assert (space, name) == (metric["Namespace"], metric["MetricName"])
    assert [{"Name": name, "Value": "drop1"} for name in dimensions] == metric["Dimensions"]


FIRST = """\
mkdir -p doubles; for place in /opt /var/log /root; do mount -t tmpfs walk $place; done
printf '%s\\n' '#!/bin/sh' "echo \\"\\$*\\" >>$PWD/calls" '[ "$1 $2" != "s3 cp" ] || cp source.tar.gz "$4"' >doubles/aws
printf '%s\\n' '#!/bin/sh' 'case "$*" in *instance-id) echo i-1 ;; *) echo token ;; esac' >doubles/curl
chmod +x doubles/*; PATH=$PWD/doubles:$PATH bash user-data; code=$?; cat /var/log/s3batch-setup.log; exit $code
"""


@pytest.mark.slow
@root_only
@pytest.mark.parametrize(("ends", "status"), [(0, "SUCCESS"), (1, "FAILURE")])
def test_the_stack_is_told_how_it_ended(tmp_path: Path, ends: int, status: str) -> None:
    """The user data fetch the source, let it prepare the machine, and signal what became of that: once, and nothing else."""
    prepare = tmp_path / "s3batch" / "deploy" / "host" / "prepare.sh"
    prepare.parent.mkdir(parents=True)
    prepare.write_text(f"#!/bin/sh\nenv >{tmp_path}/said\nexit {ends}\n")
    prepare.chmod(0o755)
    subprocess.run(["tar", "czf", "source.tar.gz", "s3batch"], check=True, cwd=tmp_path)
    (tmp_path / "user-data").write_text(_user_data()[1])

    ended = subprocess.run([*_alone(), "sh", "-c", FIRST], check=False, capture_output=True, text=True, cwd=tmp_path)

    assert (ends == 0) == (ended.returncode == 0), ended
    signals = [call for call in (tmp_path / "calls").read_text().splitlines() if call.startswith("cloudformation")]
    assert [
        f"cloudformation signal-resource --stack-name x --logical-resource-id Group --unique-id i-1 --status {status}"
    ] == signals
    assert set(SAID) <= {line.partition("=")[0] for line in (tmp_path / "said").read_text().splitlines()}


def test_the_first_words_are_shell() -> None:
    """The user data say all that `prepare.sh` needs, and leave nothing to be filled in but what CloudFormation fills in."""
    script, _ = _user_data()

    assert set(SAID) == set(re.findall(r"(?:export | )([A-Z_]+)=", script))
    assert "${!" not in script


def _user_data() -> tuple[str, str]:
    """Return the user data as the template has them, and with something in place of each value."""
    machine = read(DEPLOY / "host.yaml")["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]
    (script, _) = machine["UserData"]["Fn::Base64"]["Fn::Sub"]
    return script, re.sub(r"\$\{[\w.:]+\}", "x", script)
