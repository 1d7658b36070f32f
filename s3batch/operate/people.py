"""Users and groups by name, for people; numbers where this host knows no name."""

from __future__ import annotations

import grp
import pwd

_CAPABILITIES = {
    0: "CAP_CHOWN",
    1: "CAP_DAC_OVERRIDE",
    2: "CAP_DAC_READ_SEARCH",
    3: "CAP_FOWNER",
    19: "CAP_SYS_PTRACE",
    28: "CAP_LEASE",
}
"""Those that matter for other people's files (capabilities(7))."""


def user(uid: int) -> str:
    """Return a user's name and number."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def group(gid: int) -> str:
    """Return a group's name and number."""
    try:
        return f"{grp.getgrgid(gid).gr_name} (gid {gid})"
    except KeyError:
        return f"gid {gid}"


def capabilities(held: int) -> str:
    """Name those of the effective capabilities (a bit set) that matter here."""
    return ", ".join(name for bit, name in _CAPABILITIES.items() if held & 1 << bit) or "none that matters here"
