"""A broken-off upload through the command line: held, explained, resumed or accepted, and archived."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.agent.test_life import Teller
from tests.agent.test_process import Host
from tests.doubles.moto_server import MotoServer


class Servers:
    """A drop zone with uploads, and the log their server writes."""

    def __init__(self, host: Host, log: Path) -> None:
        """Begin with an empty log."""
        self.host = host
        self.log = log
        log.touch()
        host.environment["S3BATCH_TRANSFER_LOGS"] = str(log)

    def upload(self, key: str, content: bytes, *, broken: bool) -> None:
        """Write a file and the line about it; a broken-off one that is there already is resumed."""
        path = self.host.zone / "bucket" / key
        before = path.stat().st_size if path.exists() else 0
        path.write_bytes(content)
        when = datetime.now(UTC).strftime("%a %b %d %H:%M:%S %Y")
        word = "FAIL" if broken else "OK"
        with self.log.open("a") as log:
            log.write(
                f'{when} [pid 7] [alice] {word} UPLOAD: Client "127.0.0.1", "/{key}", {len(content) - before} bytes,'
                " 9.00Kbyte/sec\n"
            )


@pytest.fixture
def servers(tmp_path: Path, moto: MotoServer) -> Servers:
    """A whole upload and two broken-off ones, quiet by now."""
    servers = Servers(Host(tmp_path, moto), tmp_path / "vsftpd.log")
    servers.upload("whole", b"whole", broken=False)
    servers.upload("resumed later", b"half", broken=True)
    servers.upload("accepted later", b"all there is", broken=True)
    time.sleep(1.1)
    return servers


def test_a_broken_off_upload_waits_until_it_is_resumed_or_accepted(servers: Servers) -> None:
    """The rest goes on without it; `status` and `why` say what holds it, and what lets it go."""
    ask = Teller(servers.host)
    (summary,) = ask("run", "--once")
    assert (1, {"probably_partial": 2}) == (summary["files"], summary["held"])

    (status,) = ask("status", "--exit-code", code=3)
    assert {"probably_partial": 2} == status["held"]
    (why,) = ask("why", "bucket/resumed later", code=3)
    assert ("probably_partial", "probably_partial") == (why["rule"], why["reason"])
    assert "the vsftpd log says that its upload by alice broke off" in str(why["detail"])

    servers.upload("resumed later", b"half and the rest", broken=False)
    (accepted,) = ask("accept", "bucket/accepted later")
    assert accepted["accepted"]
    time.sleep(1.1)
    (summary,) = ask("run", "--once")
    assert (2, {}) == (summary["files"], summary["held"])
    assert {"whole", "resumed later", "accepted later"} == {record["key"] for record in ask("find") if "key" in record}


def test_accepting_what_nothing_holds_notes_nothing(servers: Servers) -> None:
    """Before an agent has run nothing is made; afterwards a whole file needs no accepting, and a missing one is said to be."""
    ask = Teller(servers.host)
    (before,) = ask("accept", "bucket/whole")
    assert not before["accepted"]
    assert not servers.host.state.exists()

    ask("run", "--once")
    (missing,) = ask("accept", "bucket/nowhere", code=4)
    assert not missing["accepted"]
    (held,) = ask("accept", str(servers.host.zone / "bucket" / "accepted later"))
    assert held["accepted"]
