"""The settings file that an installation begins with."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from s3batch.settings import Settings
from tests.goldens import RENEW
from tests.package.sample import OF_THE_UNITS, sample

HOUSE = Path(__file__).parents[2]
FILE = HOUSE / "deploy" / "s3batch.env"


@pytest.mark.golden
def test_the_sample_is_what_the_settings_say() -> None:
    """Every setting stands in the sample with its meaning, commented out at its default."""
    if os.environ.get(RENEW):
        FILE.write_text(sample(), "utf-8")

    assert sample() == FILE.read_text("utf-8")


def test_the_sample_can_be_used_as_it_is() -> None:
    """With every comment taken away, the sample still says nothing that is refused."""
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", FILE.read_text("utf-8"), re.MULTILINE)
    settings = Settings.read(environment={"HOME": "/root", **{name: value for name, value in lines if value}})

    assert "/srv/drop" == str(settings.folder)


def test_the_sample_agrees_with_the_units() -> None:
    """The folders that the sample names are those that the agent's unit sets."""
    unit = (HOUSE / "systemd" / "s3batch.service").read_text("utf-8")
    said = dict(re.findall(r"\b(S3BATCH_[A-Z_]+)=(\S+)", unit))

    assert OF_THE_UNITS == said
