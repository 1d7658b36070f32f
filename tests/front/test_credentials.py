from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import s3batch.cli
from s3sync.frontdoor import main

if TYPE_CHECKING:
    import pytest

SECRET = "https://agent:hush@search.example:9200"


def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **environment: str) -> tuple[int, str]:
    """Return the line of `config show` about OpenSearch."""
    for name, value in {"HOME": "/home/ann", **environment}.items():
        monkeypatch.setenv(name, value)
    code = main(s3batch.cli.PROGRAM, ["config", "show"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "OPENSEARCH_URL" in line]
    return code, "".join(lines)


def test_a_secret_comes_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What systemd loads counts before the settings file and is not shown; files that are no setting are somebody else's."""
    (tmp_path / "opensearch_url").write_text(SECRET + "\n")
    (tmp_path / "aws").write_text("[default]\n")
    toml = tmp_path / "s3batch.toml"
    toml.write_text('opensearch_url = "http://other:9200"\n')
    code, line = show(monkeypatch, capsys, CREDENTIALS_DIRECTORY=str(tmp_path), S3BATCH_CONFIG=str(toml))

    assert 0 == code
    assert ("search.example" in line, "hush" in line, line.endswith("credential opensearch_url")) == (True, False, True)


def test_a_variable_counts_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever sets the variable means it."""
    (tmp_path / "opensearch_url").write_text(SECRET)
    _, line = show(monkeypatch, capsys, CREDENTIALS_DIRECTORY=str(tmp_path), S3BATCH_OPENSEARCH_URL="http://this:9200")

    assert "http://this:9200" in line


def test_an_empty_one_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The unit hands over an empty file where there is no secret."""
    (tmp_path / "opensearch_url").write_text("\n")
    code, line = show(monkeypatch, capsys, CREDENTIALS_DIRECTORY=str(tmp_path))

    assert (0, True) == (code, line.endswith("default"))


def test_a_folder_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Starting without secrets that were meant to be there helps nobody."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "gone"))
    code = main(s3batch.cli.PROGRAM, ["config", "show"])

    assert 2 == code
    assert "gone: cannot be read" in capsys.readouterr().err
