"""Least rights, measured: what an agent that is not root can do, right by right. The README's table says the same.

The drop zone belongs to a group; uploaders are members, and so is the agent, whose uid is its own. Each line of the table below
is one thing an uploader leaves, and what becomes of it with each set of rights.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3sync.dropzone.syscalls import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_LEASE, CAP_SYS_PTRACE
from tests.doubles.moto_server import MotoServer
from tests.dropzone.zones import NOBODY, REPOSITORY, open_place, root_only

AGENT, UPLOADER, GROUP = 64_001, 64_002, 64_000

RIGHTS = {
    "group": (GROUP, ()),
    "stranger": (NOBODY, ()),
    "+lease": (GROUP, (CAP_LEASE,)),
    "+lease+read": (GROUP, (CAP_LEASE, CAP_DAC_READ_SEARCH)),
    "+lease+fowner": (GROUP, (CAP_LEASE, CAP_FOWNER)),
    "+lease+override": (GROUP, (CAP_LEASE, CAP_DAC_OVERRIDE)),
    "+ptrace": (GROUP, (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH)),
}

LEFT = {
    # What is left, as mode of folder and file. With the umask 002 of the samples, 022, and private; setgid folders.
    "shared": (0o2775, 0o664),
    "umask 022": (0o2755, 0o644),
    "private file": (0o2775, 0o600),
    "sticky": (0o3775, 0o664),
    "written": (0o2775, 0o664),
}

TAKEN = "archived and removed"
TABLE = {
    "group": {
        "shared": TAKEN,
        "umask 022": "folder_not_writable",
        "private file": "unreadable",
        "sticky": "folder_sticky",
        "written": TAKEN,  # nobody can see the writer: only the quiet period protects it, which `status` calls degraded
    },
    "stranger": {
        "shared": "folder_not_writable",
        "umask 022": "folder_not_writable",
        "private file": "folder_not_writable",
        "sticky": "folder_not_writable",
        "written": "folder_not_writable",
    },
    "+lease": {
        "shared": TAKEN,
        "umask 022": "folder_not_writable",
        "private file": "unreadable",
        "sticky": "folder_sticky",
        "written": "writer",
    },
    "+lease+read": {
        "shared": TAKEN,
        "umask 022": "folder_not_writable",
        "private file": TAKEN,
        "sticky": "folder_sticky",
        "written": "writer",
    },
    "+lease+fowner": {
        "shared": TAKEN,
        "umask 022": "folder_not_writable",
        "private file": "unreadable",
        "sticky": TAKEN,
        "written": "writer",
    },
    "+lease+override": {
        "shared": TAKEN,
        "umask 022": TAKEN,
        "private file": TAKEN,
        "sticky": "folder_sticky",
        "written": "writer",
    },
    "+ptrace": {
        "shared": TAKEN,
        "umask 022": "folder_not_writable",
        "private file": TAKEN,
        "sticky": "folder_sticky",
        "written": "writer",
    },
}


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder others may pass through."""
    with open_place() as place:
        yield place


def _lay_out(place: Path, bucket: str) -> Path:
    """Make drop zone and state as the README says: the zone setgid and the group's, state and quarantine the agent's own."""
    zone = place / "zone" / bucket
    zone.mkdir(parents=True)
    os.chown(zone, 0, GROUP)
    zone.chmod(0o2775)
    (place / "zone").chmod(0o755)
    for private in (place / "state", place / "zone/.s3batch-quarantine"):
        private.mkdir(mode=0o700)
        os.chown(private, AGENT, AGENT)
    for name, (folder_mode, file_mode) in LEFT.items():
        folder = zone / name
        folder.mkdir()
        (folder / "file").write_bytes(name.encode())
        os.chown(folder / "file", UPLOADER, GROUP)
        (folder / "file").chmod(file_mode)
        os.chown(folder, UPLOADER, GROUP)
        folder.chmod(folder_mode)
    return zone


def run_agent(place: Path, bucket: str, rights: str, *words: str) -> tuple[int, str, str]:
    """Run a command of `s3batch` with the named rights; return its exit code, what it said, and what it logged."""
    group, capabilities = RIGHTS[rights]
    command = [sys.executable, "-B", "-m", "tests.hostile.agent_as", str(AGENT), str(group)]
    environment = {
        **os.environ,
        "S3BATCH_FOLDER": str(place / "zone"),
        "S3BATCH_STATE": str(place / "state"),
        "S3BATCH_QUIET_PERIOD": "1s",
        "WARM_UP_BUCKET": bucket,
    }
    done = subprocess.run(
        [*command, ",".join(map(str, capabilities)) or "-", *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=environment,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@root_only
@pytest.mark.slow
@pytest.mark.parametrize("rights", RIGHTS)
def test_what_each_right_is_good_for(place: Path, moto: MotoServer, rights: str) -> None:
    """With each set of rights, what is left in each way is archived and removed, or held with the reason of the table."""
    moto.client().create_bucket(Bucket="bucket")
    zone = _lay_out(place, "bucket")
    with (zone / "written/file").open("ab"):
        code, out, err = run_agent(place, "bucket", rights, "run", "--once", "--json")
        assert code == 0, (out, err)
        _, verdicts, _ = run_agent(place, "bucket", rights, "status", "--json")
    summary, status = json.loads(out), json.loads(verdicts)
    taken = sorted(name for name in LEFT if not (zone / name / "file").exists())
    expected = TABLE[rights]
    reasons = sorted(reason for reason in expected.values() if reason != TAKEN)

    assert sorted(name for name, outcome in expected.items() if outcome == TAKEN) == taken
    assert reasons == sorted(reason for reason, files in summary["held"].items() for _ in range(files)), err
    assert 0 == status["unreleased"]
