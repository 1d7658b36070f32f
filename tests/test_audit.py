"""The audit of dependencies: something found fails, being offline does not, and neither passes for a clean bill."""

from __future__ import annotations

import json

import pytest

from tests import audit
from tests.audit import LOCK, Verdict, judge, pins

CLEAN = {"name": "a", "version": "1", "vulns": []}
FOUND = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


def test_every_locked_package_is_asked_about_once() -> None:
    """With its pinned version; the project itself, which has none, is left out."""
    asked = pins(json.loads(LOCK.read_text("utf-8")))

    assert len(asked) == len({pin.partition("==")[0] for pin in asked})
    assert {"boto3", "pytest"} <= {pin.partition("==")[0] for pin in asked}
    assert all(pin.count("==") == 1 for pin in asked)


@pytest.mark.parametrize(
    ("packages", "verdict"),
    [
        ([CLEAN], Verdict("audit: 1 locked packages, none with a known vulnerability")),
        ([CLEAN, FOUND], Verdict("audit: known vulnerabilities in b 2 (PYSEC-1)", vulnerable=True)),
        ([FOUND, UNKNOWN], Verdict("audit: known vulnerabilities in b 2 (PYSEC-1)", vulnerable=True)),
        ([CLEAN, UNKNOWN], Verdict("audit: 1 of 2 locked packages looked at, none with a known vulnerability")),
        ([UNKNOWN], Verdict("audit: not done (the database knows no package: not found)")),
    ],
)
def test_what_an_answer_means(packages: list[dict[str, object]], verdict: Verdict) -> None:
    """What was not looked at is never called clean."""
    assert verdict == judge(json.dumps({"dependencies": packages}), len(packages))


def test_an_answer_that_is_none_is_no_audit(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where pip-audit breaks off, the line says with what."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "pip_audit.py").write_text("raise SystemExit('no route to the database')")
    monkeypatch.setattr(audit, "kept", lambda *_: folder)

    assert Verdict("audit: not done (no route to the database)") == audit.audit()
