"""Ask pip-audit whether anything in Pipfile.lock has a known vulnerability: `python -m tests.audit`, or `make audit`.

The last line says what came of it. Exit code 1 where something was found. A machine that reaches no database of vulnerabilities
gets a line that says so and exit code 0: being offline is no defect of what is built. pip-audit is fetched as live parts are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live.fetch import Unfetched, cache_folder, kept, run

VERSION = "2.10.1"
LOCK = Path(__file__).parent.parent / "Pipfile.lock"
LONGEST_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of an audit."""

    line: str
    vulnerable: bool = False


def pins(lock: Mapping[str, Any]) -> list[str]:
    """Return `name==version` of every locked package, of both groups, once."""
    packages = [package for group in ("default", "develop") for package in lock[group].items()]
    return sorted({name + package["version"] for name, package in packages if "version" in package})  # all but ourselves


def judge(answer: str, locked: int) -> Verdict:
    """Return the verdict of pip-audit's JSON about `locked` packages. Raises `ValueError` for what is none."""
    packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    known = [f"{each['name']} {each['version']} ({found['id']})" for each in packages for found in each.get("vulns", [])]
    looked_at = sum("vulns" in each for each in packages)
    if known:
        return Verdict(f"audit: known vulnerabilities in {', '.join(known)}", vulnerable=True)
    if not looked_at:
        why = next((str(each["skip_reason"]) for each in packages if "skip_reason" in each), "it answered about nothing")
        return Verdict(f"audit: not done (the database knows no package: {why})")
    if looked_at < locked:
        return Verdict(f"audit: {looked_at} of {locked} locked packages looked at, none with a known vulnerability")
    return Verdict(f"audit: {locked} locked packages, none with a known vulnerability")


def audit() -> Verdict:
    """Fetch pip-audit and ask it."""
    locked = pins(json.loads(LOCK.read_text("utf-8")))
    try:
        folder = kept(cache_folder(os.environ), f"pip-audit-{VERSION}", _install)
    except Unfetched as why:
        return Verdict(f"audit: not done (pip-audit cannot be had: {why})")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(locked) + "\n")
        requirements.flush()
        words = ["-m", "pip_audit", "--requirement", requirements.name, "--no-deps", "--disable-pip", "--format", "json"]
        try:
            done = subprocess.run(
                [sys.executable, *words, "--progress-spinner", "off"],
                env={**os.environ, "PYTHONPATH": str(folder)},
                capture_output=True,
                text=True,
                check=False,
                timeout=LONGEST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Verdict(f"audit: not done (no answer within {LONGEST_SECONDS} s)")
    try:
        return judge(done.stdout, len(locked))
    except (ValueError, KeyError):
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Verdict(f"audit: not done ({said[-1][:300]})")


def _install(into: Path) -> None:
    run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(into), f"pip-audit=={VERSION}"])


if __name__ == "__main__":
    verdict = audit()
    print(verdict.line)  # noqa: T201 - what the command is for
    sys.exit(verdict.vulnerable)
