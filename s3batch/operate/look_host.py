"""The host: the kernel's protections against planted links and FIFOs, and whether all folders can be watched."""

from __future__ import annotations

from pathlib import Path

from s3batch.operate.findings import Level, Looked

PROTECTIONS = {
    "protected_symlinks": 1,
    "protected_hardlinks": 1,
    "protected_fifos": 1,
    "protected_regular": 1,
}
"""The least value each should have (sysctl fs.*)."""
SYSCTL = Path("/proc/sys")
NEARLY = 0.9


def look_at_protections(sysctl: Path = SYSCTL) -> Looked:
    """Say which protections are off. The agent does not rely on them, but much else on a drop host does. Raises `OSError`."""
    seen = {name: int((sysctl / "fs" / name).read_text("ascii")) for name in PROTECTIONS}
    off = [name for name, least in PROTECTIONS.items() if seen[name] < least]
    if off:
        wanted = " ".join(f"fs.{name}={PROTECTIONS[name]}" for name in off)
        detail = f"off: {', '.join(f'fs.{name}' for name in off)}"
        yield "kernel protections", Level.NOTE, detail, f"Turn them on: sysctl {wanted}, and in /etc/sysctl.d for good"
    else:
        yield (
            "kernel protections",
            Level.OK,
            "links, FIFOs and files planted by others are guarded against (fs.protected_*)",
            "",
        )


def look_at_watches(folders: int, *, at_least: bool, sysctl: Path = SYSCTL) -> Looked:
    """Compare the number of folders with the watches one user may have. Raises `OSError`."""
    limit = int((sysctl / "fs/inotify/max_user_watches").read_text("ascii"))
    count = f"{'more than ' if at_least else ''}{folders:,}"
    if folders > limit * NEARLY:
        detail = f"{count} folders, and one user may watch {limit:,}: new files are found by the periodic scan only"
        hint = f"Raise the limit: sysctl fs.inotify.max_user_watches={max(limit, folders) * 2}"
        yield "file events", Level.WARNING, detail, hint
    else:
        yield "file events", Level.OK, f"{count} folders, and one user may watch {limit:,}", ""
