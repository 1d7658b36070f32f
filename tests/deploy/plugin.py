"""Every test of the suite is held to the host template's policies: what a duty asks of S3, its policy gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.recorder import Recorder, recording
from tests.deploy.rights import DUTIES, granted, needed


def pytest_configure() -> None:
    """Watch from the first test on."""
    Recorder.install()


@pytest.fixture(autouse=True)
def _no_duty_asks_for_more_than_its_policy_gives() -> Iterator[None]:
    with recording() as calls:
        yield
    for duty in {call.duty for call in calls}:
        allowed = frozenset[str]().union(*(granted(policy) for policy, duties in DUTIES.items() if duty in duties))
        asked = needed(call for call in calls if call.duty == duty)

        assert asked <= allowed, f"deploy/host.yaml does not let the duty {duty} do {', '.join(sorted(asked - allowed))}"
