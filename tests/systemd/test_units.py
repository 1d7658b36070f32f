from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from s3sync.errors import EXIT_MEANINGS
from tests.systemd.units import FOLDER, INSTALLED, SERVICES, UNITS, directives, values

AS_AGENT = FOLDER.parent / "deploy" / "as-agent.sh"
EXPOSURE_TENTHS = 25
"""The most exposure `systemd-analyze security` may find: 2.5 of 10."""

SANDBOXED_ALIKE = {
    "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "DevicePolicy", "ProtectClock",
    "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectControlGroups",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "RemoveIPC",
    "KeyringMode", "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber", "RestrictAddressFamilies",
    "LimitCORE", "UMask",
}  # fmt: skip


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    """The program that judges units."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian's package systemd)")
    return program


@pytest.fixture(scope="session")
def as_installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units beside programs that exist, as on a host where they are installed."""
    place = tmp_path_factory.mktemp("units")
    for program in ("s3batch", "s3sync"):
        shutil.copy(shutil.which("true") or "/bin/true", place / program)
    for unit in UNITS:
        (place / unit.name).write_text(unit.read_text().replace(INSTALLED, str(place)))
    return place


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say(systemd_analyze: str, as_installed: Path, unit: Path) -> None:
    """Every line of every unit is understood: systemd says nothing, which it does of unknown keys too, with code 0."""
    said = _analyze(systemd_analyze, "verify", "--man=no", str(as_installed / unit.name))

    assert (0, "", "") == (said.returncode, said.stdout, said.stderr)


def test_a_slip_of_the_pen_is_seen(systemd_analyze: str, as_installed: Path) -> None:
    """The check above can fail: a key nobody knows is told of, on standard error only."""
    wrong = as_installed / "wrong.service"
    wrong.write_text((as_installed / "s3batch.service").read_text().replace("WatchdogSec=", "WatchdogSecs="))
    said = _analyze(systemd_analyze, "verify", "--man=no", str(wrong))

    assert "WatchdogSecs" in said.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_exposure(systemd_analyze: str, as_installed: Path, unit: Path) -> None:
    """No service is exposed by more than 2.5 of 10."""
    path = str(as_installed / unit.name)
    said = _analyze(systemd_analyze, "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", "--no-pager", path)

    assert (0, "") == (said.returncode, said.stderr), said.stdout.splitlines()[-1:]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_every_service_is_sandboxed_alike(unit: Path) -> None:
    """What the agent's unit says of its sandbox, every other service says too."""
    agents = [pair for pair in directives(FOLDER / "s3batch.service") if pair[0] in SANDBOXED_ALIKE]

    assert sorted(agents) == sorted(pair for pair in directives(unit) if pair[0] in SANDBOXED_ALIKE)
    assert SANDBOXED_ALIKE == {name for name, _ in agents}


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_exit_codes_are_those_of_the_table(unit: Path) -> None:
    """A code that a unit treats in its own way is one that the programs end with."""
    named = [*values(unit, "SuccessExitStatus"), *values(unit, "RestartPreventExitStatus")]
    codes = {int(code) for value in named for code in value.split()}

    assert codes <= set(EXIT_MEANINGS)


def test_once_and_agent_have_one_environment() -> None:
    """An agent and a pass by the timer work with the same settings, folders, rights and user."""
    names = re.compile("User|Group|Supplementary|Environment|LoadCred|SetCred|.*Directory|Ambient|Capability|ReadWrite")
    for program in ("s3batch", "s3sync"):
        agent, once = (
            [pair for pair in directives(FOLDER / f"{program}{kind}.service") if names.match(pair[0])] for kind in ("", "-once")
        )

        assert agent == once


def test_a_command_typed_as_the_agent_has_what_the_agent_has(tmp_path: Path) -> None:
    """`s3batch-as-agent` gives a command the unit's user, rights, settings and secrets."""
    double = tmp_path / "systemd-run"
    double.write_text("""#!/bin/sh\nprintf '%s\\n' "$@"\n""")
    double.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    ended = subprocess.run(["sh", AS_AGENT, "doctor"], env={"PATH": path}, check=True, capture_output=True, text=True)
    said = re.sub(r"/run/credentials/s3batch-typed-\d+\.service/", "%d/", ended.stdout).splitlines()
    names = re.compile("User|Group|Supplementary|UMask|Environment|LoadCred|SetCred|Ambient|Capability|NoNewPriv")
    agent = [f"--property={name}={value}" for name, value in directives(FOLDER / "s3batch.service") if names.match(name)]

    assert sorted(agent) == sorted(word for word in said if word.startswith("--property="))
    assert ["/opt/s3batch/bin/s3batch", "doctor"] == said[-2:]


def test_a_program_that_may_not_be_run_is_told_of(tmp_path: Path) -> None:
    """`on-failure` that is there and cannot be run ends in an error, which the journal shows, and not in silence."""
    program = tmp_path / "on-failure"
    line = values(FOLDER / "s3batch-failure@.service", "ExecStart")[1].removeprefix("-")
    command = line.replace("/etc/s3batch/on-failure", str(program)).replace("%i", "s3batch")
    without = _run(command)
    program.write_text("#!/bin/sh\necho told of $1\n")
    not_allowed = _run(command)
    program.chmod(0o755)

    assert (0, "") == (without.returncode, without.stdout)
    assert (126, True) == (not_allowed.returncode, "Permission denied" in not_allowed.stderr)
    assert "told of s3batch\n" == _run(command).stdout


def test_every_failure_is_told_of() -> None:
    """Each service names the unit that tells somebody, but that one itself."""
    silent = [unit.name for unit in SERVICES if values(unit, "OnFailure") != ["s3batch-failure@%N.service"]]

    assert ["s3batch-failure@.service"] == silent


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".timer"], ids=lambda unit: unit.name)
def test_timers_make_up_for_what_they_missed(unit: Path) -> None:
    """Each timer starts the service of its name, makes up for time the host was off, and keeps a fleet apart."""
    assert unit.with_suffix(".service") in SERVICES
    assert ["yes"] == values(unit, "Persistent")
    assert [] != values(unit, "RandomizedDelaySec")


def _run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)
