"""Is an agent running here, and with which rights? The kernel knows who holds the locks and who that is; nothing is tried."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from s3sync.dropzone.locks import holder
from s3sync.dropzone.syscalls import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_LEASE
from s3sync.dropzone.zone import Rights


@dataclass(frozen=True, slots=True)
class Agent:
    """The process that works on the drop zone."""

    pid: int
    rights: Rights | None
    """None where it ended while we looked."""


def running_agent(*folders: Path) -> Agent | None:
    """Return who holds the lock on one of the folders (state folder, drop zone); None where nobody is seen to.

    A holder on another host, or in another container, is not seen.
    """
    for folder in folders:
        with suppress(OSError):
            pid = holder(folder)
            if pid is not None:
                return Agent(pid, _rights_of(pid))
    return None


def _rights_of(pid: int) -> Rights | None:
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return rights(uid=int(fields["Uid"].split()[1]), capabilities=int(fields["CapEff"], 16))


def rights(*, uid: int, capabilities: int) -> Rights:
    """Return what a process with these effective capabilities (a bit set) may do with other people's files."""
    return Rights(
        uid=uid,
        reads_all=bool(capabilities & (1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH)),
        owns_all=bool(capabilities & 1 << CAP_FOWNER),
        leases_all=bool(capabilities & 1 << CAP_LEASE),
    )
