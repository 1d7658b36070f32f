"""The live parts: real servers and programs that tests use where they can be had.

A test asks for one by naming the part's fixture, or with `@pytest.mark.live("versitygw")`. Before the first test of a run the
parts that the selected tests ask for are fetched (see `fetch`). From then on there are three cases, told apart by `plugin`:

- fetched, and it starts: the test runs, and the last lines of the run name the part: `live: s3(versitygw)`;
- it could not be had: the test is skipped, and the last lines say why: `not live: s3(versitygw) (go is not installed)`;
- it is there and does not start: the test fails. Nothing that is there is ever skipped.

A test that can do without (on moto, say) has `@pytest.mark.live("versitygw", optional=True)` and asks `live_parts.reason`.

To add a part, write a file beside this one with a `PART` (how it comes here; for a system package, `get` only looks for the
program), a context manager that runs it, and a fixture that starts it from `live_parts.path(name)`; list the part below and the
fixture in `tests/conftest.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.live import (
    debian,
    drop_machine,
    machine,
    opensearch,
    opensearch_secure,
    promtool,
    rsyslogd,
    sftp_library,
    sshd,
    versitygw,
    vsftpd,
    wheelhouse,
)
from tests.live.fetch import Part, Unfetched

PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        versitygw.PART,
        sshd.PART,
        vsftpd.PART,
        sftp_library.PART,
        opensearch.PART,
        opensearch.NEWEST,
        opensearch_secure.PART,
        machine.PART,
        drop_machine.PART,
        promtool.PART,
        rsyslogd.PART,
        debian.PART,
        wheelhouse.PART,
    )
}


class LiveParts:
    """What could be had in this process, each asked for once."""

    def __init__(self, cache: Path) -> None:
        """Keep what is fetched in `cache`."""
        self._cache = cache
        self._paths: dict[str, Path] = {}
        self._reasons: dict[str, str] = {}

    def fetch(self, name: str) -> None:
        """Fetch a part, unless that was tried already. Raises `KeyError` for a name that no part has."""
        part = PARTS[name]
        if name in self._paths or name in self._reasons:
            return
        try:
            self._paths[name] = part.get(self._cache)
        except Unfetched as why:
            self._reasons[name] = str(why)

    def fetch_all(self, names: Iterable[str]) -> None:
        """Fetch several side by side: they come from different places."""
        wanted = set(names)
        with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as threads:
            list(threads.map(self.fetch, wanted))

    def reason(self, name: str) -> str | None:
        """Return why a part could not be had, None where it could."""
        self.fetch(name)
        return self._reasons.get(name)

    def path(self, name: str) -> Path:
        """Return where a part lies; for the fixture that starts it, whose tests are skipped where it could not be had."""
        reason = self.reason(name)
        if reason is not None:
            pytest.skip(f"{PARTS[name].label}: {reason}")
        return self._paths[name]
